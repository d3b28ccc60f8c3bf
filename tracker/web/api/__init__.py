"""The API that mailers, mail servers and operators call."""
