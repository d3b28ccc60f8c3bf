"""What a message counts for in its batch."""

from __future__ import annotations

from typing import Any

import pytest

from tracker.core.batches import MAX_KEY_CHARS, Key, Measure, counted, share_of, short_key
from tracker.core.model import Registration
from tracker.core.status import Counts, Status

HOUR = 3_600_000_000


def message(*, opens: bool = True, clicks: bool = True, batch: str | None = "b", **fields: Any) -> Status:
    registration = Registration("lead", batch, tracks_opens=opens, tracks_clicks=clicks)
    return Status("default", "m-1", registration, (0, b""), **fields)


def measures(status: Status) -> set[str]:
    """What it counts for by itself, without the hits and what has a key."""
    return {key.measure for key, count in counted(share_of(status)).items() if not key.key and count == 1}


BOTH = {"opened_both", "clicked_both"}
REGISTERED = {"messages", "reached", "tracked_opens", "reached_opens", "tracked_clicks", "reached_clicks"}
FAILED = {"messages", "tracked_opens", "tracked_clicks"}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (message(), REGISTERED),
        (message(sent_at=1), REGISTERED | {"sent"}),
        (message(sent_at=1, delivered_at=2), REGISTERED | {"sent", "delivered"}),
        (message(failed=(3, b"x"), failure="550 5.1.1"), FAILED),
        (message(replied_at=1), REGISTERED | {"replied"}),
        (message(unsubscribed_at=2, complained_at=3), REGISTERED | {"unsubscribed", "complained"}),
        # Tracked in part, or not at all.
        (message(opens=False), {"messages", "reached", "tracked_clicks", "reached_clicks"}),
        (message(clicks=False), {"messages", "reached", "tracked_opens", "reached_opens"}),
        (message(opens=False, clicks=False), {"messages", "reached"}),
    ],
)
def test_what_was_reported(status: Status, expected: set[str]) -> None:
    assert measures(status) == expected


def hit(*, opens: tuple[int, int, int] = (0, 0, 0), clicks: tuple[int, int, int] = (0, 0, 0), **more: Any) -> Status:
    status = message(**more)
    status.opens, status.clicks = Counts(*opens), Counts(*clicks)
    status.first_opened_at = 5 * HOUR if opens[0] or opens[1] else None
    status.first_clicked_at = 7 * HOUR if clicks[0] else None
    return status


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (hit(opens=(2, 0, 0)), {"opened", "opened_both"}),
        (hit(opens=(0, 1, 0)), {"opened", "opened_proxy", "opened_both"}),
        (hit(opens=(1, 1, 1)), {"opened", "opened_both"}),
        (hit(opens=(0, 0, 3)), {"opened_machine"}),
        (hit(opens=(0, 1, 0), clicks=(1, 0, 0)), {"opened", "clicked"} | BOTH),
        (hit(clicks=(1, 0, 0)), {"opened", "opened_implied", "clicked"} | BOTH),
        (hit(opens=(0, 0, 1), clicks=(0, 0, 4)), {"opened_machine", "clicked_machine"}),
        (hit(opens=(0, 0, 1), clicks=(1, 0, 1)), {"opened", "opened_implied", "clicked"} | BOTH),
    ],
)
def test_who_opened_and_clicked(status: Status, more: set[str]) -> None:
    assert measures(status) == REGISTERED | more


def test_what_is_not_tracked_is_no_share_of_anything() -> None:
    only_clicks = hit(clicks=(1, 0, 0), opens=(0, 0, 0))
    assert only_clicks.registration is not None
    only_clicks.registration = Registration("lead", "b", tracks_opens=False, tracks_clicks=True)
    found = measures(only_clicks)
    assert "clicked" in found
    assert not found & {"opened", "opened_both", "clicked_both", "opened_implied", "tracked_opens"}
    assert Key(Measure.OPENED_HOUR, "7") not in counted(share_of(only_clicks))


def test_hits_by_actor_and_messages_by_actor() -> None:
    counts = counted(share_of(hit(opens=(3, 2, 1), clicks=(2, 0, 5))))
    assert {key.key: count for key, count in counts.items() if key.measure == Measure.OPENS} == {
        "human": 3, "proxy": 2, "machine": 1,
    }  # fmt: skip
    assert {key.key: count for key, count in counts.items() if key.measure == Measure.CLICKERS} == {
        "human": 1, "machine": 1,
    }  # fmt: skip


def test_hours_are_those_of_the_first_time() -> None:
    counts = counted(share_of(hit(opens=(1, 0, 0), clicks=(1, 0, 0))))
    assert counts[Key(Measure.OPENED_HOUR, "5")] == counts[Key(Measure.CLICKED_HOUR, "7")] == 1
    implied = counted(share_of(hit(clicks=(1, 0, 0))))
    assert implied[Key(Measure.OPENED_HOUR, "7")] == 1


def test_two_links_to_one_destination_are_one() -> None:
    status = hit(clicks=(3, 0, 1))
    status.links = {
        (0, "https://a/"): Counts(1, 0, 1),
        (3, "https://a/"): Counts(2, 0, 0),
        (4, "https://b/"): Counts(0, 0, 9),
    }
    counts = counted(share_of(status))
    assert counts[Key(Measure.LINK, "https://a/")] == 1
    assert counts[Key(Measure.LINK_HUMAN, "https://a/")] == 3
    assert counts[Key(Measure.LINK_MACHINE, "https://b/")] == 9
    assert Key(Measure.LINK, "https://b/") not in counts


def test_failures_by_code_and_devices() -> None:
    status = message(failed=(1, b"x"), failure=None, devices={"mobile/iOS/Apple Mail": 7})
    assert counted(share_of(status))[Key(Measure.FAILED, "")] == 1
    assert counted(share_of(status))[Key(Measure.DEVICE, "mobile/iOS/Apple Mail")] == 1
    assert counted(share_of(message(failed=(1, b"x"), failure="Dropped")))[Key(Measure.FAILED, "Dropped")] == 1


def test_nothing_counts_without_a_batch() -> None:
    assert counted(share_of(message(batch=None))) == {}
    assert counted(share_of(Status("default", "m-1", first_opened_at=1))) == {}


def test_a_long_key_is_cut_and_stays_its_own() -> None:
    one, two = ("https://shop.example/" + "x" * 300 + end for end in "ab")
    assert short_key(one[:MAX_KEY_CHARS]) == one[:MAX_KEY_CHARS]
    assert short_key(one) != short_key(two)
    assert short_key(one).startswith(one[:MAX_KEY_CHARS])
    assert len(short_key(one)) < MAX_KEY_CHARS + 20
