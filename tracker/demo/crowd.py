"""Who gets the three batches in spring, and what everyone and everything does with them, drawn from a fixed seed.

Owns the true rates, which the reports are to find. Must not send anything, nor know when.
"""

from __future__ import annotations

from random import Random
from typing import Final, NamedTuple

from .devices import DEVICES, FILTERS, Device, listed_address, machines_address, persons_address
from .mailserver import DELIVERED, SENT, Outcome

SEED: Final = 2026
RECIPIENTS: Final = 300
LINKS: Final = 5
"""In the letter's HTML; the first is the one that most people click on."""


class Batch(NamedTuple):
    """One of the three, and what share of the people whom it reaches does what."""

    letter: str
    headline: str
    read: float
    click: float
    """Of all, not of those who read: this differs clearly between the first two, and hardly to the third."""
    unsubscribe: float

    def name(self, run: str) -> str:
        """What the mailer calls it."""
        return f"spring-{self.letter}-{run}"


BATCHES: Final = (
    Batch("a", "The garden in spring", read=0.50, click=0.11, unsubscribe=0.01),
    Batch("b", "Sow these four this week", read=0.58, click=0.27, unsubscribe=0.01),
    Batch("c", "Last days for seeds", read=0.32, click=0.12, unsubscribe=0.03),
)


class Hit(NamedTuple):
    """One request: the pixel where ``link`` is None, a link's otherwise, or the unsubscribe button's."""

    agent: str
    address: str
    link: int | None = None
    unsubscribes: bool = False


class Recipient(NamedTuple):
    """One person, and all that befalls the message. Hits follow each other without a pause."""

    consents: bool = True
    delivery: tuple[Outcome, ...] = (SENT, DELIVERED)
    later: tuple[Outcome, ...] = ()
    """What the mail server says some seconds after that, and before the person reads."""
    scan: tuple[Hit, ...] = ()
    """A mail filter's."""
    prefetch: tuple[Hit, ...] = ()
    reading: tuple[Hit, ...] = ()
    """The person's own."""
    finally_: tuple[Outcome, ...] = ()


_FAILED: Final = (SENT, Outcome("failed", "550 5.1.1", "no such user"))
_FATES: Final = {
    (SENT, DELIVERED): 92,
    (SENT, Outcome("deferred", "451 4.7.1", "greylisted")): 2,
    (SENT, Outcome("deferred", "452 4.2.2", "mailbox full")): 1,
    _FAILED: 2,
    (SENT, Outcome("failed", "550 5.7.1", "refused by policy")): 2,
    (SENT, Outcome("failed", "552 5.2.3", "too large")): 1,
}
_DELIVERED_LATE: Final = "451 4.7.1"


def crowd(batch: Batch) -> list[Recipient]:
    """The recipients of ``batch``, the same in every run."""
    random = Random(f"{SEED}-{batch.letter}")  # noqa: S311  # it hides nothing
    return [_recipient(random, batch) for _ in range(RECIPIENTS)]


def _recipient(random: Random, batch: Batch) -> Recipient:
    (delivery,) = random.choices(list(_FATES), list(_FATES.values()))
    later = (DELIVERED,) if delivery[-1].status_code == _DELIVERED_LATE else ()
    consents = random.random() > 0.06
    if not consents or DELIVERED not in (*delivery, *later):
        return Recipient(consents, delivery, later)
    (device,) = random.choices(DEVICES, [device.share for device in DEVICES])
    address = persons_address(random)
    prefetcher = device.prefetches_with if random.random() < 0.9 and not later else None
    return Recipient(
        delivery=delivery,
        later=later,
        scan=() if later or random.random() > 0.15 else _scan(random),
        prefetch=(Hit(prefetcher, machines_address(random)),) if prefetcher else (),
        reading=_reading(random, batch, device, address),
        finally_=_final_words(random),
    )


def _reading(random: Random, batch: Batch, device: Device, address: str) -> tuple[Hit, ...]:
    clicks = random.random() < batch.click
    reads = clicks or random.random() < (batch.read - batch.click) / (1 - batch.click)
    hits = []
    if reads and device.opens_with:
        hits.append(Hit(device.opens_with, machines_address(random) if device.is_proxied else address))
    if clicks:
        (link,) = random.choices(range(LINKS), (5, 2, 2, 1, 1))
        hits.append(Hit(device.clicks_with, address, link))
    if reads and random.random() < batch.unsubscribe / batch.read:
        hits.append(Hit(device.clicks_with, address, unsubscribes=True))
    return tuple(hits)


def _final_words(random: Random) -> tuple[Outcome, ...]:
    drawn = random.random()
    return (Outcome("replied"),) if drawn < 0.015 else (Outcome("complained"),) if drawn > 0.995 else ()


def _scan(random: Random) -> tuple[Hit, ...]:
    """What a mail filter does: load the picture and try all links, from one address or a fleet; or try one link."""
    agent = random.choice(FILTERS)
    drawn = random.random()
    if drawn < 0.85:
        home = machines_address(random)
        in_fleet = drawn > 0.6
        targets = (None, *range(LINKS))
        return tuple(Hit(agent, machines_address(random) if in_fleet else home, link) for link in targets)
    address = listed_address(random) if drawn < 0.95 else machines_address(random)
    return (Hit(agent, address, random.randrange(LINKS)),)
