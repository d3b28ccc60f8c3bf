from __future__ import annotations

import pytest

from tracker.core.model import Consent, Delivery, Event, Facts, MessageClass, RecipientChange, Registration, Suppression
from tracker.core.recipients import (
    ConsentTimes,
    ListStanding,
    Standing,
    is_address_failure,
    merged,
    standing_after,
    suppression,
)

MARKETING, TRANSACTIONAL = MessageClass.MARKETING, MessageClass.TRANSACTIONAL
FINE = Standing()
INVALID = Standing(invalid_at=5)
COMPLAINED = Standing(complained_at=5)
LEFT = ListStanding("news", unsubscribed_at=5)


def event(
    type_: str, at: int = 7, *, code: str | None = None, change: RecipientChange | None = None, list_: str | None = None
) -> Event:
    delivery = Delivery(code, "in words") if code is not None else None
    facts = Facts("default", "m-1", type_, list=list_, delivery=delivery, change=change)
    return Event(b"0" * 16, "n", at, at + 1, at + 2, 1, facts)


@pytest.mark.parametrize(
    ("standing", "on_list", "message_class", "why"),
    [
        (None, None, MARKETING, None),
        (FINE, ListStanding("news"), MARKETING, None),
        (INVALID, None, MARKETING, Suppression.INVALID),
        (INVALID, None, TRANSACTIONAL, Suppression.INVALID),
        (COMPLAINED, None, MARKETING, Suppression.COMPLAINED),
        (COMPLAINED, None, TRANSACTIONAL, Suppression.COMPLAINED),
        (None, LEFT, MARKETING, Suppression.UNSUBSCRIBED),
        (FINE, LEFT, TRANSACTIONAL, None),
        (merged(INVALID, COMPLAINED), LEFT, MARKETING, Suppression.INVALID),
        (COMPLAINED, LEFT, MARKETING, Suppression.COMPLAINED),
    ],
)
def test_who_must_not_be_written_to(
    standing: Standing | None, on_list: ListStanding | None, message_class: MessageClass, why: Suppression | None
) -> None:
    assert suppression(standing, on_list, message_class) is why


@pytest.mark.parametrize(("at", "reset_at", "stands"), [(5, None, True), (5, 4, True), (5, 5, False), (5, 6, False)])
def test_a_reset_lifts_what_came_before_it(at: int, reset_at: int | None, stands: bool) -> None:
    assert Standing(invalid_at=at, invalid_reset_at=reset_at).is_invalid is stands
    assert Standing(complained_at=at, complained_reset_at=reset_at).has_complained is stands
    assert ListStanding("news", unsubscribed_at=at, reset_at=reset_at).is_unsubscribed is stands


def test_a_reset_of_nothing_lifts_nothing_else() -> None:
    assert not Standing(invalid_reset_at=5).is_invalid
    assert Standing(invalid_at=5, complained_reset_at=9).is_invalid
    assert Standing(complained_at=5, invalid_reset_at=9).has_complained
    assert not ListStanding("news", reset_at=9).is_unsubscribed


@pytest.mark.parametrize(
    "code",
    [
        *("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10", "5.2.1", "550 5.1.1", "550-5.1.1 x", "#5.1.1", "(5.2.1)"),
        *("smtp;550 5.1.1 <a@b.example>", "550 5.1.1.", "550 5.1.1 5.7.1"),
    ],
)
def test_codes_that_condemn_an_address(code: str) -> None:
    assert is_address_failure(Delivery(code))


@pytest.mark.parametrize(
    "code",
    [
        *("", "550", "511", "5.1", "5.1.0", "5.1.4", "5.1.7", "5.1.8", "5.1.11", "5.2.2", "5.2.0", "5.2.10", "5.7.1"),
        *(
            "4.1.1",
            "4.2.1",
            "2.1.1",
            "15.1.1",
            "5.1.1.1",
            "1.5.1.1",
            "5.1.1000",
            "5. 1.1",
            "5,1,1",
            "5.7.1 5.1.1",
            "451 4.7.1 5.1.1",
        ),
        "550 5.7.26 unauthenticated",
        None,
    ],
)
def test_codes_that_do_not(code: str | None) -> None:
    assert not is_address_failure(Delivery(code))
    assert not is_address_failure(None)


