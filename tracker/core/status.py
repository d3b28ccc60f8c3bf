"""A message's status as a fold over the set of its events: total, commutative and idempotent.

Order, repeats and late arrival do not matter, since every part of the state is a minimum, a maximum or
a sum over distinct events. Must not know where events come from or where the status is kept.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from .devices import device_of
from .model import Actor, Consent, Event, EventType, Registration, Verdict


class Stage(enum.IntEnum):
    """How far a message got. A message's stage is the highest one reached, in this order."""

    SENT = 0
    DELIVERED = 1
    FAILED = 2
    OPENED = 3
    CLICKED = 4
    REPLIED = 5
    UNSUBSCRIBED = 6
    SPAM = 7


STAGE_NAMES: Final = {stage: stage.name.lower() for stage in Stage}
"""The stages as they are stored and told."""

LABELS: Final[dict[Stage, str | None]] = {
    Stage.SENT: None,
    Stage.DELIVERED: "Delivered",
    Stage.FAILED: "Failed",
    Stage.OPENED: "Opened",
    Stage.CLICKED: "Clicked",
    Stage.UNSUBSCRIBED: "Unsubscribed",
    Stage.SPAM: "Spam",
}
"""The label in a lead's activity. `REPLIED` has none of its own: the label of the stage below it stands."""


class Shown(NamedTuple):
    """A stage and what it is called."""

    stage: Stage
    name: str
    """As it is stored and told."""
    label: str | None
    """In a lead's activity."""
    last_action: str
    """In reports."""


# By the stage and the one whose label it has: made once, since the enumeration takes long to say a name.
_SHOWN: Final = {
    (stage, labelled): Shown(stage, STAGE_NAMES[stage], LABELS[labelled], STAGE_NAMES[stage].capitalize())
    for stage in Stage
    for labelled in LABELS
}

DROPPED: Final = "Dropped"
"""The `Status.failure` of a message that was never handed to a mail server."""


class Counts(msgspec.Struct):
    """How many hits, by who made them."""

    human: int = 0
    proxy: int = 0
    machine: int = 0

    @property
    def total(self) -> int:
        """By whomever."""
        return self.human + self.proxy + self.machine

    def add(self, actor: Actor, count: int) -> None:
        """Count ``count`` more hits of ``actor``."""
        setattr(self, actor, getattr(self, actor) + count)


Moment = tuple[int, bytes]
"""When, and the id of the event that says so: makes "the earliest" unambiguous when times are equal."""


class Status(msgspec.Struct):
    """The folded state of one message. Times are microseconds since the epoch; None means not (yet) so.

    The open and click times are those of persons, image proxies included: machines do not move the stage.
    """

    account: str
    message_id: str
    registration: Registration | None = None
    registered: Moment | None = None
    """The earliest registration, whose facts hold when two of them disagree."""
    failed: Moment | None = None
    """The earliest failure, whose code holds."""
    failure: str | None = None
    sent_at: int | None = None
    delivered_at: int | None = None
    first_opened_at: int | None = None
    last_opened_at: int | None = None
    first_clicked_at: int | None = None
    last_clicked_at: int | None = None
    replied_at: int | None = None
    unsubscribed_at: int | None = None
    complained_at: int | None = None
    untracked_since: int | None = None
    """Since when hits are not this message's any more, where it has no recipient to remember that for."""
    opens: Counts = msgspec.field(default_factory=Counts)
    clicks: Counts = msgspec.field(default_factory=Counts)
    links: dict[tuple[int, str], Counts] = msgspec.field(default_factory=dict)
    """Clicks by link: number and destination."""
    devices: dict[str, int] = msgspec.field(default_factory=dict)
    """What people opened and clicked on, as `device_of` has it, and how often."""

    @property
    def rewritten_at(self) -> int | None:
        """When the message was first registered."""
        return self.registered[0] if self.registered else None

    @property
    def failed_at(self) -> int | None:
        """When the message first failed."""
        return self.failed[0] if self.failed else None

    @property
    def has_hits(self) -> bool:
        """Whether anybody opened it or clicked in it, machines included."""
        return bool(self.opens.total or self.clicks.total)

    @property
    def stage(self) -> Stage:
        """The highest stage reached."""
        if self.complained_at is not None:
            return Stage.SPAM
        if self.unsubscribed_at is not None:
            return Stage.UNSUBSCRIBED
        if self.replied_at is not None:
            return Stage.REPLIED
        return self._stage_without_reply

    @property
    def _stage_without_reply(self) -> Stage:
        if self.first_clicked_at is not None:
            return Stage.CLICKED
        if self.first_opened_at is not None:
            return Stage.OPENED
        if self.failed is not None:
            return Stage.FAILED
        return Stage.SENT if self.delivered_at is None else Stage.DELIVERED

    @property
    def shown(self) -> Shown:
        """The stage, and all that it is called."""
        stage = self.stage
        return _SHOWN[stage, self._stage_without_reply if stage is Stage.REPLIED else stage]

    @property
    def label(self) -> str | None:
        """The label in a lead's activity."""
        return self.shown.label

    @property
    def last_action(self) -> str:
        """The stage as reports name it."""
        return self.shown.last_action


