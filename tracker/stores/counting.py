"""Keeps the counts of batches in step with the statuses of their messages, whatever changes these.

Owns how many different keys a batch may have, and that none names a person who is gone. What a message counts for is
`core.batches`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from tracker.core.batches import MAX_KEYS, OPEN_KEYED, OTHER, Measure, Share, counted, share_of, short_key
from tracker.core.batches import Key as BatchKey
from tracker.core.naming import Names
from tracker.core.status import Status

from .before import Before
from .database import Each, Row
from .rows import Key

_Place: TypeAlias = tuple[str, str, str, str]
"""Account, batch, measure, key."""

KEYS: Final = "keys"
"""The measure that counts the keys of another one, which is its key."""

_TELLING_CHARS: Final = 3
"""A shorter reference is within other words by chance."""


def counting(before: Mapping[Key, Before], after: Iterable[Status]) -> Generator[Each, Sequence[Row], None]:
    """Adds to the counts of batches what the statuses ``after`` count for more than those ``before`` did."""
    pairs: Counter[tuple[str, str | None, Share | None, str | None, Share | None]] = Counter()
    for status in after:
        was = before.get((status.account, status.message_id))
        old_batch, old = (None, None) if was is None else (was.batch, was.share)
        pairs[status.account, old_batch, old, batch_of(status), share_of(status)] += 1
    counts: Counter[_Place] = Counter()
    for (account, old_batch, old, new_batch, new), times in pairs.items():
        if (old_batch, old) != (new_batch, new):
            _add(counts, account, old_batch, counted(old), -times)
            _add(counts, account, new_batch, counted(new), times)
    yield Each("add_batches", sorted({place[:2] for place in counts if place[2] == Measure.MESSAGES}))
    counts = Counter({place: count for place, count in counts.items() if count})
    counts = yield from _bounded(counts)
    yield Each("add_batch_counts", sorted((*place, count) for place, count in counts.items() if count))


def _add(counts: Counter[_Place], account: str, batch: str | None, added: Mapping[BatchKey, int], times: int) -> None:
    for (measure, key), count in added.items():
        if batch is not None:
            counts[account, batch, measure, key] += count * times


def batch_of(status: Status) -> str | None:
    """The batch that it counts for."""
    return None if status.registration is None else status.registration.batch


def _bounded(counts: Counter[_Place]) -> Generator[Each, Sequence[Row], Counter[_Place]]:
    """``counts`` with those together that have no row of their own, and get none any more.

    Only erasures remove rows, and leave the number of keys as it is: what was once counted together always is.
    """
    keyed = [place for place in counts if place[2] in OPEN_KEYED and place[3] != OTHER]
    known = {tuple(row[:4]) for row in (yield Each("batch_counts_at", sorted(keyed)))}
    new: dict[tuple[str, str, str], list[_Place]] = defaultdict(list)
    for place in sorted(set(keyed) - known):
        new[place[:3]].append(place)
    sizes = yield Each("batch_counts_at", sorted((*group[:2], KEYS, group[2]) for group in new))
    size = {(account, batch, measure): count for account, batch, _, measure, count in sizes}
    for group, places in new.items():
        room = max(0, MAX_KEYS - size.get(group, 0))
        for place in places[room:]:
            counts[(*group, OTHER)] += counts.pop(place)
        if places[:room]:
            counts[(*group[:2], KEYS, group[2])] += len(places[:room])
    return counts


def counting_together(statuses: Sequence[Status]) -> Generator[Each, Sequence[Row], None]:
    """Counts with others what has a key that names the recipient of one of ``statuses``, whose messages go.

    Such as a link's destination; the sums stay as they were. What others are counted under, too, is theirs.
    """
    batches = {(status.account, batch) for status in statuses if (batch := batch_of(status)) is not None}
    yield Each("remove_empty_batch_counts", sorted(batches))
    shares = _shares(statuses)
    rows = yield Each("batch_counts_at", sorted(_naming(statuses)))
    own = [tuple(row) for row in rows if row[4] <= shares[tuple(row[:4])]]
    yield Each("remove_batch_counts", sorted(row[:4] for row in own))
    counts: Counter[_Place] = Counter()
    for account, batch, measure, _, count in own:
        counts[account, batch, measure, OTHER] += count
    yield Each("add_batch_counts", sorted((*place, count) for place, count in counts.items()))


def _naming(statuses: Iterable[Status]) -> set[_Place]:
    """What counts for a message, and names its recipient or another message of theirs."""
    of_person: dict[tuple[str, str], list[Status]] = defaultdict(list)
    for status in statuses:
        if status.registration is not None and status.registration.recipient is not None:
            of_person[status.account, status.registration.recipient].append(status)
    places: set[_Place] = set()
    for (_, recipient), theirs in of_person.items():
        names = Names((recipient, *(status.message_id for status in theirs)), inside_from=_TELLING_CHARS)
        # As they are, and as they were before they were cut short.
        texts = {short_key(url): url for status in theirs for _, url in status.links}
        places |= {place for place in _shares(theirs) if names.found_in(texts.get(place[3], place[3]))}
    return places


def _shares(statuses: Iterable[Status]) -> Counter[_Place]:
    """What the messages count for, where the keys come from outside."""
    shares: Counter[_Place] = Counter()
    for status in statuses:
        batch = batch_of(status)
        for (measure, key), count in counted(share_of(status)).items():
            if batch is not None and measure in OPEN_KEYED and key != OTHER:
                shares[status.account, batch, measure, key] += count
    return shares
