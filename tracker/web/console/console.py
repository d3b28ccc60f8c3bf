"""Puts the console together: where its pages are, who may see them, and what is shown when that fails.

Owns signing in and out, and the check of every form. Must not know what the pages say.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tracker.core.accounts import Directory
from tracker.core.errors import NotThere, TooLarge
from tracker.core.revocations import Kind, Revoked
from tracker.core.tokens import TokenCodec
from tracker.directory import DirectoryWatch
from tracker.revocations import DiskUnavailable, Revocations
from tracker.stores import Store
from tracker.stores.accounts import Accounts
from tracker.web import bodies
from tracker.web.clients import ClientAddresses
from tracker.web.limits import Buckets
from tracker.web.problems import RETRY_AFTER_S, NotAllowed, TooManyRequests, problem

from .browsing import Browsing
from .rendering import Renderer, path, redirect
from .reporting import Reporting
from .requests import HOME, Form, Visit, decoded, is_own, own_path, read_form
from .sessions import SESSION_S, Session, Sessions
from .settings import SettingsPage
from .timeline import Timeline

COOKIE: Final = "tracker_console"
SIGN_IN: Final = "/console/sign-in"
FAILURES_PER_MINUTE: Final = 10
"""So often may someone from one /24 or /48 sign in with a wrong key, at each process."""

Handler = Callable[[Visit], Awaitable[Response]]
Answer = Callable[[Request], Awaitable[Response]]

logger = logging.getLogger(__name__)


class NotOurForm(NotAllowed):
    """The form was not sent from a page of this session. Go back, load that page anew, and try again."""


class _Page:
    """An answer as an application: to any method, since the router refuses those that it is told of by itself."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)


