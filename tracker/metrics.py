"""Every metric in one place; its help text is its documentation.

Owns the names. Must not decide when to count: whoever observes the fact counts it.
"""

from __future__ import annotations

import os
from typing import Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

INVALID_TOKENS: Final = Counter(
    "tracker_invalid_tokens", "Requests whose token did not verify, by purpose. None of them is stored.", ["purpose"]
)
LIMITED: Final = Counter(
    "tracker_limited",
    "Requests and connections refused for being over a limit, by kind: head_time, body_time, write_time, head_bytes, "
    "url_bytes, body_bytes, source and connections (too many of one source, or in all), key (calls of an API key), "
    "network (invalid tokens and keys from a network).",
    ["kind"],
)
CONNECTIONS: Final = Gauge("tracker_connections", "Connections that are open.", multiprocess_mode="livesum")
ANSWERED_BEFORE_STORED: Final = Counter(
    "tracker_answered_before_stored",
    "Opens and clicks answered before their event was on disk, since the commit took over 250 ms.",
)
UNSTORED: Final = Counter(
    "tracker_unstored", "Events that could not be written to the spool and are lost. Anything but 0 is an alarm."
)
REWRITES: Final = Counter("tracker_rewrites", "Messages rewritten, by result: ok or failed.", ["result"])

SPOOL_COMMIT_SECONDS: Final = Histogram(
    "tracker_spool_commit_seconds",
    "Time of one group commit of the spool, fsync included.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
SPOOL_APPENDED: Final = Counter("tracker_spool_appended", "Events committed to the spool, counting every hit.")
SPOOL_DEPTH: Final = Gauge(
    "tracker_spool_depth", "Rows in the spool that the store has not acknowledged.", multiprocess_mode="livesum"
)
SPOOL_OLDEST_SECONDS: Final = Gauge(
    "tracker_spool_oldest_seconds",
    "Age of the oldest row in the spool. Rising for long means that the relay is stuck.",
    multiprocess_mode="livemax",
)
SPOOL_FILL_RATIO: Final = Gauge(
    "tracker_spool_fill_ratio",
    "How full the fullest spool file is. At 0.8 the service is not ready, at 1 events are lost: alarm at 0.5.",
    multiprocess_mode="livemax",
)
SPOOL_CORRUPT: Final = Counter("tracker_spool_corrupt", "Spool files that were found corrupt, set aside and replaced.")

RELAYED: Final = Counter("tracker_relayed", "Rows that the store committed and the spool let go of.")
RELAY_FAILURES: Final = Counter("tracker_relay_failures", "Batches that the store did not take, to be tried again.")
RELAY_REJECTED: Final = Counter("tracker_relay_rejected", "Rows that the store can never take, put aside in the spool.")

ERASED: Final = Counter(
    "tracker_erased", "Hits and reports of erased people that came late and were dropped. None of them is stored."
)

REVOCATIONS_DAMAGED: Final = Counter(
    "tracker_revocations_damaged",
    "Times that a process could not read the node's file of revocations. It is made anew from the store.",
)

REPORTS: Final = Counter(
    "tracker_reports", "Events that mail servers and providers reported, by reporter and whether a message was found.",
    ["reporter", "found"],
)  # fmt: skip
OBJECTIONS: Final = Counter(
    "tracker_objections",
    "Unsubscribes and complaints stored, by account and type. A sudden rise is a mailing to the wrong people, or "
    "somebody who has their links.",
    ["account", "type"],
)
WEBHOOKS_DELIVERED: Final = Counter("tracker_webhooks_delivered", "Stage changes that a webhook's receiver took.")
WEBHOOKS_FAILED: Final = Counter("tracker_webhooks_failed", "Attempts that it did not take, to be made again.")
WEBHOOKS_DEAD: Final = Counter(
    "tracker_webhooks_dead", "Stage changes given up on after three days: tracker webhooks dead lists them."
)


def forget_process(pid: int | None) -> None:
    """Take the gauges of a worker that is gone out of what the workers share; what it counted stays counted."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def exposition() -> tuple[bytes, int, dict[str, str]]:
    """The metrics of this process, or of all workers where they share a directory: body, status and headers."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry), 200, {"Content-Type": CONTENT_TYPE_LATEST}
