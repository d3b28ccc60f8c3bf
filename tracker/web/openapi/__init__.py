"""The OpenAPI document, made from the shapes of requests and answers."""
