"""Puts the process together: settings in, one ASGI application out, with what runs beside it.

Owns the choice of the concrete parts, the order in which they start and stop, and the drain on SIGTERM.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Sequence
from importlib.resources import files
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from tracker import config, datadir, logs
from tracker.config import Settings
from tracker.core.accounts import Directory
from tracker.core.errors import ConfigError, SpoolUnavailable, StoreUnavailable
from tracker.core.networks import NetworkList
from tracker.core.networks import parse as parse_networks
from tracker.core.revocations import Revoked
from tracker.core.tokens import TokenCodec
from tracker.deliver import Deliverer
from tracker.directory import SNAPSHOT_FILE, DirectoryWatch, default_settings
from tracker.forgetting import keep_forgetting
from tracker.outgoing import Outgoing
from tracker.parts import open_revocations, open_store, spool_directory, unrecognised_directory
from tracker.recall import RECIPIENTS_FILE, Recall
from tracker.relay import Relay
from tracker.retention import keep_to
from tracker.spool import Spool
from tracker.stores.accounts import Accounts
from tracker.stores.audit import Audit
from tracker.stores.batches import Batches
from tracker.stores.erasing import Erasure
from tracker.stores.outbox import Outbox
from tracker.stores.retention import Retention
from tracker.web.api import api
from tracker.web.api.audit import AuditApi
from tracker.web.api.batches import BatchesApi
from tracker.web.api.callers import Callers
from tracker.web.api.erasing import ErasureApi
from tracker.web.api.recipients import Recipients
from tracker.web.api.records import Records
from tracker.web.api.registry import Registry
from tracker.web.api.reports import Finder, Reports
from tracker.web.api.revocations import RevocationsApi
from tracker.web.api.rewriting import Rewriters, Rewriting
from tracker.web.api.settings import AccountSettingsApi
from tracker.web.api.unrecognised import UnrecognisedReports
from tracker.web.server.connections import LOOPBACK, STATE, Connections
from tracker.web.server.lifecycle import (
    allow_open_files,
    closing,
    drain_on_sigterm,
    put_the_loop_first,
    spare_the_collector,
    stop_without_parent,
)
from tracker.web.server.replies import REPLY

from .clients import ClientAddresses
from .console import Console
from .edge import Edge
from .limits import CallLimit, InvalidTraffic
from .operations import Operations
from .pages import Pages, Reply

LAST_RELAY_S: Final = 3.0
"""How long a stopping process still moves events to the store; what remains waits in the spool."""

logger = logging.getLogger(__name__)


class Service:
    """One process of the service, as an ASGI application. ``settings`` are complete: `datadir.prepare` was called."""

    def __init__(self, settings: Settings) -> None:
        codec = TokenCodec(settings.signing_keys)
        self._settings = settings
        self._store = open_store(settings)
        self._spool = Spool(spool_directory(settings), node=settings.node, max_bytes=settings.spool_max_bytes)
        self._relay = Relay(self._spool, self._store)
        self._outgoing = Outgoing(private_allowed=settings.webhook_private_addresses)
        self._accounts = Accounts(self._store.database)
        self._watch = DirectoryWatch(
            self._accounts,
            settings.data_dir / SNAPSHOT_FILE,
            default_origin=settings.base_url,
            defaults=default_settings(settings),
            api_key=settings.api_key,
        )
        self._deliverer = Deliverer(Outbox(self._store.database), self._outgoing, owner=secrets.token_hex(8))
        self._retention = Retention(self._store.database)
        recipients_file = settings.data_dir / RECIPIENTS_FILE
        self._recall = Recall(self._store, recipients_file, self._store.digests, source_name=settings.store_url)
        self._revocations = open_revocations(settings, self._store)
        self._operations = Operations(self._spool)
        # A proxy that nobody named runs on the same machine most of the time.
        exempt = (*settings.trusted_proxies, *LOOPBACK)
        self._connections = Connections(settings, exempt, allow_open_files())
        networks = settings.networks.over(_shipped_networks())
        clients = ClientAddresses(settings.trusted_proxies, settings.client_ip, codec.derive("SOURCE"), networks)
        invalid = InvalidTraffic(clients, settings.invalid_per_minute)
        self._edge = Edge(
            self._api(codec, invalid, clients),
            codec=codec,
            directory=self._directory,
            spool=self._spool,
            clients=clients,
            invalid=invalid,
            pages=Pages(),
            revoked=self._revoked,
        )
        self._answer: ASGIApp = self._edge

    def _directory(self) -> Directory:
        return self._watch.current

    def _revoked(self) -> Revoked:
        return self._revocations.current

    def _api(self, codec: TokenCodec, invalid: InvalidTraffic, clients: ClientAddresses) -> ASGIApp:
        callers = Callers(self._directory, CallLimit(self._settings.requests_per_key), invalid)
        unrecognised = UnrecognisedReports(unrecognised_directory(self._settings))
        finder = Finder(codec, self._store)
        registry = Registry(self._store, self._recall)
        return api.build(
            [
                Rewriting(callers, Rewriters(codec, self._directory, self._revoked), self._spool, registry),
                Reports(callers, self._directory, self._spool, finder, unrecognised, self._outgoing.get),
                Recipients(callers, self._spool, self._store, self._revocations),
                ErasureApi(callers, Erasure(self._store.database, self._store.digests, unrecognised.forget)),
                Records(callers, self._store),
                BatchesApi(callers, Batches(self._store.database)),
                AccountSettingsApi(callers, self._accounts, self._watch),
                RevocationsApi(callers, self._revocations),
                AuditApi(callers, Audit(self._store.database)),
                Console(
                    codec, self._watch, self._accounts, self._store, self._revocations, clients, self._settings.base_url
                ),
                self._operations,
            ]
        )

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The ASGI entry: the lifespan is ours, requests are the edge's."""
        if scope["type"] == "http":
            return self._answer(scope, receive, send)
        return self._lifespan(scope, receive, send)

    def _reply(self, scope: Scope) -> Reply | None:
        """What the server may answer without calling the application; nothing where connections are to be closed."""
        return None if self._operations.draining else self._edge.reply(scope)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        scope["state"].update({STATE: self._connections, REPLY: self._reply})  # where the protocol looks for them
        try:
            await self._start()
        except (ConfigError, SpoolUnavailable) as error:
            logger.error("cannot start: %s", error, extra={"action": "start_failed"})
            await send({"type": "lifespan.startup.failed", "message": ""})  # the server would log it once more
            return
        work = (
            self._connections.run(),
            self._relay.run(),
            self._watch.run(),
            self._revocations.run(),
            self._recall.run(),
            self._deliverer.run(),
            keep_to(self._retention, self._directory),
            keep_forgetting(self._store, self._spool),
        )
        tasks = [asyncio.create_task(each) for each in work]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop(tasks)
        await send({"type": "lifespan.shutdown.complete"})

    async def _start(self) -> None:
        self._spool.open()
        await self._revocations.look()
        try:
            await self._store.open()
            await self._watch.start()
            await self._revocations.refresh()
        except StoreUnavailable as error:
            self._watch.load()
            # No reason to refuse mail clients: the spool holds their events until the store is back.
            logger.warning("starting without the store: %s", error, extra={"action": "store_unavailable"})
        except ConfigError:
            await self._spool.close()
            raise
        spare_the_collector()
        put_the_loop_first()
        drain_on_sigterm(self._settings.drain_s, self._begin_drain)
        stop_without_parent()

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        self._begin_drain()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await self._outgoing.close()
        await self._relay.drain(LAST_RELAY_S)
        await self._spool.close()
        await self._store.close()

    def _begin_drain(self) -> None:
        if not self._operations.draining:
            self._operations.draining = True
            self._answer = closing(self._edge)


def _shipped_networks() -> NetworkList:
    return parse_networks(files(__package__).joinpath("networks.txt").read_text("utf-8"))


def create() -> Service:
    """The application, from the environment: what the server calls in each of its processes."""
    settings = datadir.prepare(config.read(os.environ)).settings
    logs.configure(settings.log_level)
    return Service(settings)