class Console:
    """``/console``. ``base_url`` says whether browsers come by TLS: the cookie is sent over nothing else then."""

    def __init__(
        self,
        codec: TokenCodec,
        watch: DirectoryWatch,
        accounts: Accounts,
        store: Store,
        revocations: Revocations,
        clients: ClientAddresses,
        base_url: str,
    ) -> None:
        def directory() -> Directory:
            return watch.current

        def revoked() -> Revoked:
            return revocations.current

        self._sessions = Sessions(codec.derive("SESSION"), directory, revoked)
        self._revocations = revocations
        self._clients = clients
        self._failures = Buckets(FAILURES_PER_MINUTE / 60, FAILURES_PER_MINUTE)
        self._renderer = Renderer()
        self._cookie: dict[str, Any] = {
            "path": HOME, "secure": base_url.startswith("https:"), "httponly": True, "samesite": "strict"
        }  # fmt: skip
        self._browsing = Browsing(self._renderer, store)
        self._timeline = Timeline(self._renderer, store)
        self._reporting = Reporting(self._renderer, store)
        self._settings = SettingsPage(self._renderer, accounts, watch)

    def routes(self) -> list[Route]:
        """Where the pages are; whatever else is below ``/console`` is a page that says that there is none."""
        get, post = ["GET"], ["POST"]
        signed_in = [
            ("/console", get, self._browsing.batches),
            ("/console/search", [*get, *post], self._browsing.search),
            ("/console/settings", [*get, *post], self._settings.page),
            ("/console/compare", get, self._reporting.compare),
            ("/console/compare.csv", get, self._reporting.rates_csv),
            ("/console/messages/{message_id}", get, self._timeline.message),
            # A batch may have any name, with slashes too: the path is read as it was sent.
            ("/console/batches/{rest:path}", get, self._batch),
            ("/console/sign-out", post, self._sign_out),
            ("/console/{rest:path}", get, self._nothing),
        ]
        return [
            Route("/console/style.css", self._guarded(self._renderer.style, get)),
            Route(SIGN_IN, self._guarded(self._signing_in, [*get, *post])),
            *(Route(where, self._guarded(self._with_session(page), how)) for where, how, page in signed_in),
        ]

    def _guarded(self, answer: Answer, methods: list[str]) -> _Page:
        """``answer`` to these methods, and to HEAD as to GET, with a page for whatever goes wrong."""

        async def guarded(request: Request) -> Response:
            try:
                if request.method not in methods and not (request.method == "HEAD" and "GET" in methods):
                    raise HTTPException(405, headers={"Allow": ", ".join(methods)})
                return await answer(request)
            except HTTPException as error:
                return self._failed(request, error.status_code, "This did not work", error.detail, error.headers)
            except Exception as error:
                details = problem(error)
                if details.status == 500:
                    logger.error("a page could not be made", exc_info=error, extra={"action": "console_failed"})
                headers = {"Retry-After": str(error.wait_s)} if isinstance(error, TooManyRequests) else None
                return self._failed(request, details.status, details.title, details.detail, headers)

        return _Page(guarded)

    def _with_session(self, page: Handler) -> Answer:
        """``page`` for whoever is signed in; all others are asked to."""

        async def answer(request: Request) -> Response:
            session = self._session(request)
            if session is None:
                if request.method != "POST":
                    return redirect(_sign_in_for(request))
                await bodies.discard(request.receive)
                return redirect(SIGN_IN)
            form = Form()
            if request.method == "POST":
                form = await read_form(request)
                if not (is_own(request.headers) and session.sent(form.get("token"))):
                    raise NotOurForm
            return await page(Visit(request, session, form))

        return answer

    def _session(self, request: Request) -> Session | None:
        return self._sessions.read(request.cookies.get(COOKIE, ""), time.time())

    async def _signing_in(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._sign_in(request)
        next_ = own_path(decoded(request.scope["query_string"].decode("latin-1")).get("next"))
        return redirect(next_) if self._session(request) else self._ask(next_)

    async def _sign_in(self, request: Request) -> Response:
        form = await read_form(request)
        if not is_own(request.headers):
            raise NotOurForm
        next_ = own_path(form.get("next"))
        network = self._clients.network(request.scope)
        # A right key is not looked at either, or there would be no end to trying.
        if wait_s := self._failures.wait_s(network):
            raise TooManyRequests(wait_s)
        cookie = self._sessions.begin(form.get("key").strip(), time.time())
        if cookie is None:
            self._failures.take(network)
            return self._ask(next_, "There is no such key, or it is revoked, or it may not read.")
        answer = redirect(next_)
        answer.set_cookie(COOKIE, cookie, max_age=SESSION_S, **self._cookie)
        return answer

    def _ask(self, next_: str, error: str = "") -> Response:
        return self._renderer.page("sign_in.html", None, {"next": next_, "error": error}, 403 if error else 200)

    async def _sign_out(self, visit: Visit) -> Response:
        """Ends this session, or all of its key, on the server: a copy of the cookie is of no use then."""
        session, key = visit.session, visit.session.key
        kind, value = (Kind.SESSIONS, key.id) if visit.form.get("all") else (Kind.SESSION, session.id)
        try:
            await self._revocations.change(key.account, kind, value, key.id)
            answer = redirect(SIGN_IN)
        except (DiskUnavailable, TooLarge) as error:
            details = problem(error)
            answer = self._failed(visit.request, details.status, "Signed out in this browser only", details.detail)
        answer.delete_cookie(COOKIE, **self._cookie)
        return answer

    async def _batch(self, visit: Visit) -> Response:
        match visit.segments:
            case ["batches", batch]:
                return await self._reporting.batch(visit, batch)
            case ["batches", batch, "messages"]:
                return await self._browsing.messages(visit, batch)
            case ["batches", batch, "messages.csv"]:
                return await self._reporting.messages_csv(visit, batch)
        raise NotThere

    async def _nothing(self, visit: Visit) -> Response:
        raise NotThere("There is no such page.")

    def _failed(
        self, request: Request, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        session = self._session(request)
        visit = Visit(request, session) if session else None
        headers = {"Retry-After": RETRY_AFTER_S} if status == 503 else headers
        return self._renderer.page("problem.html", visit, {"title": title, "detail": detail}, status, headers)


def _sign_in_for(request: Request) -> str:
    """Where to sign in, to come back to what was asked for."""
    wanted, query = request.scope["raw_path"].decode("latin-1"), request.scope["query_string"].decode("latin-1")
    next_ = own_path(f"{wanted}?{query}" if query else wanted)
    return SIGN_IN if next_ == HOME else path("sign-in", next=next_)
