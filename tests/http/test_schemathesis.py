"""The published description against the service: schemathesis finds no 5xx, and no answer that is not described."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from serving import API_KEY, PATIENCE_S, Service

pytest_plugins = ["service_fixtures"]


def described(service: Service) -> dict[tuple[str, str], dict[str, Any]]:
    """The operations of the description, by path and method."""
    document = service.client.get("/openapi.json").json()
    return {(path, method): each for path, item in document["paths"].items() for method, each in item.items()}


def attack(service: Service, folder: Path, examples: int, seed: int) -> None:
    command = Path(sys.executable).with_name("st")
    if not command.exists():
        pytest.skip("schemathesis is not installed")
    ran = subprocess.run(
        [
            command, "run", f"{service.url}/openapi.json", "-H", f"Authorization: Bearer {API_KEY}",
            "-n", str(examples), "--phases", "examples,coverage,fuzzing", "--seed", str(seed),
            "--generation-deterministic", "--no-color",
            # That a batch's ids have to differ can't be said in a schema.
            "--exclude-checks", "positive_data_acceptance",
        ],
        cwd=folder, capture_output=True, text=True, timeout=examples * PATIENCE_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[:5000]
    count = len(described(service))
    assert f"{count} selected" in ran.stdout or f"{count - 1} selected" in ran.stdout, ran.stdout[:1000]
    assert '"level":"error"' not in service.output()


def test_schemathesis_finds_nothing(service: Service, tmp_path: Path) -> None:
    attack(service, tmp_path, 5, 1)


@pytest.mark.long
def test_schemathesis_finds_nothing_for_long(service: Service, tmp_path: Path) -> None:
    for seed in (2, 3):
        attack(service, tmp_path, 100, seed)


def test_whatever_can_be_refused_is_described(service: Service) -> None:
    for (path, method), operation in described(service).items():
        statuses = set(operation["responses"])
        if operation["security"]:
            assert statuses >= {"401", "403", "429"}, path
        if "requestBody" in operation:
            assert statuses >= {"413", "415", "422"}, path
        if path.startswith("/v1/") and method != "get":
            assert "503" in statuses or path == "/v1/rewrite/batch", path
        if path.startswith(("/c/", "/u/")):
            assert statuses >= {"404", "429"}, path


def test_every_refusal_is_the_problem_of_the_description(service: Service) -> None:
    """And every shape that is sent says what may be in it: no field without a type, no text without an end."""
    schemas = service.client.get("/openapi.json").json()["components"]["schemas"]
    assert set(schemas["Problem"]["required"]) >= {"type", "title", "status", "detail"}
    for (path, method), operation in described(service).items():
        for status, answer in operation["responses"].items():
            if path.startswith("/v1/") and int(status) >= 400:
                (media,) = answer["content"].items()
                assert media == ("application/problem+json", {"schema": {"$ref": "#/components/schemas/Problem"}}), (
                    method, path, status,
                )  # fmt: skip
    for name in ("RewriteRequest", "BatchRequest", "EventsRequest", "RecipientUpdate", "AccountSettings"):
        assert schemas[name]["additionalProperties"] is False, name
    for name, field in schemas["RewriteRequest"]["properties"].items():
        bounded = {"pattern", "maxLength", "$ref", "anyOf", "maxProperties", "enum"} & set(field)
        assert bounded or name in ("html", "text"), name
