"""What the API answers of batches: shapes, and how they are made from the core's reports.

Owns the field names, and how times are written. Must not decide anything that the core could.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tracker.core.comparison import Comparison, Difference
from tracker.core.figures import BatchReport, Devices, FailureCount, Hits, LinkCounts, OpenedBy, Rate
from tracker.web.responses import moment

from .answers import MessageAnswer


class ListedBatch(msgspec.Struct):
    """A batch, and when the store first had a message of it."""

    batch: str
    created_at: str


class BatchesAnswer(msgspec.Struct):
    """``GET /v1/batches``: a page, the newest first, and the ``after`` of the next one, if there is one."""

    batches: list[ListedBatch]
    next: str | None


class BatchMessagesAnswer(msgspec.Struct):
    """``GET /v1/batches/{batch}/messages``: a page, by message id, and the ``after`` of the next one, if any."""

    messages: list[MessageAnswer]
    next: str | None


class SeriesPoint(msgspec.Struct):
    """How many messages were opened, and clicked in, for the first time in the time that begins at ``at``.

    What is not tracked in the whole batch is null, and not 0.
    """

    at: str
    opened: int | None
    clicked: int | None


class BatchAnswer(msgspec.Struct):
    """``GET /v1/batches/{batch}``. What was not tracked is null, and not 0."""

    batch: str
    created_at: str
    messages: int
    sent: int
    delivered: int
    failed: int
    failures: list[FailureCount]
    reached: int
    """Messages that did not fail, as far as is known."""
    opens: Hits | None
    opened_by: OpenedBy | None
    clicks: Hits | None
    replied: int
    unsubscribed: int
    complained: int
    rates: dict[str, Rate]
    """By name: ``open_rate``, ``click_rate`` and so on; as fractions of 1."""
    links: list[LinkCounts]
    """The most clicked ones first."""
    devices: Devices
    series: list[SeriesPoint]
    """In the order of time; what has nothing in it is left out."""
    step_s: int
    """How long a point of the series lasts: 3600 or 86400."""


class ComparisonAnswer(msgspec.Struct):
    """``GET /v1/reports``: the batches, and each of them after the first against the first, the baseline.

    Of each metric, all that is said is true together with ``confidence``: where a metric is compared several times,
    each comparison is made with ``confidence_each`` (Bonferroni).
    """

    batches: list[BatchAnswer]
    baseline: str
    confidence: float
    comparisons: int
    confidence_each: float
    differences: list[Difference]
    notes: list[str]
    """What makes the batches hard to compare, a sentence each."""


def batch_answer(report: BatchReport) -> BatchAnswer:
    """The report on one batch."""
    fields = {name: getattr(report, name) for name in BatchReport.__struct_fields__}
    fields["created_at"] = moment(report.created_at)
    fields["series"] = [
        SeriesPoint(moment(at), opened if report.opens else None, clicked if report.clicks else None)
        for at, opened, clicked in map(msgspec.structs.astuple, report.series)
    ]
    return BatchAnswer(**fields)


def comparison_answer(reports: Sequence[BatchReport], comparison: Comparison) -> ComparisonAnswer:
    """Several batches, compared."""
    fields = {name: getattr(comparison, name) for name in Comparison.__struct_fields__}
    return ComparisonAnswer(batches=[batch_answer(report) for report in reports], **fields)
