"""What administrators did: who, when, what, kept for good.

Owns the form of a record. Must not be given a secret, an API key, or whatever says who a recipient is.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from .database import Database, Each, Once, Procedure, Row

CLI: Final = "cli"
"""The actor of whatever a command does; otherwise it is the id of an API key."""
MAX_PAGE: Final = 100

_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)


class Act(msgspec.Struct, frozen=True):
    """Something that an administrator did."""

    account: str
    """Whom it is about."""
    actor: str
    act: str
    """In the past tense: ``key_revoked``."""
    subject: str = ""
    """The id of what was changed."""
    detail: dict[str, Any] = {}
    """More of it, as JSON has it."""


class LateAct(msgspec.Struct, frozen=True):
    """An act that was done whether or not the store was there, and gets there later."""

    uid: bytes
    """16 bytes of its own: it may get there more than once, and is kept once."""
    at: int
    """Microseconds since the epoch."""
    act: Act


class KeptAct(NamedTuple):
    """An act as it is stored; ids grow, and are seen in their order."""

    id: int
    at: int
    act: Act


class Audit:
    """The acts in ``database``; raises what that raises."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, act: Act) -> None:
        """Note an act that changes nothing in the store by itself."""
        await write(self._database, _only(act))

    async def page(self, account: str, *, after: int = 0, limit: int = MAX_PAGE) -> list[KeptAct]:
        """The acts of ``account`` after the one with the id ``after``, the oldest first."""
        return _kept(await self._database.read(Once("audit_of", (account, after, limit))))

    async def latest(self, account: str | None, limit: int) -> list[KeptAct]:
        """The latest acts of ``account``, or of all, the newest first."""
        step = Once("latest_audit", (limit,)) if account is None else Once("latest_audit_of", (account, limit))
        return _kept(await self._database.read(step))


def note(act: Act) -> Once:
    """The step that notes ``act``: the last one of its transaction, since it makes others wait."""
    return Once("add_audit", (act.account, act.actor, act.act, act.subject, _encoded(act)))


def note_late(acts: Sequence[LateAct]) -> Generator[Once, Sequence[Row], None]:
    """The same for acts that may have been noted before."""
    for late in acts:
        act = late.act
        yield Once("add_audit_once", (late.uid, late.at, act.account, act.actor, act.act, act.subject, _encoded(act)))


async def write(database: Database, procedure: Procedure[tuple[_Result, Act | None]]) -> _Result:
    """Carry out ``procedure``; with the act that it comes to, if to any, noted in the same transaction and logged."""
    result, act = await database.write(_noting(procedure))
    if act is not None:
        log(act)
    return result


def log(act: Act) -> None:
    """A line about ``act``, once it is done."""
    said = {"account": act.account, "actor": act.actor, "act": act.act, "subject": act.subject, "detail": act.detail}
    logger.info("%s by %s", act.act.replace("_", " "), act.actor, extra={"action": "audit", **said})


def _noting(procedure: Procedure[tuple[_Result, Act | None]]) -> Procedure[tuple[_Result, Act | None]]:
    result, act = yield from procedure
    if act is not None:
        yield note(act)
    return result, act


def _only(act: Act) -> Generator[Once | Each, Sequence[Row], tuple[None, Act]]:
    yield from ()
    return None, act


def _encoded(act: Act) -> str:
    return msgspec.json.encode(act.detail).decode()


def _kept(rows: Sequence[Row]) -> list[KeptAct]:
    return [
        KeptAct(id_, at, Act(account, actor, act, subject, msgspec.json.decode(detail)))
        for id_, at, account, actor, act, subject, detail in rows
    ]