def test_what_an_event_says_of_its_recipient() -> None:
    assert standing_after(event("complained")) == Standing(complained_at=7)
    assert standing_after(event("failed", code="550 5.1.1")) == Standing(invalid_at=7)
    for type_, code in (
        ("failed", None),
        ("failed", "550 5.7.1"),
        ("deferred", "5.1.1"),
        ("dropped", "5.1.1"),
        ("delivered", "5.1.1"),
        *((type_, None) for type_ in ("sent", "delivered", "unsubscribed", "replied", "opened", "clicked", "x")),
    ):
        assert standing_after(event(type_, code=code)) is None, type_
    facts = Facts("default", "m-1", "rewritten", registration=Registration("lead"))
    assert standing_after(Event(b"0" * 16, "n", 7, 7, 7, 1, facts)) is None


def test_what_a_change_says() -> None:
    def after(type_: str = "consent_changed", **change: object) -> Standing | None:
        return standing_after(event(type_, change=RecipientChange("lead", **change)))  # type: ignore[arg-type]

    assert after(opens=Consent.GRANTED) == Standing(opens=ConsentTimes(granted_at=7))
    assert after(clicks=Consent.UNKNOWN) == Standing(clicks=ConsentTimes(unknown_at=7))
    denied = ConsentTimes(denied_at=7, first_denied_at=7)
    assert after(opens=Consent.DENIED, clicks=Consent.DENIED) == Standing(opens=denied, clicks=denied)
    assert after("recipient_reset", resets=(Suppression.INVALID,)) == Standing(invalid_reset_at=7)
    assert after("recipient_reset", resets=(Suppression.COMPLAINED,)) == Standing(complained_reset_at=7)
    assert after("recipient_reset", resets=(Suppression.UNSUBSCRIBED,)) == Standing()
    assert after("recipient_reset", resets=tuple(Suppression)) == Standing(invalid_reset_at=7, complained_reset_at=7)
    assert after("opened", opens=Consent.DENIED) is None


@pytest.mark.parametrize(
    ("times", "value"),
    [
        (ConsentTimes(), Consent.UNKNOWN),
        (ConsentTimes(granted_at=0), Consent.GRANTED),
        (ConsentTimes(unknown_at=0), Consent.UNKNOWN),
        (ConsentTimes(denied_at=0, first_denied_at=0), Consent.DENIED),
        (ConsentTimes(granted_at=2, denied_at=1, first_denied_at=1), Consent.GRANTED),
        (ConsentTimes(granted_at=1, denied_at=2, first_denied_at=0), Consent.DENIED),
        (ConsentTimes(granted_at=2, unknown_at=3, denied_at=1, first_denied_at=1), Consent.UNKNOWN),
        (ConsentTimes(granted_at=4, unknown_at=3), Consent.GRANTED),
        (ConsentTimes(granted_at=3, unknown_at=3), Consent.UNKNOWN),  # said at once: the narrower one
        (ConsentTimes(granted_at=3, unknown_at=3, denied_at=3, first_denied_at=3), Consent.DENIED),
    ],
)
def test_what_was_said_last(times: ConsentTimes, value: Consent) -> None:
    assert times.value is value
    said = [at for at in (times.granted_at, times.unknown_at, times.denied_at) if at is not None]
    assert times.changed_at == max(said, default=None)


def test_what_a_withdrawal_covers() -> None:
    denied = ConsentTimes(denied_at=5, first_denied_at=5)
    assert [denied.covers(at) for at in (4, 5, 6)] == [False, True, True]
    lifted = ConsentTimes(granted_at=8, denied_at=5, first_denied_at=5)
    assert [lifted.covers(at) for at in (4, 5, 7, 8, 9)] == [False, True, True, False, False]
    left_open = ConsentTimes(granted_at=2, unknown_at=8, denied_at=5, first_denied_at=5)
    assert [left_open.covers(at) for at in (2, 5, 7, 8)] == [False, True, True, False]
    again = ConsentTimes(granted_at=8, denied_at=9, first_denied_at=5)
    assert [again.covers(at) for at in (4, 5, 9, 100)] == [False, True, True, True]
    for never in (ConsentTimes(), ConsentTimes(granted_at=5), ConsentTimes(unknown_at=5)):
        assert not any(never.covers(at) for at in (0, 5, 6))


def test_merging_keeps_what_each_says() -> None:
    one = Standing(1, 9, None, 4, ConsentTimes(granted_at=3), ConsentTimes(denied_at=6, first_denied_at=2))
    other = Standing(5, 2, 8, None, ConsentTimes(unknown_at=1), ConsentTimes(denied_at=4, first_denied_at=1))
    both = Standing(5, 9, 8, 4, ConsentTimes(granted_at=3, unknown_at=1), ConsentTimes(denied_at=6, first_denied_at=1))
    assert merged(one, other) == merged(other, one) == both
    assert merged(one, Standing()) == one
    assert merged(Standing(), Standing()) == Standing()
