"""What deploy/ has, as far as it can be judged without a container engine, a systemd or a Prometheus that runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import REGISTRY

from tracker import config, metrics

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
TIMEOUT_S: Final = 60


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT_S)


def has_fixed_tag(image: str) -> bool:
    """A tag with a version; ``tracker:local`` is built beside it."""
    return re.fullmatch(r"[a-z]+:\d[\w.-]*|tracker:local", image) is not None


def test_every_service_of_the_compose_file_is_shut_in() -> None:
    services = read("compose.yaml")["services"]
    assert set(services) == {"nginx", "tracker", "postgres"}
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service), name
        assert service["stop_grace_period"] == "60s", name
        assert has_fixed_tag(service["image"]), service["image"]
        assert "docker.sock" not in str(service), name
        if name != "tracker":  # whose image says so itself
            assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
            assert service["healthcheck"]["test"][0] == "CMD", name


def test_only_the_proxy_is_public_and_the_database_has_no_way_out() -> None:
    compose = read("compose.yaml")
    services = compose["services"]
    assert compose["networks"]["store"]["internal"] is True
    assert services["postgres"]["networks"] == ["store"]
    assert "ports" not in services["postgres"]
    assert all(port.startswith("127.0.0.1:") for port in services["tracker"]["ports"])
    assert set(services["nginx"]["networks"]) == {"edge"}
    proxy = services["nginx"]["networks"]["edge"]["ipv4_address"]
    assert services["tracker"]["environment"]["TRACKER_TRUSTED_PROXIES"] == f"{proxy}/32"
    inner = services["tracker"]["networks"]["edge"]["ipv4_address"]
    assert f"server {inner}:8000;" in services["nginx"]["command"][-1]


def test_the_proxy_of_the_compose_file_changes_lines_that_are_there() -> None:
    nginx = (DEPLOY / "nginx.conf").read_text()
    changes = re.findall(r"s#(.+?)#", read("compose.yaml")["services"]["nginx"]["command"][-1])
    assert len(changes) == 3
    assert all(change in nginx for change in changes)


def test_secrets_are_files_and_settings_are_settings() -> None:
    compose = read("compose.yaml")
    for service in compose["services"].values():
        for name, value in service["environment"].items() if "environment" in service else ():
            assert not re.search("KEY|URL|PASSWORD", name) or name.endswith(("_FILE", "BASE_URL")), name
            if name.endswith("_FILE"):
                secret = value.removeprefix("/run/secrets/")
                assert secret in service["secrets"]
                assert compose["secrets"][secret] == {"file": f"./secrets/{secret}"}
    known = {f"TRACKER_{option.name}{end}" for option in config.OPTIONS for end in ("", "_FILE")}
    named = set(compose["services"]["tracker"]["environment"])
    for file in ("Dockerfile", "tracker.service", "tracker.env.example", "nginx.conf"):
        named |= set(re.findall(r"TRACKER_[A-Z_]+(?==)", (DEPLOY / file).read_text()))
    assert len(named) > 5
    assert named <= known


def test_the_image_is_not_roots_and_writes_to_its_data_dir_alone() -> None:
    lines = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text()).splitlines()
    words = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    images = [rest.split()[0] for word, rest in words if word == "FROM"]
    assert images
    assert all(has_fixed_tag(image) for image in images)
    final = words[max(at for at, (word, _) in enumerate(words) if word == "FROM") :]
    (user,) = (rest for word, rest in final if word == "USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert "HEALTHCHECK" in [word for word, _ in final]
    assert "ADD" not in [word for word, _ in words]
    (environment,) = (rest for word, rest in final if word == "ENV")
    values = dict(re.findall(r"(\w+)=(\S+)", environment))
    assert values["TMPDIR"] == values["TRACKER_DATA_DIR"] == "/var/lib/tracker"
    assert values["PYTHONDONTWRITEBYTECODE"] == "1"


def test_nothing_but_what_the_image_needs_goes_into_its_build() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    taken = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = set()
    for line in re.findall(r"^COPY (?!--from)(.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE):
        copied |= set(line.split()[:-1])
    assert taken == copied


def samples() -> set[str]:
    """The names of all samples that /metrics can have."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    families = [family for family in REGISTRY.collect() if family.name.startswith("tracker_")]
    assert metrics.UNSTORED is not None
    return {family.name + ending for family in families for ending in endings[family.type]}


def test_alerts_ask_for_metrics_that_are_there_and_for_each_that_is_an_alarm() -> None:
    rules = [rule for group in read("alerts.yml")["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"\btracker_\w+", rule["expr"])}
    assert asked <= samples()
    for needed in ("unstored", "answered_before_stored", "spool_corrupt", "relay_rejected", "relay_failures",
                   "webhooks_dead", "invalid_tokens", "limited", "objections"):  # fmt: skip
        assert f"tracker_{needed}_total" in asked
    for rule in rules:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names))
    assert any('up{job="tracker"}' in rule["expr"] for rule in rules)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool")
def test_alerts_fire_when_they_should() -> None:
    checked = ran("promtool", "check", "config", str(DEPLOY / "prometheus.yml"))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = ran("promtool", "test", "rules", str(Path(__file__).with_name("alerts.promtool.yml")))
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_unit_is_valid_and_shut_in(tmp_path: Path) -> None:
    command = tmp_path / "tracker"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    unit = tmp_path / "tracker.service"
    unit.write_text((DEPLOY / "tracker.service").read_text().replace("/opt/tracker/bin/tracker", str(command)))
    verified = ran("systemd-analyze", "verify", "--man=no", str(unit))
    ours = [line for line in verified.stderr.splitlines() if "tracker" in line]
    assert (verified.returncode, ours) == (0, [])
    # Out of 100; a unit that says nothing of all this has 96.
    rated = ran("systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit))
    assert rated.returncode == 0, rated.stdout[-1000:] + rated.stderr


def test_the_unit_has_room_for_slow_connections_and_time_to_stop() -> None:
    unit = (DEPLOY / "tracker.service").read_text()
    assert int(re.findall(r"^LimitNOFILE=(\d+)$", unit, re.MULTILINE)[0]) >= 65536
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[0]) >= 60