# Looked up for every event: on the enumeration itself that takes ten times as long.
_OPENED: Final = EventType.OPENED.value
_HUMAN: Final = Actor.HUMAN
_MACHINE: Final = Actor.MACHINE


def fold(status: Status, events: Iterable[tuple[Event, Verdict | None]]) -> Status:
    """``status`` with ``events`` folded in. None of them may be folded in already; ids must be distinct.

    Changes and returns ``status``. Events of types without a meaning here leave it as it is.
    """
    for event, verdict in events:
        if verdict is not None:
            fold_hit(status, event, verdict.actor)
        else:
            fold_reported(status, event)
    return status


def fold_reported(status: Status, event: Event) -> None:
    """Fold in one event that is no hit."""
    step = _STEPS.get(event.facts.type)
    if step is not None:
        step(status, event)


def whole_fold(account: str, message_id: str, events: Iterable[tuple[Event, Verdict | None]]) -> Status:
    """The status of a message from any collection of its events, repeats included."""
    distinct = {event.id: (event, verdict) for event, verdict in events}
    return fold(Status(account, message_id), distinct.values())


def fold_hit(status: Status, event: Event, actor: Actor) -> None:
    """Fold in one hit, of ``actor``."""
    _count_hit(status, event, actor, event.count)
    if event.facts.type == _OPENED:
        if actor is not _MACHINE:
            status.first_opened_at = _earliest(status.first_opened_at, event.occurred_at)
            status.last_opened_at = max(status.last_opened_at or 0, event.last_at)
    elif actor is _HUMAN:
        status.first_clicked_at = _earliest(status.first_clicked_at, event.occurred_at)
        status.last_clicked_at = max(status.last_clicked_at or 0, event.last_at)


def count_anew(status: Status, event: Event, before: Actor, after: Actor) -> None:
    """Count a hit that was folded in as ``before``'s as ``after``'s. The times of opens and clicks stay as they are."""
    _count_hit(status, event, before, -event.count)
    _count_hit(status, event, after, event.count)


def _count_hit(status: Status, event: Event, actor: Actor, count: int) -> None:
    facts = event.facts
    if facts.type == _OPENED:
        status.opens.add(actor, count)
    else:
        status.clicks.add(actor, count)
        status.links.setdefault((facts.link or 0, facts.url or ""), Counts()).add(actor, count)
    if actor is _HUMAN:
        device = facts.device or device_of(facts.user_agent or "")
        status.devices[device] = status.devices.get(device, 0) + count
        if not status.devices[device]:
            del status.devices[device]


def _earliest(known: int | None, occurred_at: int) -> int:
    return occurred_at if known is None or occurred_at < known else known


def _fold_registration(status: Status, event: Event) -> None:
    moment = (event.occurred_at, event.id)
    if status.registered is None or moment < status.registered:
        status.registered = moment
        status.registration = event.facts.registration


def _fold_failure(status: Status, event: Event) -> None:
    moment = (event.occurred_at, event.id)
    if status.failed is None or moment < status.failed:
        status.failed = moment
        delivery = event.facts.delivery
        dropped = event.facts.type == EventType.DROPPED
        status.failure = DROPPED if dropped else delivery.status_code if delivery else None


def _fold_consent(status: Status, event: Event) -> None:
    change = event.facts.change
    if change is not None and change.recipient is None and Consent.DENIED in (change.opens, change.clicks):
        status.untracked_since = _earliest(status.untracked_since, event.occurred_at)


def _fold_time(field: str) -> Callable[[Status, Event], None]:
    def step(status: Status, event: Event) -> None:
        setattr(status, field, _earliest(getattr(status, field), event.occurred_at))

    return step


_STEPS: Final[dict[str, Callable[[Status, Event], None]]] = {
    EventType.REWRITTEN: _fold_registration,
    EventType.FAILED: _fold_failure,
    EventType.DROPPED: _fold_failure,
    EventType.SENT: _fold_time("sent_at"),
    EventType.DELIVERED: _fold_time("delivered_at"),
    EventType.REPLIED: _fold_time("replied_at"),
    EventType.UNSUBSCRIBED: _fold_time("unsubscribed_at"),
    EventType.COMPLAINED: _fold_time("complained_at"),
    EventType.CONSENT_CHANGED: _fold_consent,
}
