"""The page of a batch and the page that compares several, with their charts and their files.

Owns what is drawn of a report, and beside what. Must not calculate any rate: that is `core.report`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from tracker.core.accounts import Scope
from tracker.core.comparison import MAX_BATCHES, MIN_BATCHES, NAMES, Finding, chosen_batches, compare
from tracker.core.figures import BatchReport, Metric, Rate
from tracker.stores import Store
from tracker.stores.batches import Batches
from tracker.web.api.batches import BatchesApi
from tracker.web.api.callers import Callers
from tracker.web.problems import NotAllowed

from . import words
from .charts import LETTERS, Bar, Curve, Dot, bars, curves, intervals
from .rendering import HEADERS, Renderer
from .requests import Visit
from .sessions import Session

COMPARED: Final = (
    Metric.OPEN_RATE,
    Metric.CLICK_RATE,
    Metric.CLICK_TO_OPEN,
    Metric.FAILURE_RATE,
    Metric.UNSUBSCRIBE_RATE,
)
"""What has a chart of its own; the rest stands in a table."""

SHOWN: Final = (Finding.HIGHER, Finding.LOWER)
"""What stands at the top of a comparison, of every metric; the rest stands with its metric."""

_SECOND_US: Final = 1_000_000


class Chart(NamedTuple):
    """A chart of one metric, and the same numbers: a rate for each batch."""

    metric: Metric
    title: str
    svg: Markup
    rates: list[Rate]


class Hour(NamedTuple):
    """What had been opened and clicked in each batch, so many hours after it began."""

    hours: int
    counts: list[tuple[int, int]]


class Reporting:
    """The pages of reports."""

    def __init__(self, renderer: Renderer, store: Store) -> None:
        self._renderer = renderer
        self._batches = Batches(store.database)

    async def batch(self, visit: Visit, batch: str) -> Response:
        """All that is known of one batch."""
        reports = await self._batches.reports(visit.account, [batch])
        values = {
            "report": reports[0],
            "missing": missing,
            "titles": _titles(),
            "opened_by": _opened_by(reports),
            "series": _series(reports),
            "hours": _hours(reports),
        }
        return self._renderer.page("batch.html", visit, values)

    async def compare(self, visit: Visit) -> Response:
        """Several batches beside each other, the first of them as the baseline."""
        names = visit.query.fields.get("batch", [])
        if not MIN_BATCHES <= len(names) <= MAX_BATCHES:
            detail = f"Choose {MIN_BATCHES} to {MAX_BATCHES} batches in the list, then press Compare."
            return self._renderer.page("problem.html", visit, {"title": "What to compare?", "detail": detail}, 422)
        reports = await self._batches.reports(visit.account, chosen_batches(names, MIN_BATCHES))
        comparison = compare(reports, time.time_ns() // 1000)
        said = {metric: [one for one in comparison.differences if one.metric is metric] for metric in Metric}
        values = {
            "reports": lettered(reports),
            "names": names,
            "comparison": comparison,
            "shown": [one for metric in Metric for one in said[metric] if one.verdict in SHOWN],
            "quiet": {metric: [one for one in said[metric] if one.verdict not in SHOWN] for metric in Metric},
            "missing": missing,
            "charts": [_chart(metric, reports) for metric in COMPARED],
            "rest": [metric for metric in Metric if metric not in COMPARED],
            "titles": _titles(),
            "opened_by": _opened_by(reports),
            "series": _series(reports),
            "hours": _hours(reports),
        }
        return self._renderer.page("compare.html", visit, values)

    async def messages_csv(self, visit: Visit, batch: str) -> Response:
        """The messages of a batch as a file: the one of the API."""
        request = Request({**visit.request.scope, "path_params": {"batch": batch}}, visit.request.receive)
        return _as_ours(await self._api(visit).messages_csv(request))

    async def rates_csv(self, visit: Visit) -> Response:
        """The rates of batches as a file: the one of the API."""
        return _as_ours(await self._api(visit).rates_csv(visit.request))

    def _api(self, visit: Visit) -> BatchesApi:
        return BatchesApi(_SignedIn(visit.session), self._batches)


class _SignedIn(Callers):
    """The caller whose session it is, instead of a key in the request."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def account(self, request: Request, scope: Scope) -> str:
        if not self._session.may(scope):
            raise NotAllowed
        return self._session.key.account


