"""Three batches over HTTP: rewritten, delivered, scanned by filters, read by people; each from an address of its own.

Owns the order and the pace. Filters come first and people on scanned mail last, since a person's click within ten
seconds of a filter's on the same message cannot be told from it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final, NamedTuple

from .cast import Letter
from .client import Client, Unreachable, settled
from .crowd import BATCHES, Batch, Hit, Recipient, crowd
from .mailserver import Outcome, event
from .progress import Progress

CONNECTIONS: Final = 8
APART_S: Final = 10.5
"""How long after the last filter a person reads mail that was scanned."""


class Mail(NamedTuple):
    """A message that was sent."""

    letter: Letter
    recipient: Recipient
    rewritten_at: datetime

    @property
    def message_id(self) -> str:
        """Its id."""
        return self.letter.message_id


class _Visit(NamedTuple):
    """What one actor does with one message."""

    mail: Mail
    hits: Sequence[Hit]


def play(client: Client, run: str) -> list[Mail]:
    """All of it; returns the messages once the store has what happened to them."""
    mails = [mail for batch in BATCHES for mail in _rewritten(client, batch, run)]
    untracked = sum(not mail.recipient.consents for mail in mails)
    print(f"   POST /v1/rewrite/batch: {len(mails)} messages; {untracked} of them without consent, so without tracking")
    _report(client, mails, "deliveries, deferrals and bounces", lambda recipient: recipient.delivery)
    with pool() as workers:
        scans = [_Visit(mail, mail.recipient.scan) for mail in mails]
        fetched = [_Visit(mail, mail.recipient.prefetch) for mail in mails]
        _visit(client, workers, "mail filters and Apple's privacy service", [*scans, *fetched])
        undisturbed = [mail for mail in mails if not (mail.recipient.scan or mail.recipient.later)]
        others = [mail for mail in mails if mail.recipient.scan or mail.recipient.later]
        people = "people, and their image proxies"
        _visit(client, workers, people, [_Visit(mail, mail.recipient.reading) for mail in undisturbed], APART_S)
        _report(client, others, "late deliveries", lambda recipient: recipient.later)
        people = "people whose mail was scanned, or late"
        _visit(client, workers, people, [_Visit(mail, mail.recipient.reading) for mail in others])
    last = _report(client, mails, "replies and complaints", lambda recipient: recipient.finally_)
    # Events reach the store in the order in which they were stored: with the last one, all are there.
    settled(lambda: client.events(last["message_id"]), lambda found: last["type"] in (event["type"] for event in found))
    return mails


@contextlib.contextmanager
def pool() -> Iterator[ThreadPoolExecutor]:
    """Threads, each with a connection of its own; what is not begun at an error is left."""
    with ThreadPoolExecutor(CONNECTIONS) as workers:
        try:
            yield workers
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise


def _rewritten(client: Client, batch: Batch, run: str) -> Iterator[Mail]:
    name = batch.name(run)
    html = files(__package__).joinpath("spring.html").read_text(encoding="utf-8")
    people = crowd(batch)
    recipients = [
        {
            "message_id": f"{name}-{number:03}",
            "recipient": f"{batch.letter}{number:03}-{run}",
            "consent": dict.fromkeys(("opens", "clicks"), "granted" if person.consents else "denied"),
        }
        for number, person in enumerate(people, start=1)
    ]
    letter = {"batch": name, "list": "spring", "html": html.replace("{{headline}}", batch.headline)}
    lines = client.rewrite_batch({**letter, "recipients": recipients})
    now = datetime.now(UTC)
    for person, line in zip(people, lines, strict=True):
        if "error" in line:
            raise Unreachable(f"{line['message_id']} was not rewritten: {line['error']['detail']}")
        yield Mail(Letter(line["message_id"], line["message_id"], line), person, now)


def _report(
    client: Client, mails: Iterable[Mail], what: str, outcomes: Callable[[Recipient], Sequence[Outcome]]
) -> dict[str, Any]:
    """The mail server's log as events, spread over the time since the rewriting; returns the last one."""
    now = datetime.now(UTC)
    events = []
    for mail in mails:
        done = outcomes(mail.recipient)
        for number, outcome in enumerate(done, start=1):
            at = mail.rewritten_at + (now - mail.rewritten_at) * number / (len(done) + 1)
            events.append(event(mail.letter, outcome.type, outcome, at))
    print(f"   POST /v1/events: {client.report_events(events)} events: {what}")
    return events[-1]


def _visit(
    client: Client, workers: ThreadPoolExecutor, who: str, visits: Sequence[_Visit], during_s: float = 0.0
) -> None:
    """Carry out ``visits``, spread over ``during_s`` seconds."""
    visits = [visit for visit in visits if visit.hits]
    start = time.monotonic()
    step_s = during_s / len(visits)

    def carry_out(number: int, visit: _Visit) -> int:
        time.sleep(max(0.0, start + (number + 1) * step_s - time.monotonic()))
        for hit in visit.hits:
            _hit(client, visit.mail.letter, hit)
        return len(visit.hits)

    with Progress(
        sum(len(visit.hits) for visit in visits), f"{who}: {{}} requests for {len(visits)} messages"
    ) as shown:
        for done in workers.map(carry_out, range(len(visits)), visits):
            shown.advance(done)


def _hit(client: Client, letter: Letter, hit: Hit) -> None:
    headers = {"User-Agent": hit.agent, "Accept": "*/*", "X-Forwarded-For": hit.address}
    if hit.unsubscribes:
        method, target, expected = "POST", letter.unsubscribe, 200
    elif hit.link is None:
        method, target, expected = "GET", letter.pixel, 200
    else:
        method, target, expected = "GET", letter.click(hit.link), 302
    answer = client.request(method, target, headers)
    if answer.status != expected:
        raise Unreachable(f"{method} {target} was answered with {answer.status}")
