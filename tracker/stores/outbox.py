"""Webhook endpoints, and what is still to be told to each: deliveries made from the changes of messages' stages.

Owns the endpoints' cursors and leases, and the order of deliveries. Must not send anything, nor decide what an answer
means: that is `tracker.deliver`. All times are microseconds since the Unix epoch.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias, TypeVar
from urllib.parse import urlsplit

from .audit import CLI, Act, write
from .database import Database, Each, Once, Procedure, Row
from .limits import is_key
from .store import Change

MAX_PENDING: Final = 10_000
"""As many deliveries wait for one endpoint at most; further changes wait in their own table."""

_FILL_ROWS: Final = 500
# What makes up a webhook's id, which has no full stop and stays below 128 characters.
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9-]{1,64}")

_Result = TypeVar("_Result")
_Steps = Generator[Once | Each, Sequence[Row], int]
_Noted: TypeAlias = Procedure[tuple[_Result, Act | None]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where webhooks of an account are sent to. It is not shown with its URL, which may hold a secret."""

    id: str
    account: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)
    """Signs too, until ``previous_until``."""
    previous_until: int | None


class EndpointState(NamedTuple):
    """An endpoint as operators see it."""

    id: str
    account: str
    url: str
    created_at: int
    disabled_at: int | None
    disabled_reason: str | None
    pending: int
    dead: int
    lag: int
    """Changes for which there is no delivery yet."""
    last_error: str | None
    """Of the oldest delivery that has failed and is to be tried again."""


class Delivery(NamedTuple):
    """One change to be told to one endpoint."""

    sequence: int
    message_id: str
    attempts: int
    """Made so far."""
    change: Change | None
    """None where the change is no longer kept."""


class Failure(NamedTuple):
    """An attempt that failed; ``next_at`` is when to make the next one, None for never: the delivery is dead."""

    sequence: int
    tried_at: int
    next_at: int | None
    error: str


class DeadLetter(NamedTuple):
    """A delivery that was given up."""

    endpoint: str
    sequence: int
    message_id: str
    attempts: int
    first_tried_at: int
    last_tried_at: int
    error: str


