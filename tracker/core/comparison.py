"""What batches' reports say about each other: differences, how sure they are, and that in plain words.

Owns which batches can be compared, the verdicts, and the notes on what makes that hard. Must not know where reports
come from.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from .errors import InvalidRequest
from .figures import BatchReport, Metric
from .intervals import CONFIDENCE, Interval, Share, newcombe

MIN_BATCHES: Final = 2
MAX_BATCHES: Final = 10

SETTLED_US: Final = 48 * 3600 * 1_000_000
"""How old a batch should be: most of what people do with a message, they do within two days."""

NAMES: Final = {metric: metric.value.replace("_", " ") for metric in Metric} | {
    Metric.CLICK_TO_OPEN: "click-to-open rate"
}
"""Of each metric, in a sentence."""

_MAX_DECIMALS: Final = 4


class Finding(enum.StrEnum):
    """What is said of a batch against the baseline."""

    HIGHER = "higher"
    LOWER = "lower"
    NO_DIFFERENCE_SHOWN = "no_difference_shown"
    """There may be one, as large as the interval allows."""
    NOT_COMPARABLE = "not_comparable"
    """Not known of both."""


class Difference(msgspec.Struct, frozen=True):
    """One metric of a batch against that of the baseline: as fractions, the baseline's taken away from the batch's."""

    metric: Metric
    batch: str
    verdict: Finding
    difference: float | None
    low: float | None
    """The ends of the interval (Newcombe 1998, method 10)."""
    high: float | None
    sentence: str


class Comparison(msgspec.Struct, frozen=True):
    """Batches against a baseline, the first of them.

    Of each metric, all that is said is true together with ``confidence``: where a metric is compared several times,
    each comparison is made with ``confidence_each`` (Bonferroni).
    """

    baseline: str
    confidence: float
    comparisons: int
    """How many there are of each metric: a batch fewer than were given."""
    confidence_each: float
    differences: list[Difference]
    """Batch by batch, and of each batch every metric."""
    notes: list[str]
    """What makes the batches hard to compare, a sentence each."""


def chosen_batches(names: Sequence[str], least: int) -> Sequence[str]:
    """``names`` of batches, if they are as many as can be compared. Raises `InvalidRequest`."""
    if not least <= len(names) <= MAX_BATCHES:
        raise InvalidRequest([("batch", f"must be given {least} to {MAX_BATCHES} times, once for each batch")])
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest([("batch", f"names {twice!r} more than once")])
    return names


def compare(reports: Sequence[BatchReport], now: int, confidence: float = CONFIDENCE) -> Comparison:
    """Each of ``reports`` after the first against the first. ``now`` is in microseconds since the epoch.

    The intervals take the batches for independent samples of readers. Letters to the same people are not, and then an
    interval is wider than need be, or not exact.

    Raises ValueError where there are not at least two.
    """
    if len(reports) < MIN_BATCHES:
        raise ValueError("a comparison needs two reports")
    baseline, *others = reports
    each = 1 - (1 - confidence) / len(others)
    notes = [*_note_on_young(reports, now), *(note for one in reports for note in _notes(one))]
    notes += [note for one in others for note in _notes_on_two(baseline, one, each)]
    differences = [_difference(metric, baseline, one, each) for one in others for metric in Metric]
    return Comparison(baseline.batch, confidence, len(others), each, differences, notes)


def _difference(metric: Metric, baseline: BatchReport, one: BatchReport, confidence: float) -> Difference:
    before, after = baseline.rates[metric], one.rates[metric]
    interval = newcombe(after.share, before.share, confidence)
    if interval is None:
        sentence = _not_comparable(metric, baseline, one)
        return Difference(metric, one.batch, Finding.NOT_COMPARABLE, None, None, None, sentence)
    difference = after.share.value - before.share.value
    if interval.low <= 0 <= interval.high:
        finding = Finding.NO_DIFFERENCE_SHOWN
        sentence = _not_shown(metric, baseline, one, interval, confidence)
    else:
        finding = Finding.HIGHER if difference > 0 else Finding.LOWER
        sentence = _shown(metric, baseline, one, interval, confidence)
    return Difference(metric, one.batch, finding, difference, *interval, sentence)


def _not_comparable(metric: Metric, baseline: BatchReport, one: BatchReport) -> str:
    why = [_why_unknown(metric, report) for report in (baseline, one) if report.rates[metric].rate is None]
    return f"The {NAMES[metric]}s of {baseline.batch} and {one.batch} cannot be compared: {', and '.join(why)}."


def _why_unknown(metric: Metric, report: BatchReport) -> str:
    batch = report.batch
    if not report.messages:
        return f"{batch} has no messages"
    if metric is Metric.OPEN_RATE and report.opens is None:
        return f"opens were not tracked in {batch}"
    if metric is Metric.CLICK_RATE and report.clicks is None:
        return f"clicks were not tracked in {batch}"
    if metric is Metric.CLICK_TO_OPEN:
        return f"nothing was opened in {batch} where both opens and clicks are tracked"
    if metric is Metric.FAILURE_RATE:
        return f"nothing was reported of what became of {batch}"
    if metric is Metric.DELIVERY_RATE:
        return f"no deliveries were reported of {batch}"
    which = {Metric.OPEN_RATE: " with tracked opens", Metric.CLICK_RATE: " with tracked clicks"}.get(metric, "")
    return f"every message of {batch}{which} failed"


def _shown(metric: Metric, baseline: BatchReport, one: BatchReport, interval: Interval, confidence: float) -> str:
    before, after = baseline.rates[metric].share.value, one.rates[metric].share.value
    difference = after - before
    decimals = _decimals((before, after), interval, (difference,))
    low, high, points = (percent(value, decimals) for value in (*interval, difference))
    return (
        f"The {NAMES[metric]} of {one.batch} is {'higher' if difference > 0 else 'lower'} than that of"
        f" {baseline.batch}: {percent(after, decimals)} % against {percent(before, decimals)} %, a difference of"
        f" {points} points ({_percent_of_confidence(confidence)} interval {low} to {high})."
    )


def _not_shown(metric: Metric, baseline: BatchReport, one: BatchReport, interval: Interval, confidence: float) -> str:
    before, after = baseline.rates[metric].share.value, one.rates[metric].share.value
    decimals = _decimals((before, after))
    low, high = (percent(value, decimals) for value in interval)
    return (
        f"No difference shown between the {NAMES[metric]}s of {baseline.batch} and {one.batch}:"
        f" {percent(before, decimals)} % and {percent(after, decimals)} %; the true difference may be anywhere from"
        f" {low} to {high} points ({_percent_of_confidence(confidence)} interval)."
    )


def _decimals(*groups: Sequence[float]) -> int:
    """How many it takes: one, unless then something would look like nothing, or two of a group like one."""

    def suffices(decimals: int) -> bool:
        for group in groups:
            texts = {value: percent(value, decimals) for value in group}
            if len(set(texts.values())) < len(texts) or any(value and not float(text) for value, text in texts.items()):
                return False
        return True

    return next((decimals for decimals in range(1, _MAX_DECIMALS) if suffices(decimals)), _MAX_DECIMALS)


def percent(fraction: float, decimals: int = 1) -> str:
    """A fraction as a number of hundredths."""
    return f"{round(100 * fraction, decimals) + 0.0:.{decimals}f}"  # + 0.0: there is no minus before a zero


def _percent_of_confidence(confidence: float) -> str:
    return f"{100 * confidence:.4g} %"


def _note_on_young(reports: Sequence[BatchReport], now: int) -> Iterator[str]:
    young = [report.batch for report in reports if now - report.created_at < SETTLED_US]
    if len(young) == 1:
        yield f"{young[0]} is less than 48 hours old, so its numbers may still grow."
    elif young:
        names = f"{', '.join(young[:-1])} and {young[-1]}"
        yield f"{names} are less than 48 hours old, so their numbers may still grow."


def _notes(report: BatchReport) -> Iterator[str]:
    """What has to be known of one batch before it is compared with any."""
    if report.opened_by is not None and report.opened_by.machine_only > report.opened_by.count:
        yield (
            f"More messages of {report.batch} were opened by machines alone than by people,"
            " so its open rate says little."
        )


def _notes_on_two(baseline: BatchReport, one: BatchReport, confidence: float) -> Iterator[str]:
    """What makes two batches less comparable."""
    if baseline.opened_by is not None and one.opened_by is not None:
        before, after = (Share(each.proxy, each.count) for each in (baseline.opened_by, one.opened_by))
        if _differ(before, after, confidence):
            yield (
                f"Of the opened messages, {percent(after.value)} % of {one.batch} and {percent(before.value)} % of"
                f" {baseline.batch} were seen through image proxies alone, so their open rates compare less well."
            )
        if baseline.opened_by.implied or one.opened_by.implied:
            yield from _note_on_implied(baseline, one, confidence)
    for metric, what in ((Metric.OPEN_RATE, "Opens"), (Metric.CLICK_RATE, "Clicks")):
        of = baseline.rates[metric].of, one.rates[metric].of
        before, after = Share(of[0], max(of[0], baseline.reached)), Share(of[1], max(of[1], one.reached))
        if all(of) and _differ(before, after, confidence):
            yield (
                f"{what} are tracked in {percent(after.value)} % of the messages of {one.batch} that did not fail and"
                f" in {percent(before.value)} % of those of {baseline.batch}, so their {NAMES[metric]}s may be those"
                " of different kinds of people."
            )


def _note_on_implied(baseline: BatchReport, one: BatchReport, confidence: float) -> Iterator[str]:
    before, after = (_tracking_clicks(report) for report in (baseline, one))
    if _differ(before, after, confidence):
        yield (
            f"Clicks are tracked in {percent(after.value)} % of the messages of {one.batch} and in"
            f" {percent(before.value)} % of those of {baseline.batch}, and a click counts as an open, so their open"
            " rates compare less well."
        )


def _tracking_clicks(report: BatchReport) -> Share:
    tracked = report.clicks.tracked if report.clicks else 0
    return Share(tracked, max(tracked, report.messages))


def _differ(before: Share, after: Share, confidence: float) -> bool:
    interval = newcombe(after, before, confidence)
    return interval is not None and not interval.low <= 0 <= interval.high
