"""Changes of stages told to an account's own system, from the command that adds it to what it receives."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from raw import ask
from receiving import Receiver
from serving import Service, eventually, run, serving
from standardwebhooks import Webhook

pytest_plugins = ["service_fixtures"]

SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari"

Ran = subprocess.CompletedProcess[bytes]


@pytest.fixture
def tracker(tmp_path: Path, own_store_url: str) -> Callable[..., Ran]:
    """Runs one ``webhooks`` command, which must end with a certain exit code, on each kind of store."""

    def ran(*arguments: str, code: int = 0) -> Ran:
        done = run(tmp_path / "data", "webhooks", *arguments, STORE_URL=own_store_url, WEBHOOK_PRIVATE_ADDRESSES="true")
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
        return done

    return ran


def added(tracker: Callable[..., Ran], receiver: Receiver) -> tuple[str, str]:
    """The id and the secret of a new endpoint."""
    done = tracker("add", receiver.url)
    secret = done.stdout.decode().strip()
    assert re.fullmatch(r"whsec_[A-Za-z0-9+/]{43}=", secret)
    assert secret.encode() not in done.stderr
    (id_,) = re.findall(r"ep_[0-9a-f]{16}", done.stderr.decode())
    return str(id_), secret


def listed(tracker: Callable[..., Ran]) -> dict[str, Any]:
    """The only endpoint."""
    (endpoint,) = json.loads(tracker("list", "--json").stdout)
    return dict(endpoint)


@contextlib.contextmanager
def running(tmp_path: Path, own_store_url: str, private_allowed: str = "true") -> Iterator[Service]:
    with serving(tmp_path / "data", STORE_URL=own_store_url, WEBHOOK_PRIVATE_ADDRESSES=private_allowed) as service:
        yield service
        assert "very-secret" not in service.output()
        assert "whsec_" not in service.output()


def clicked(service: Service, message_id: str) -> None:
    link = service.link("https://shop.example/", message_id)
    eventually(lambda: service.message(message_id))  # or both would be one change
    assert ask(service.port, "GET", link.removeprefix(service.url), [("User-Agent", SAFARI)]).status == 302


def test_stages_arrive_signed_and_in_order(
    tracker: Callable[..., Ran], receiver: Receiver, tmp_path: Path, own_store_url: str
) -> None:
    id_, secret = added(tracker, receiver)
    with running(tmp_path, own_store_url) as service:
        for n in range(3):
            clicked(service, f"m-{n}")
        eventually(lambda: len(receiver.got) >= 6)
        eventually(lambda: listed(tracker)["pending"] == 0)
        assert service.metric("tracker_webhooks_delivered_total") == 6
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == len(receiver.got) == 6
    for n in range(3):
        assert [told for told in receiver.told() if told[0] == f"m-{n}"] == [(f"m-{n}", "sent"), (f"m-{n}", "clicked")]
    told = [Webhook(secret).verify(body, headers) for headers, body in receiver.got]
    assert {each["type"] for each in told} == {"message.stage_changed"}
    (last,) = [each["data"] for each in told if each["data"]["sequence"] == 6]
    changes = service_changes(told)
    assert last == changes[-1]
    assert (last["previous_stage"], last["label"], last["correction"]) == ("sent", "Clicked", False)
    endpoint = listed(tracker)
    assert (endpoint["id"], endpoint["state"], endpoint["lag"]) == (id_, "enabled", 0)
    assert "very-secret" not in endpoint["url"]


def service_changes(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was told, in the order of the changes, with no number left out."""
    data = sorted((each["data"] for each in told), key=lambda each: int(each["sequence"]))
    assert [each["sequence"] for each in data] == list(range(1, len(data) + 1))
    return data


@pytest.mark.parametrize("own_store_url", ["sqlite"], indirect=True)
def test_private_addresses_are_not_connected_to_unless_the_operator_says_so(
    tracker: Callable[..., Ran], receiver: Receiver, tmp_path: Path, own_store_url: str
) -> None:
    added(tracker, receiver)
    with running(tmp_path, own_store_url, private_allowed="false") as service:
        clicked(service, "m-1")
        endpoint = eventually(lambda: listed(tracker), lambda found: found["last_error"])
    assert endpoint["last_error"] == "The URL does not begin with https://."
    assert endpoint["pending"] == 2
    assert receiver.connections == 0
    refused = run(tmp_path / "data", "webhooks", "add", receiver.url, STORE_URL=own_store_url)
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"very-secret" not in refused.stderr
    assert run(tmp_path / "data", "webhooks", "add", "https://10.0.0.1/", STORE_URL=own_store_url).returncode == 2


def test_an_endpoint_that_is_gone_is_disabled_and_enabled_again(
    tracker: Callable[..., Ran], receiver: Receiver, tmp_path: Path, own_store_url: str
) -> None:
    id_, secret = added(tracker, receiver)
    receiver.status = 410
    with running(tmp_path, own_store_url) as service:
        service.rewrite("m-1")
        endpoint = eventually(lambda: listed(tracker), lambda found: found["state"] == "disabled")
        assert "410" in endpoint["disabled_reason"]
        new = tracker("rotate", id_).stdout.decode().strip()
        assert new != secret
        receiver.status = 204
        tracker("enable", id_)
        eventually(lambda: len(receiver.got) == 2)
    for each in (secret, new):
        assert Webhook(each).verify(receiver.got[1][1], receiver.got[1][0])["data"]["message_id"] == "m-1"


@pytest.mark.parametrize("own_store_url", ["sqlite"], indirect=True)
def test_commands_say_what_there_is_not(tracker: Callable[..., Ran], receiver: Receiver) -> None:
    id_, _ = added(tracker, receiver)
    for action in ("disable", "rotate"):
        refused = tracker(action, "ep_none", code=1)
        assert (refused.stdout, refused.stderr) == (b"", b"tracker: there is no endpoint 'ep_none'\n")
    assert tracker("add", receiver.url, "--account", "nobody", code=1).stdout == b""
    tracker("replay", id_, code=2)
    tracker("replay", id_, "--sequence", "7", code=1)
    tracker("replay", id_, "--all-dead")
    assert json.loads(tracker("dead", "--json").stdout) == []
    assert tracker("dead", id_).stdout.startswith(b"ENDPOINT  SEQUENCE  MESSAGE_ID  ATTEMPTS  ")
    tracker("disable", id_)
    assert re.search(rb"disabled +0 +0 +0 +by an operator", tracker().stdout)
    tracker("remove", id_)
    assert json.loads(tracker("list", "--json").stdout) == []
