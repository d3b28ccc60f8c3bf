"""What operators and their tools read: health, metrics, the API's description."""

from __future__ import annotations

import re
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from raw import ask
from serving import API_KEY, Service

pytest_plugins = ["service_fixtures"]

ROUTES = {
    ("/v1/rewrite", "post"), ("/v1/rewrite/batch", "post"), ("/v1/messages/{message_id}", "get"),
    ("/v1/messages/{message_id}/events", "get"), ("/o/{token}.gif", "get"), ("/c/{token}", "get"),
    ("/u/{token}", "get"), ("/u/{token}", "post"), ("/healthz", "get"), ("/readyz", "get"), ("/metrics", "get"),
    ("/robots.txt", "get"), ("/openapi.json", "get"), ("/u/{token}/stop-tracking", "get"),
    ("/u/{token}/stop-tracking", "post"), ("/v1/events", "post"), ("/v1/events/report", "post"),
    ("/v1/events/{provider}/{hook}", "post"), ("/v1/recipients", "put"), ("/v1/recipients/lookup", "post"),
    ("/v1/settings", "get"), ("/v1/settings", "put"), ("/v1/changes", "get"),
    ("/v1/recipients/{ref}/erase", "post"),
    ("/v1/batches", "get"), ("/v1/batches/{batch}", "get"), ("/v1/batches/{batch}/messages", "get"),
    ("/v1/batches/{batch}/messages.csv", "get"), ("/v1/reports", "get"), ("/v1/reports.csv", "get"),
    ("/v1/revocations", "get"), ("/v1/revocations", "post"), ("/v1/audit", "get"),
}  # fmt: skip


def test_health_and_readiness(service: Service) -> None:
    for path in ("/healthz", "/readyz"):
        answer = service.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store, private"


def test_robots_are_kept_out(service: Service) -> None:
    answer = service.client.get("/robots.txt")
    assert answer.text.split() == ["User-agent:", "*", "Disallow:", "/"]
    assert answer.headers["content-type"].startswith("text/plain")


def test_metrics_are_prometheus_and_documented(service: Service) -> None:
    before = service.metric("tracker_spool_appended_total")
    mail = service.rewrite("measured")
    ask(service.port, "GET", mail["open_url"].removeprefix(service.url))
    ask(service.port, "GET", "/o/bad.gif")
    answer = service.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    ours = {name for name in families if name.startswith("tracker_")}
    assert {"tracker_spool_depth", "tracker_unstored", "tracker_rewrites", "tracker_relayed"} <= ours
    assert all(families[name].documentation for name in ours)
    assert service.metric("tracker_spool_appended_total") == before + 2
    assert service.metric("tracker_invalid_tokens_total") >= 1
    assert service.metric("tracker_unstored_total") == 0


def test_every_route_is_in_the_description_and_the_other_way_round(service: Service) -> None:
    document: dict[str, Any] = service.client.get("/openapi.json").json()
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["version"]
    found = {(path, method) for path, item in document["paths"].items() for method in item}
    assert found == ROUTES
    for path, method in found:
        concrete = re.sub(r"\{\w+\}", "x", path)
        answer = ask(service.port, method.upper(), concrete, [("Authorization", f"Bearer {API_KEY}")])
        assert answer.status != 405
        described = document["paths"][path][method]["responses"]
        assert str(answer.status) in described, (path, method, answer.status)