class Outbox:
    """The endpoints and deliveries in ``database``; raises what that raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_endpoint(self, endpoint_id: str, account: str, url: str, secret: str) -> None:
        """Add an endpoint, which gets the changes from now on. ValueError for an account that can have none."""
        if not _ACCOUNT.fullmatch(account):
            raise ValueError("An account with webhooks is 1 to 64 letters, digits and hyphens.")
        await write(self._database, _adding(endpoint_id, account, url, secret))

    async def list_endpoints(self, account: str | None = None) -> list[EndpointState]:
        """The endpoints of one account or of all, the oldest of an account first."""
        if account is not None and not is_key(account):
            return []
        return [EndpointState(*row) for row in await self._database.read(Once("list_endpoints", (account,)))]

    async def remove_endpoint(self, endpoint_id: str) -> bool:
        """Remove an endpoint and its deliveries, the dead ones too; whether there was one."""
        return await self._changed(endpoint_id, "endpoint_removed", Once("remove_endpoint", (endpoint_id,)))

    async def enable(self, endpoint_id: str) -> bool:
        """Deliver to it again, beginning with what was not delivered while it was disabled; whether it exists."""
        return await self._changed(endpoint_id, "endpoint_enabled", Once("enable_endpoint", (endpoint_id,)))

    async def disable(self, endpoint_id: str, reason: str, *, by: str | None = None) -> bool:
        """Deliver nothing to it for now; whether it exists. A reason that it was disabled for before stays.

        ``by`` is who did that, for the audit log; None: nobody, it follows from an answer.
        """
        step = Once("disable_endpoint", (endpoint_id, reason))
        return await self._changed(endpoint_id, "endpoint_disabled", step, by)

    async def rotate(self, endpoint_id: str, secret: str, previous_until: int) -> bool:
        """Sign with ``secret`` from now on, and with the present one too until ``previous_until``."""
        step = Once("rotate_endpoint", (endpoint_id, secret, previous_until))
        return await self._changed(endpoint_id, "endpoint_secret_rotated", step)

    async def endpoints_to_serve(self, owner: str, now: int) -> dict[str, bool]:
        """The ids of all enabled endpoints; True for those that ``owner`` could do something for at ``now``."""
        rows = await self._database.read(Once("endpoints_to_serve", (owner, now, MAX_PENDING)))
        return {row[0]: bool(row[1]) for row in rows}

    async def take_lease(self, endpoint_id: str, owner: str, seconds: float) -> Endpoint | None:
        """The endpoint, which is ``owner``'s alone for ``seconds`` from now; None where it is another's, or disabled.

        Who has the lease renews it in the same way.
        """
        rows = await self._database.write(_rows("lease_endpoint", endpoint_id, owner, seconds))
        return Endpoint(*rows[0]) if rows else None

    async def release_leases(self, owner: str) -> None:
        """Give up every lease of ``owner``."""
        await self._database.write(_once("release_leases", owner))

    async def fill(self, endpoint_id: str, now: int) -> int:
        """Make deliveries, due at ``now``, of up to 500 changes that follow the cursor; returns how many.

        None are made while `MAX_PENDING` wait, or the endpoint is disabled.
        """
        return await self._database.write(_filling(endpoint_id, now))

    async def due(self, endpoint_id: str, now: int, limit: int) -> list[Delivery]:
        """Deliveries that are pending and due, the longest due first, and only the first pending one of each message.

        Those under way are among them, for as long as they are not settled. Empty for a disabled endpoint.
        """
        rows = await self._database.read(Once("due_deliveries", (endpoint_id, now, limit)))
        return [Delivery(row[0], row[1], row[2], None if row[3] is None else _change(row[3:])) for row in rows]

    async def settle(self, endpoint_id: str, delivered: Sequence[int], failures: Sequence[Failure] = ()) -> None:
        """Remove the deliveries with the sequence numbers ``delivered``, and note ``failures``, in one transaction."""
        await self._database.write(_settling(endpoint_id, delivered, failures))

    async def dead_letters(
        self, endpoint_id: str | None = None, *, after: tuple[str, int] = ("", 0), limit: int = 1000
    ) -> list[DeadLetter]:
        """The dead deliveries of one endpoint or of all, after the one with that endpoint and sequence number."""
        if not all(is_key(id_) for id_ in (endpoint_id or "", after[0])):
            return []
        parameters = (*after, endpoint_id, limit)
        return [DeadLetter(*row) for row in await self._database.read(Once("dead_letters", parameters))]

    async def replay(self, endpoint_id: str, sequences: Sequence[int] | None, now: int) -> int:
        """Make dead deliveries pending again and due at ``now``: those, or all for None. Returns how many."""
        if not is_key(endpoint_id):
            return 0
        return await write(self._database, _replaying(endpoint_id, sequences, now))

    async def _changed(self, endpoint_id: str, act: str, step: Once, by: str | None = CLI) -> bool:
        return is_key(endpoint_id) and await write(self._database, _changing(endpoint_id, act, step, by))


def _change(row: Row) -> Change:
    change = Change(*row)
    return change._replace(is_correction=bool(change.is_correction))


def _once(query: str, *parameters: object) -> _Steps:
    rows = yield Once(query, parameters)
    return len(rows)


def _rows(query: str, *parameters: object) -> Generator[Once, Sequence[Row], Sequence[Row]]:
    return (yield Once(query, parameters))


def _adding(endpoint_id: str, account: str, url: str, secret: str) -> _Noted[None]:
    yield Once("add_endpoint", (endpoint_id, account, url, secret))
    return None, Act(account, CLI, "endpoint_added", endpoint_id, {"host": urlsplit(url).hostname})


def _changing(endpoint_id: str, act: str, step: Once, by: str | None) -> _Noted[bool]:
    changed = yield step
    if not changed:
        return False, None
    if step.query == "remove_endpoint":
        yield Once("remove_deliveries", (endpoint_id,))
    return True, Act(changed[0][0], by, act, endpoint_id) if by else None


def _filling(endpoint_id: str, now: int) -> _Steps:
    locked = yield Once("lock_endpoint", (endpoint_id,))
    if not locked:
        return 0
    account, cursor, last = locked[0]
    pending = yield Once("count_pending", (endpoint_id, MAX_PENDING))
    limit = min(_FILL_ROWS, MAX_PENDING - pending[0][0])
    if last <= cursor or limit <= 0:
        return 0
    added = yield Once("add_deliveries", (endpoint_id, account, cursor, now, limit))
    reached = max((row[0] for row in added), default=cursor)
    # Where there are fewer, all up to the number that the counter had are there, but for those removed since.
    yield Once("move_cursor", (endpoint_id, reached if len(added) == limit else max(reached, last)))
    return len(added)


def _settling(endpoint_id: str, delivered: Sequence[int], failures: Sequence[Failure]) -> _Steps:
    yield Each("delivered", [(endpoint_id, sequence) for sequence in sorted(delivered)])
    retried = sorted(each for each in failures if each.next_at is not None)
    yield Each("failed_deliveries", [(endpoint_id, *each) for each in retried])
    dead = sorted(each[:2] + each[3:] for each in failures if each.next_at is None)
    yield Each("dead_deliveries", [(endpoint_id, *each) for each in dead])
    return len(delivered) + len(failures)


def _replaying(endpoint_id: str, sequences: Sequence[int] | None, now: int) -> _Noted[int]:
    of = yield Once("account_of_endpoint", (endpoint_id,))
    if sequences is None:
        replayed = yield Once("replay_all", (endpoint_id, now))
    else:
        rows = [(endpoint_id, sequence, now) for sequence in sorted(set(sequences))]
        replayed = yield Each("replay_deliveries", rows)
    if not replayed:
        return 0, None
    return len(replayed), Act(of[0][0], CLI, "deliveries_replayed", endpoint_id, {"count": len(replayed)})
