"""The deliverer against a real store, a real sender, and a receiver on loopback that checks what it gets."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw
import pytest
from spools import counted, until
from standardwebhooks import Webhook, WebhookVerificationError

from tracker import deliver
from tracker.core.errors import StoreUnavailable
from tracker.core.model import Event, Facts, Registration, uuid7
from tracker.core.webhooks import RETRY_DELAYS_S
from tracker.deliver import Deliverer, payload, webhook_id
from tracker.outgoing import Outgoing, Unreachable
from tracker.stores import Change, Store
from tracker.stores.outbox import Outbox
from tracker.stores.sqlite import Sqlite

pytestmark = pytest.mark.anyio

SECRET: Final = "whsec_" + base64.b64encode(b"s" * 32).decode()
NEW_SECRET: Final = "whsec_" + base64.b64encode(b"n" * 32).decode()


class Got(NamedTuple):
    """A request that the receiver has got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.body)["data"])

    @property
    def told(self) -> tuple[str, str]:
        return self.data["message_id"], self.data["stage"]


class Receiver:
    """A server on loopback; ``answer`` says the status of each answer, and may wait."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.got: list[Got] = []
        self.tasks: list[asyncio.Task[None] | None] = []
        self.at_once = self.most_at_once = 0
        self.status: Callable[[Got], int] = lambda got: 204
        self.wait: Callable[[Got], asyncio.Event | None] = lambda got: None

    def url(self, path: str = "/in") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.current_task())
        quiet = contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with quiet, contextlib.closing(writer):
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            got = Got(first.split(" ")[1], headers, await reader.readexactly(int(headers["content-length"])))
            self.got.append(got)
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
            try:
                await asyncio.sleep(0.002)
                if event := self.wait(got):
                    await event.wait()
            finally:
                self.at_once -= 1
            location = f"Location: {self.url('/elsewhere')}\r\n"
            writer.write(f"HTTP/1.1 {self.status(got)} X\r\n{location}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()

    def told(self) -> list[tuple[str, str]]:
        return [got.told for got in self.got]

    def stages(self, message_id: str) -> list[str]:
        return [stage for message, stage in self.told() if message == message_id]


class World:
    """A store with one endpoint, whose receiver is on loopback, and a clock that the test moves."""

    def __init__(self, store: Store, receiver: Receiver) -> None:
        self.store = store
        self.receiver = receiver
        self.box = Outbox(store.database)
        self.outgoing = Outgoing(private_allowed=True)
        self.ahead_s = 0.0

    def clock(self) -> float:
        return time.time() + self.ahead_s

    def now(self) -> int:
        return int(self.clock() * 1e6)

    async def change(self, message_id: str, *stages: str) -> None:
        for stage in stages:
            now = int(time.time() * 1e6)
            type_, registration = (stage, None) if stage != "sent" else ("rewritten", Registration("lead", "b"))
            facts = Facts("default", message_id, type_, registration=registration, user_agent="Mozilla/5.0 Firefox/1")
            id_ = uuid7(now // 1000, 0, os.urandom(8))
            await self.store.record([Event(id_, "n", now, now, now, 1, facts)])

    def deliverer(self, owner: str = "node-a", sender: deliver.Sender | None = None) -> Deliverer:
        return Deliverer(self.box, sender or self.outgoing, owner=owner, clock=self.clock, jitter=lambda: 0.5)

    async def pending(self, endpoint_id: str = "ep_1") -> int:
        """The deliveries and changes that wait."""
        (state,) = [state for state in await self.box.list_endpoints() if state.id == endpoint_id]
        return state.pending + state.lag

    async def attempts(self) -> int:
        """Of the only delivery that waits."""
        ((_, _, attempts, _),) = await self.box.due("ep_1", self.now() + 10**15, 2)
        return attempts

    async def settled(self, condition: Callable[[], Any]) -> None:
        while not await condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def delivering(*deliverers: Deliverer) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each.run()) for each in deliverers]
    try:
        async with asyncio.timeout(30):
            yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "_LOOK_S", 0.01)
    monkeypatch.setattr(deliver, "_IDLE_S", 0.02)
    monkeypatch.setattr(deliver, "_LAST_S", 0.2)
    monkeypatch.setattr(deliver, "backoff_s", lambda failures: 0.01)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver(0)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()
    running = [task for task in receiver.tasks if task]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


@pytest.fixture
async def world(tmp_path: Path, receiver: Receiver) -> AsyncIterator[World]:
    store = Store(Sqlite(tmp_path / "status.db"))
    await store.open()
    world = World(store, receiver)
    await world.box.add_endpoint("ep_1", "default", receiver.url(), SECRET)
    yield world
    await store.close()


async def test_a_change_is_told_signed_and_once(world: World) -> None:
    before = counted("webhooks_delivered")
    async with delivering(world.deliverer()):
        await world.change("m-1", "sent", "clicked")
        await until(lambda: len(world.receiver.got) == 2)
        await world.settled(lambda: none_left(world))
        await asyncio.sleep(0.05)
    first, second = world.receiver.got
    told = Webhook(SECRET).verify(first.body, first.headers)
    change = (await world.store.changes("default"))[0]
    assert told == {
        "type": "message.stage_changed",
        "timestamp": told["data"]["changed_at"],
        "data": {
            "message_id": "m-1", "batch": "b", "recipient": "lead", "stage": "sent", "previous_stage": None,
            "label": None, "last_action": "Sent", "status": None, "correction": False,
            "changed_at": told["data"]["changed_at"], "sequence": 1,
        },
    }  # fmt: skip
    changed_at = datetime.fromisoformat(told["timestamp"])
    assert (changed_at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == change.changed_at
    assert first.headers["webhook-id"] == "chg_default_1"
    assert first.headers["content-type"] == "application/json"
    assert Webhook(SECRET).verify(second.body, second.headers)["data"]["previous_stage"] == "sent"
    assert world.receiver.told() == [("m-1", "sent"), ("m-1", "clicked")]
    assert counted("webhooks_delivered") == before + 2


async def none_left(world: World) -> bool:
    return await world.pending() == 0


async def test_one_that_fails_is_sent_again_under_the_same_id(world: World) -> None:
    world.receiver.status = lambda got: 500 if len(world.receiver.got) == 1 else 200
    async with delivering(world.deliverer()):
        await world.change("m-1", "sent")
        await until(lambda: len(world.receiver.got) == 1)
        await asyncio.sleep(0.1)
        assert len(world.receiver.got) == 1
        assert (await world.box.list_endpoints())[0].last_error == "the answer is 500"
        world.ahead_s = RETRY_DELAYS_S[0]
        await world.settled(lambda: none_left(world))
    first, second = world.receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert int(second.headers["webhook-timestamp"]) >= int(first.headers["webhook-timestamp"]) + 5
    for got in world.receiver.got:
        Webhook(SECRET).verify(got.body, got.headers)


async def test_a_message_that_fails_holds_back_itself_and_no_other(world: World) -> None:
    failing = True
    world.receiver.status = lambda got: 503 if failing and got.data["message_id"] == "m-bad" else 200
    await world.change("m-bad", "sent", "clicked", "unsubscribed")
    for n in range(20):
        await world.change(f"m-{n}", "sent", "clicked")
    async with delivering(world.deliverer()):
        await until(lambda: len(world.receiver.got) == 41)
        await asyncio.sleep(0.05)
        assert world.receiver.stages("m-bad") == ["sent"]
        failing = False
        world.ahead_s = RETRY_DELAYS_S[0]
        await world.settled(lambda: none_left(world))
    assert world.receiver.stages("m-bad") == ["sent", "sent", "clicked", "unsubscribed"]
    assert all(world.receiver.stages(f"m-{n}") == ["sent", "clicked"] for n in range(20))
    assert 1 < world.receiver.most_at_once <= 8


async def test_one_that_hangs_holds_back_no_other_message(world: World) -> None:
    release = asyncio.Event()
    world.receiver.wait = lambda got: release if got.data["message_id"] == "m-slow" else None
    await world.change("m-slow", "sent", "clicked")
    async with delivering(world.deliverer()):
        await until(lambda: world.receiver.at_once == 1)
        for n in range(20):
            await world.change(f"m-{n}", "sent", "clicked")
        await until(lambda: len(world.receiver.got) == 41)
        assert world.receiver.stages("m-slow") == ["sent"]
        release.set()
        await world.settled(lambda: none_left(world))
    assert world.receiver.stages("m-slow") == ["sent", "clicked"]


async def test_410_disables_the_endpoint(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.receiver.status = lambda got: 410
    async with delivering(world.deliverer()):
        await world.change("m-1", "sent", "clicked")
        await until(lambda: len(world.receiver.got) == 1)
        await world.settled(lambda: disabled(world))
        await world.change("m-2", "sent")
        await asyncio.sleep(0.1)
        assert len(world.receiver.got) == 1
        (state,) = await world.box.list_endpoints()
        assert state.disabled_reason == "the receiver answered 410 Gone"
        world.receiver.status = lambda got: 200
        await world.box.enable("ep_1")
        await world.settled(lambda: none_left(world))
    assert sorted(world.receiver.told()[1:]) == [("m-1", "clicked"), ("m-1", "sent"), ("m-2", "sent")]
    assert str(world.receiver.port) not in caplog.text


async def disabled(world: World) -> bool:
    return (await world.box.list_endpoints())[0].disabled_at is not None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 199, 404, 429])
async def test_any_other_answer_is_a_failure_and_no_redirect_is_followed(world: World, status: int) -> None:
    world.receiver.status = lambda got: status
    async with delivering(world.deliverer()):
        await world.change("m-1", "sent")
        await world.settled(lambda: tried(world, 1))
        await asyncio.sleep(0.02)
    assert [got.path for got in world.receiver.got] == ["/in"]


async def tried(world: World, attempts: int) -> bool:
    return await world.pending() == 1 and bool(await world.box.due("ep_1", world.now() + 10**15, 1)) and (
        await world.attempts() == attempts
    )  # fmt: skip


async def test_dead_after_the_whole_schedule_and_replayed(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.receiver.status = lambda got: 500
    dead, failed = counted("webhooks_dead"), counted("webhooks_failed")
    async with delivering(world.deliverer()):
        await world.change("m-1", "sent", "clicked")
        for attempts, delay_s in enumerate(RETRY_DELAYS_S, 1):
            await until(lambda attempts=attempts: len(world.receiver.got) == attempts)  # type: ignore[misc]
            await asyncio.sleep(0.03)
            world.ahead_s += delay_s - 2
            await asyncio.sleep(0.03)
            assert len(world.receiver.got) == attempts, "too early"
            world.ahead_s += 2
        await until(lambda: len(world.receiver.got) == 11)  # the next one of the message has its turn
        await asyncio.sleep(0.05)
        (letter,) = await world.box.dead_letters()
        assert (letter.sequence, letter.attempts, letter.error) == (1, 10, "the answer is 500")
        assert letter.last_tried_at - letter.first_tried_at == pytest.approx(sum(RETRY_DELAYS_S) * 1e6, rel=1e-3)
        world.receiver.status = lambda got: 200
        world.ahead_s += 5
        await world.settled(lambda: none_left(world))
        assert await world.box.replay("ep_1", None, world.now()) == 1
        await world.settled(lambda: none_left(world))
    assert {got.headers["webhook-id"] for got in world.receiver.got if got.told[1] == "sent"} == {"chg_default_1"}
    assert world.receiver.stages("m-1") == ["sent"] * 10 + ["clicked"] * 2 + ["sent"]
    assert (counted("webhooks_dead"), counted("webhooks_failed")) == (dead + 1, failed + 10)
    assert "ep_1" in caplog.text
    assert str(world.receiver.port) not in caplog.text


async def test_both_secrets_sign_while_one_is_replaced(world: World) -> None:
    await world.box.rotate("ep_1", NEW_SECRET, world.now() + 86_400_000_000)
    async with delivering(world.deliverer()):
        await world.change("m-1", "sent")
        await until(lambda: len(world.receiver.got) == 1)
        got = world.receiver.got[0]
        for secret in (SECRET, NEW_SECRET):
            Webhook(secret).verify(got.body, got.headers)
        await world.settled(lambda: none_left(world))
        await world.box.rotate("ep_1", NEW_SECRET, world.now() - 1)
    await asyncio.sleep(0.02)
    async with delivering(world.deliverer()):
        await world.change("m-2", "sent")
        await until(lambda: len(world.receiver.got) == 2)
    got = world.receiver.got[1]
    assert len(got.headers["webhook-signature"].split(" ")) == 1
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body, got.headers)


async def test_killed_between_the_answer_and_its_note_it_is_sent_again(world: World, tmp_path: Path) -> None:
    """What a process notes last is what it may lose: at least once, and never less."""

    class Killed(Outbox):
        async def settle(self, *arguments: Any) -> None:
            await asyncio.sleep(3600)

    dying = Deliverer(Killed(world.store.database), world.outgoing, owner="node-a")
    await world.change("m-1", "sent")
    async with delivering(dying):
        await until(lambda: len(world.receiver.got) == 1)
        await asyncio.sleep(0.05)
    assert await world.pending() == 1
    async with delivering(world.deliverer("node-b")):
        await world.settled(lambda: none_left(world))
    first, second = world.receiver.got
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)


async def test_stopped_in_order_what_is_under_way_is_noted(world: World) -> None:
    release = asyncio.Event()
    world.receiver.wait = lambda got: release
    await world.change("m-1", "sent")
    async with delivering(world.deliverer()):
        await until(lambda: world.receiver.at_once == 1)
        asyncio.get_running_loop().call_later(0.05, release.set)
    assert await world.pending() == 0
    assert await world.box.take_lease("ep_1", "node-b", 1) is not None  # given up


async def test_of_several_processes_one_delivers(world: World) -> None:
    async with delivering(*(world.deliverer(f"node-{n}") for n in range(4))):
        for n in range(10):
            await world.change(f"m-{n}", "sent", "clicked")
        await world.settled(lambda: none_left(world))
        await asyncio.sleep(0.05)
    assert sorted(world.receiver.told()) == sorted(
        (f"m-{n}", stage) for n in range(10) for stage in ("sent", "clicked")
    )


async def test_an_endpoint_in_trouble_is_no_trouble_to_others(world: World, receiver: Receiver) -> None:
    await world.box.add_endpoint("ep_2", "default", receiver.url("/two"), "not a secret")
    release = asyncio.Event()
    await world.box.add_endpoint("ep_3", "default", receiver.url("/three"), SECRET)
    receiver.wait = lambda got: release if got.path == "/three" else None
    async with delivering(world.deliverer()):
        for n in range(10):
            await world.change(f"m-{n}", "sent")
        await world.settled(lambda: none_left(world))
    assert {got.path for got in receiver.got} == {"/in", "/three"}
    assert {state.last_error for state in await world.box.list_endpoints() if state.id == "ep_2"} == {
        "unexpected ValueError"
    }


async def test_exceptions_of_one_endpoint_stay_its_own(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Outbox):
        error = RuntimeError("quotes lead@example.com")

        async def due(self, endpoint_id: str, now: int, limit: int) -> Any:
            if endpoint_id == "ep_0":
                raise self.error
            return await super().due(endpoint_id, now, limit)

    await world.box.add_endpoint("ep_0", "default", world.receiver.url("/zero"), SECRET)
    broken = Deliverer(Broken(world.store.database), world.outgoing, owner="node-a")
    async with delivering(broken):
        await world.change("m-1", "sent")
        await until(lambda: len(world.receiver.got) == 1)
        await world.change("m-2", "sent")
        await until(lambda: len(world.receiver.got) == 2)
    assert "unexpected RuntimeError" in caplog.text
    assert "lead@example.com" not in caplog.text


async def test_a_store_that_is_away_is_waited_for(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Away(Outbox):
        away = True

        async def endpoints_to_serve(self, owner: str, now: int) -> dict[str, bool]:
            if self.away:
                raise StoreUnavailable
            return await super().endpoints_to_serve(owner, now)

    box = Away(world.store.database)
    await world.change("m-1", "sent")
    async with delivering(Deliverer(box, world.outgoing, owner="node-a")):
        await asyncio.sleep(0.05)
        assert world.receiver.got == []
        box.away = False
        await until(lambda: len(world.receiver.got) == 1)
    assert "The status store cannot be reached" in caplog.text


async def test_the_receiver_away_or_forbidden_shows_the_reason(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with delivering(world.deliverer(sender=Outgoing(private_allowed=False))):
        await world.change("m-1", "sent")
        await world.settled(lambda: tried(world, 1))
    assert world.receiver.got == []
    assert (await world.box.list_endpoints())[0].last_error == "The URL does not begin with https://."
    assert "webhooks of ep_1: 1 failed" in caplog.text


async def test_the_lease_is_renewed_and_given_up_where_it_is_lost(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver, "_RENEW_S", 0.02)
    leases: list[str] = []

    class Losing(Outbox):
        async def take_lease(self, endpoint_id: str, owner: str, seconds: float) -> Any:
            leases.append(endpoint_id)
            return await super().take_lease(endpoint_id, owner, seconds) if len(leases) < 4 else None

    world.receiver.wait = lambda got: asyncio.Event()
    await world.change("m-1", "sent")
    async with delivering(Deliverer(Losing(world.store.database), world.outgoing, owner="node-a")):
        await until(lambda: world.receiver.at_once == 1)
        await until(lambda: len(leases) >= 4)
        await asyncio.sleep(0.05)
    assert len(world.receiver.got) == 1


async def test_one_without_an_answer_is_given_up_in_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
            await asyncio.sleep(3600)
            raise Unreachable

    monkeypatch.setattr(deliver, "_SEND_S", 0.02)
    async with delivering(world.deliverer(sender=Silent())):
        await world.change("m-1", "sent")
        await world.settled(lambda: tried(world, 1))
    assert (await world.box.list_endpoints())[0].last_error == "no answer in time"


async def test_a_change_that_is_no_longer_kept_is_given_up(world: World, tmp_path: Path) -> None:
    await world.change("m-1", "sent")
    await world.box.fill("ep_1", world.now())
    with contextlib.closing(apsw.Connection(str(tmp_path / "status.db"))) as db:
        db.execute("DELETE FROM changes")
    async with delivering(world.deliverer()):
        await world.settled(lambda: none_left(world))
    (letter,) = await world.box.dead_letters()
    assert (letter.error, world.receiver.got) == ("the change is no longer kept", [])


def test_the_largest_payload_is_small_enough() -> None:
    """By the limits of the API: see `tracker.web.api.requests`."""
    text = "\U0001f600" * 320
    change = Change(
        2**63 - 1, "m" * 128, text, text, "unsubscribed", "unsubscribed", "Unsubscribed", "Unsubscribed", text, True,
        253_402_300_799_999_999,
    )  # fmt: skip
    body = payload(change)
    assert len(body) < 20_000
    assert json.loads(body)["timestamp"] == "9999-12-31T23:59:59.999999Z"
    assert len(webhook_id("a" * 64, 2**63 - 1)) <= 128
