"""How one process begins and ends: what it does at its start, how it drains when it is told to stop.

Owns the signals, the collector of garbage and the turns that threads take. Must not know what the service consists of.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_OPEN_FILES: Final = 1 << 20
"""Where there is no limit: some kernels have none worth the name, and allow a table of a billion."""

SWITCH_S: Final = 0.0005
"""How long a thread may keep the interpreter while another one wants it."""


def closing(app: ASGIApp) -> ASGIApp:
    """``app``, with every connection closed after its answer.

    Clients that keep theirs are told to go elsewhere; and one that is accepted while the server closes would
    be waited for as long as it keeps asking.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await app(scope, receive, send_last)

    return answer


def spare_the_collector() -> None:
    """Look for garbage in cycles less often, and not at all among what lives as long as the process.

    Each request that waits for its commit keeps some twenty objects alive, so that by default a collection
    of all of them runs every few dozen requests and finds next to nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def put_the_loop_first() -> None:
    """Let a thread that computes keep the interpreter from the loop no longer than a request may wait.

    A pixel changes threads some four times on its way to the disk and back, and by default waits 5 ms each time.
    """
    sys.setswitchinterval(SWITCH_S)


def allow_open_files() -> int:
    """Let this process open as many files as it may be let, within reason; returns how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, MAX_OPEN_FILES) if hard != resource.RLIM_INFINITY else MAX_OPEN_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MAX_OPEN_FILES if soft == resource.RLIM_INFINITY else soft


def drain_on_sigterm(drain_s: float, begin: Callable[[], None]) -> None:
    """On SIGTERM, be not ready for ``drain_s`` seconds first, so that load balancers look elsewhere; then stop.

    The server's own handler, which closes the listening socket at once, is called after that.
    """
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop):  # not run by a server that handles signals
        return
    loop = asyncio.get_running_loop()

    def handle(signum: int, frame: FrameType | None) -> None:
        # A second one stops at once; but a worker gets two where each process of a group gets one, since its
        # parent passes its own on.
        signal.signal(signal.SIGTERM, stop if multiprocessing.parent_process() is None else signal.SIG_IGN)
        loop.call_soon_threadsafe(begin)
        loop.call_soon_threadsafe(lambda: loop.call_later(drain_s, stop, signum, None))

    signal.signal(signal.SIGTERM, handle)


def stop_without_parent() -> None:
    """Where this is one of several workers: stop when the process that started them was killed.

    Nobody could stop them any more, nor start others, since they hold the port.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()