def _as_ours(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


def missing(report: BatchReport, metric: str) -> str:
    """What is said of a rate that is not known: never that it is zero."""
    needs = {
        Metric.OPEN_RATE: (report.opens,),
        Metric.CLICK_RATE: (report.clicks,),
        Metric.CLICK_TO_OPEN: (report.opens, report.clicks),
    }
    if None in needs.get(Metric(metric), ()):
        return "not tracked"
    return "not reported" if metric == Metric.DELIVERY_RATE else "nothing to count"


def lettered(reports: Sequence[BatchReport]) -> list[tuple[str, BatchReport]]:
    """Each with its letter; a single one has none, there is nothing to tell it from."""
    return list(zip(LETTERS if len(reports) > 1 else [""], reports, strict=False))


def _titles() -> dict[Metric, str]:
    return {metric: words.capital(name) for metric, name in NAMES.items()}


def _chart(metric: Metric, reports: Sequence[BatchReport]) -> Chart:
    rates = [report.rates[metric] for report in reports]
    dots = [
        Dot(letter, report.batch, rate.rate, rate.low, rate.high, missing(report, metric))
        for (letter, report), rate in zip(lettered(reports), rates, strict=True)
    ]
    title = _titles()[metric]
    return Chart(metric, title, intervals(metric.value.replace("_", "-"), f"{title}, with intervals", dots), rates)


def _opened_by(reports: Sequence[BatchReport]) -> Markup:
    rows = [
        Bar(letter, one.batch, (one.opened_by.human, one.opened_by.proxy, one.opened_by.implied))
        for letter, one in lettered(reports)
        if one.opened_by is not None
    ]
    return bars("opened-by", "How it is known that messages were opened", rows) if rows else Markup("")


def _series(reports: Sequence[BatchReport]) -> list[tuple[str, Markup]]:
    """A chart of what was opened and one of what was clicked, by and by."""
    found = []
    for title, metric, part in (("Opened", Metric.OPEN_RATE, 0), ("Clicked", Metric.CLICK_RATE, 1)):
        lines = [_curve(letter, one, metric, part) for letter, one in lettered(reports)]
        found.append((title, curves(f"{title.lower()}-by-hour", f"{title} by hours since the batch began", lines)))
    return found


def _curve(letter: str, report: BatchReport, metric: Metric, part: int) -> Curve:
    of = report.rates[metric].of
    if report.rates[metric].rate is None or (report.opens, report.clicks)[part] is None:
        return Curve(letter, report.batch, None)
    points = [(hour, min(1.0, counts[part] / of)) for hour, counts in _grown(report)]
    return Curve(letter, report.batch, points)


def _grown(report: BatchReport) -> list[tuple[int, tuple[int, int]]]:
    """Hours since the batch began, and how many had been opened and clicked by then."""
    step_us = report.step_s * _SECOND_US
    began = report.created_at // step_us
    # What is reported to have happened before the batch was known is counted with its first hour.
    hours = [max(1, point.at // step_us - began + 1) * report.step_s // 3600 for point in report.series]
    opened = accumulate(point.opened for point in report.series)
    clicked = accumulate(point.clicked for point in report.series)
    return list(dict(zip(hours, zip(opened, clicked, strict=True), strict=True)).items())


def _hours(reports: Sequence[BatchReport]) -> list[Hour]:
    """The same as a table: at each hour in which something happened anywhere, what there was of each batch."""
    series = [dict(_grown(report)) for report in reports]
    counts = [(0, 0)] * len(reports)
    rows = []
    for hour in sorted({hour for one in series for hour in one}):
        counts = [one.get(hour, before) for one, before in zip(series, counts, strict=True)]
        rows.append(Hour(hour, counts))
    return rows
