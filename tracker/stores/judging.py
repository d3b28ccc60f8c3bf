"""Gives hits their verdicts, and earlier hits another one where a later one tells more about them.

Owns which hits have to be looked at again. What a verdict is, is `core.agents`. Messages are locked by then, so that of
two batches the later one sees the hits of both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from tracker.core.agents import JUDGED_TYPES, REACH_US, ClassifierSettings, differ, judge
from tracker.core.model import Event, EventType, Verdict
from tracker.core.status import Status, count_anew, fold_hit, whole_fold

from .before import Before, arrived
from .database import Each, Row
from .rows import Key, judged_event, key_of, verdict_row

HITS: Final = frozenset(type_.value for type_ in JUDGED_TYPES)

MOST_NEAR: Final = 500
"""So many earlier hits of a message are looked at to judge new ones. No reader comes near that in some minutes; and
nobody shall make recording slow with one link."""

_Judged = tuple[Event, Verdict | None]


class _Settings(msgspec.Struct, frozen=True):
    """As much of an account's settings as concerns verdicts."""

    classifier: ClassifierSettings = ClassifierSettings()


_DEFAULTS: Final = ClassifierSettings()
_decode_settings: Final = msgspec.json.Decoder(_Settings).decode


class Classifiers:
    """What counts as a sign of a machine, for each account that was asked about."""

    def __init__(self, documents: Iterable[Row]) -> None:
        self._of = {account: _classifier_in(document) for account, document in documents}

    def judge(self, hits: Iterable[Event], status: Status) -> dict[bytes, Verdict]:
        """The verdicts on ``hits``, all of them of one message, which is at ``status`` but for them."""
        return judge(hits, arrived(status), self._of.get(status.account, _DEFAULTS))


def _classifier_in(document: str) -> ClassifierSettings:
    """The classifier's settings in an account's; the defaults where a newer tracker wrote what this one can't read."""
    try:
        return _decode_settings(document).classifier
    except msgspec.ValidationError:
        return _DEFAULTS


def classifiers(keys: Iterable[Key]) -> Generator[Each, Sequence[Row], Classifiers]:
    """Those in force for the accounts of these messages."""
    return Classifiers((yield Each("settings_of_accounts", sorted({key[:1] for key in keys}))))


def judging(
    new: Sequence[Event], before: Mapping[Key, Before], statuses: Mapping[Key, Status]
) -> Generator[Each, Sequence[Row], dict[Key, Status]]:
    """Folds the hits ``new``, which are stored, into ``statuses``, and changes the verdicts that they change.

    Returns the statuses of the messages whose arrival was reported in another way, which may change any verdict: they
    are folded from all of their events.
    """
    again = {key for key, was in before.items() if was.has_hits and was.arrived != arrived(statuses[key])}
    by_message: dict[Key, list[Event]] = defaultdict(list)
    for event in new:
        by_message[key_of(event)].append(event)
    known = yield from classifiers(by_message.keys() | again)
    for key in again:
        by_message.pop(key, None)
    earlier = yield from _earlier(before, by_message)
    verdicts: dict[bytes, Verdict] = {}
    moved = set()
    for key, hits in by_message.items():
        status, near = statuses[key], earlier.get(key, ())
        now = known.judge([*hits, *(event for event, _ in near)], status)
        for event in hits:
            verdicts[event.id] = now[event.id]
            fold_hit(status, event, now[event.id].actor)
        for event, old in _touched(near, hits):
            if differ(old, now[event.id]):
                verdicts[event.id] = now[event.id]
                if old.actor is not now[event.id].actor:
                    count_anew(status, event, old.actor, now[event.id].actor)
                    moved.add(key)
    yield from _putting(verdicts)
    yield from _timing(moved, statuses)
    return (yield from rejudging(again, statuses, known))


def _timing(keys: Iterable[Key], statuses: Mapping[Key, Status]) -> Generator[Each, Sequence[Row], None]:
    """Sets the times of opens and clicks by the verdicts as stored now: a minimum can't be taken back otherwise."""
    for account, message_id, *times in (yield Each("hit_times", sorted(keys))):
        status = statuses[account, message_id]
        status.first_opened_at, status.last_opened_at, status.first_clicked_at, status.last_clicked_at = times


def rejudging(
    keys: Iterable[Key], statuses: Mapping[Key, Status], known: Classifiers
) -> Generator[Each, Sequence[Row], dict[Key, Status]]:
    """Judges all hits of the messages anew; returns the statuses that come of it, from all of their events.

    Of ``statuses`` only matters when the mail arrived.
    """
    keys = sorted(keys)
    events: dict[Key, list[_Judged]] = {key: [] for key in keys}
    for row in (yield Each("events_of_messages", keys)):
        event, verdict = judged_event(row)
        events[key_of(event)].append((event, verdict))
    changed: dict[bytes, Verdict] = {}
    after = {}
    for key, judged in events.items():
        verdicts = known.judge((event for event, _ in judged if event.facts.type in HITS), statuses[key])
        changed |= {event.id: verdicts[event.id] for event, old in judged if old != verdicts.get(event.id)}
        after[key] = whole_fold(*key, [(event, verdicts.get(event.id)) for event, _ in judged])
    yield from _putting(changed)
    return after


def _putting(verdicts: Mapping[bytes, Verdict]) -> Generator[Each, Sequence[Row], None]:
    yield Each("put_verdicts", [verdict_row(id_, verdicts[id_]) for id_ in sorted(verdicts)])


def _earlier(
    before: Mapping[Key, Before], new: Mapping[Key, Sequence[Event]]
) -> Generator[Each, Sequence[Row], dict[Key, list[_Judged]]]:
    """The earlier hits that it takes to judge the hits ``new``, and these."""
    near: dict[Key, list[_Judged]] = defaultdict(list)
    spans = [(*key, *_span(hits), MOST_NEAR) for key, hits in new.items() if _may_matter(before.get(key), hits)]
    for row in (yield Each("earlier_hits_near", sorted(spans))):
        event, verdict = judged_event(row)
        near[key_of(event)].append((event, verdict))
    return near


def _may_matter(before: Before | None, new: Sequence[Event]) -> bool:
    """Whether hits that were judged earlier may have a part in the verdicts on ``new``, or get another one by them.

    Only bursts connect one hit with another, and there is none without two clicks, or one on the hidden link.
    """
    if before is None or not before.has_hits:
        return False
    if before.has_clicks:
        return True
    clicks = [event.facts for event in new if event.facts.type == EventType.CLICKED]
    return len({facts.url for facts in clicks}) > 1 or any(facts.honeypot for facts in clicks)


def _span(hits: Sequence[Event]) -> tuple[int, int]:
    """From when to when there may be hits that have a part in the verdict on one that these have a part in."""
    times = [event.occurred_at for event in hits]
    return min(times) - 2 * REACH_US, max(times) + 2 * REACH_US


def _touched(hits: Iterable[_Judged], new: Sequence[Event]) -> Iterator[tuple[Event, Verdict]]:
    """Those of ``hits`` that were judged before and that ``new`` may have a part in the verdict on.

    The others are there for the sake of these: not all that has a part in the verdicts on them is.
    """
    times = sorted(event.occurred_at for event in new)
    for event, verdict in hits:
        next_ = bisect_left(times, event.occurred_at - REACH_US)
        if verdict is not None and next_ < len(times) and times[next_] <= event.occurred_at + REACH_US:
            yield event, verdict
