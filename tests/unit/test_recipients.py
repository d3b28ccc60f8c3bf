from __future__ import annotations

import functools

import pytest

from tracker.core.model import Consent, Delivery, Event, Facts, MessageClass, RecipientChange, Registration, Suppression
from tracker.core.recipients import (
    CHANGES_KEPT,
    ConsentHistory,
    ListStanding,
    Standing,
    is_address_failure,
    merged,
    standing_after,
    suppression,
)

GRANTED, UNKNOWN, DENIED = Consent.GRANTED, Consent.UNKNOWN, Consent.DENIED
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


def history(*changes: tuple[int, Consent]) -> ConsentHistory:
    """What is kept of changes that were heard of one after the other."""
    said = [Standing(opens=ConsentHistory((one,))) for one in changes]
    return functools.reduce(merged, said, Standing()).opens


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

    assert after(opens=GRANTED) == Standing(opens=history((7, GRANTED)))
    assert after(clicks=UNKNOWN) == Standing(clicks=history((7, UNKNOWN)))
    denied = history((7, DENIED))
    assert after(opens=DENIED, clicks=DENIED) == Standing(opens=denied, clicks=denied)
    assert after("recipient_reset", resets=(Suppression.INVALID,)) == Standing(invalid_reset_at=7)
    assert after("recipient_reset", resets=(Suppression.COMPLAINED,)) == Standing(complained_reset_at=7)
    assert after("recipient_reset", resets=(Suppression.UNSUBSCRIBED,)) == Standing()
    assert after("recipient_reset", resets=tuple(Suppression)) == Standing(invalid_reset_at=7, complained_reset_at=7)
    assert after("opened", opens=DENIED) is None


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ([], UNKNOWN),
        ([(0, GRANTED)], GRANTED),
        ([(0, UNKNOWN)], UNKNOWN),
        ([(0, DENIED)], DENIED),
        ([(1, DENIED), (2, GRANTED)], GRANTED),
        ([(0, DENIED), (2, DENIED), (1, GRANTED)], DENIED),
        ([(3, UNKNOWN), (1, DENIED), (2, GRANTED)], UNKNOWN),
        ([(3, UNKNOWN), (4, GRANTED)], GRANTED),
        ([(3, UNKNOWN), (3, GRANTED)], UNKNOWN),  # said at once: the narrower one
        ([(3, DENIED), (3, GRANTED), (3, UNKNOWN)], DENIED),
    ],
)
def test_what_was_said_last(changes: list[tuple[int, Consent]], value: Consent) -> None:
    kept = history(*changes)
    assert kept.value is kept.at(9) is value
    assert kept.changed_at == max((at for at, _ in changes), default=None)
    assert kept.first_denied_at == min((at for at, said in changes if said is DENIED), default=None)


def test_what_a_withdrawal_covers() -> None:
    denied = history((5, DENIED))
    assert [denied.covers(at) for at in (4, 5, 6)] == [False, True, True]
    lifted = history((8, GRANTED), (5, DENIED))
    assert [lifted.covers(at) for at in (4, 5, 7, 8, 9)] == [False, True, True, False, False]
    left_open = history((2, GRANTED), (8, UNKNOWN), (5, DENIED))
    assert [left_open.covers(at) for at in (2, 5, 7, 8)] == [False, True, True, False]
    again = history((8, GRANTED), (5, DENIED), (9, DENIED))
    assert [again.covers(at) for at in (4, 5, 7, 8, 9, 100)] == [False, True, True, False, True, True]
    for never in (history(), history((5, GRANTED)), history((5, UNKNOWN))):
        assert not any(never.covers(at) for at in (0, 5, 6))


def test_what_consent_held_between_two_denials() -> None:
    first, granted, second, later = (1, DENIED), (5, GRANTED), (9, DENIED), (10, GRANTED)
    kept = [history(first, granted), history(first, granted, second), history(first, second, later, granted)]
    assert not any(one.covers(7) for one in kept)
    assert [[at for at in range(12) if one.covers(at)] for one in kept] == [
        [1, 2, 3, 4], [1, 2, 3, 4, 9, 10, 11], [1, 2, 3, 4, 9],
    ]  # fmt: skip


def test_what_changes_nothing_counts_once_something_in_between_is_heard_of() -> None:
    denials = history((1, DENIED), (9, DENIED))
    assert denials.changes == ((1, DENIED), (9, DENIED))
    both = merged(Standing(opens=denials), Standing(opens=history((5, GRANTED)))).opens
    assert [both.covers(at) for at in (1, 5, 8, 9)] == [True, False, False, True]


def test_only_so_many_changes_stay() -> None:
    changes = [(at, DENIED if at % 2 else GRANTED) for at in range(CHANGES_KEPT + 4)]
    for order in (changes, changes[::-1]):
        kept = history(*order)
        assert kept.changes == tuple(changes[4:])
        assert [kept.covers(at) for at in (1, 3, 4, 5)] == [False, False, False, True]


def test_merging_keeps_what_each_says() -> None:
    one = Standing(1, 9, None, 4, history((3, GRANTED)), history((2, DENIED), (6, DENIED)))
    other = Standing(5, 2, 8, None, history((1, UNKNOWN)), history((6, DENIED), (4, GRANTED)))
    clicks = ConsentHistory(((2, DENIED), (4, GRANTED), (6, DENIED)))
    both = Standing(5, 9, 8, 4, ConsentHistory(((1, UNKNOWN), (3, GRANTED))), clicks)
    assert merged(one, other) == merged(other, one) == both
    assert merged(one, Standing()) == one
    assert merged(Standing(), Standing()) == Standing()
