"""What is said of two batches and more: the verdicts, the sentences, and the notes."""

from __future__ import annotations

import pytest

from tracker.core.batches import Key, Measure
from tracker.core.comparison import Comparison, Difference, Finding, compare
from tracker.core.figures import BatchReport, Metric
from tracker.core.intervals import Share, newcombe
from tracker.core.report import report

OLD_US = 60 * 3600 * 1_000_000


def batch(name: str, *, created_at: int = 0, **counts: int) -> BatchReport:
    """A batch of 1000 messages that all got through, in which everything is tracked."""
    full = {"messages": 1000, "reached": 1000, "reached_opens": 1000, "reached_clicks": 1000}
    full |= {"tracked_opens": 1000, "tracked_clicks": 1000, **counts}
    return report(name, created_at, {Key(Measure(measure)): count for measure, count in full.items()}, {})


def against(before: BatchReport, after: BatchReport, metric: Metric = Metric.OPEN_RATE) -> Difference:
    (found,) = [one for one in compare([before, after], OLD_US).differences if one.metric is metric]
    assert found.batch == after.batch
    return found


def notes(*reports: BatchReport, now: int = OLD_US) -> list[str]:
    return compare(reports, now).notes


def test_higher_and_lower() -> None:
    few, many = batch("nov-a", opened=298), batch("nov-b", opened=353)
    found = against(few, many)
    assert found.verdict is Finding.HIGHER
    assert found.difference == pytest.approx(0.055)
    assert (found.low, found.high) == newcombe(Share(353, 1000), Share(298, 1000))
    assert found.sentence == (
        "The open rate of nov-b is higher than that of nov-a: 35.3 % against 29.8 %, a difference of 5.5 points"
        " (95 % interval 1.4 to 9.6)."
    )
    back = against(many, few)
    assert back.verdict is Finding.LOWER
    assert back.sentence == (
        "The open rate of nov-a is lower than that of nov-b: 29.8 % against 35.3 %, a difference of -5.5 points"
        " (95 % interval -9.6 to -1.4)."
    )


def test_no_difference_shown() -> None:
    found = against(batch("nov-a", clicked=31), batch("nov-b", clicked=34), Metric.CLICK_RATE)
    assert found.verdict is Finding.NO_DIFFERENCE_SHOWN
    assert found.sentence == (
        "No difference shown between the click rates of nov-a and nov-b: 3.1 % and 3.4 %; the true difference may be"
        " anywhere from -1.3 to 1.9 points (95 % interval)."
    )


def test_nothing_at_all_shows_no_difference() -> None:
    found = against(batch("a"), batch("b"), Metric.COMPLAINT_RATE)
    assert found.verdict is Finding.NO_DIFFERENCE_SHOWN
    assert found.sentence == (
        "No difference shown between the complaint rates of a and b: 0.0 % and 0.0 %; the true difference may be"
        " anywhere from -0.4 to 0.4 points (95 % interval)."
    )


def test_nothing_is_shown_as_less_than_nothing() -> None:
    found = against(batch("a", opened=298), batch("b", opened=320, reached_opens=943))
    assert found.low is not None
    assert -0.0005 < found.low < 0
    assert "may be anywhere from 0.0 to 8.3 points" in found.sentence


def test_small_rates_are_not_shown_as_nothing_nor_as_equal() -> None:
    size = {"messages": 10_000_000, "reached": 10_000_000}
    found = against(batch("a", complained=100, **size), batch("b", complained=400, **size), Metric.COMPLAINT_RATE)
    assert "0.0040 % against 0.0010 %, a difference of 0.0030 points (95 % interval 0.0026 to 0.0034)" in found.sentence
    size = {"messages": 10**7, "reached": 10**7, "tracked_opens": 10**7, "reached_opens": 10**7}
    found = against(batch("a", opened=3_406_000, **size), batch("b", opened=3_412_000, **size))
    assert "34.12 % against 34.06 %" in found.sentence


@pytest.mark.parametrize(
    ("counts", "metric", "why"),
    [
        ({"reached_opens": 0, "tracked_opens": 0}, Metric.OPEN_RATE, "opens were not tracked in b"),
        ({"reached_clicks": 0, "tracked_clicks": 0}, Metric.CLICK_RATE, "clicks were not tracked in b"),
        ({"reached_opens": 0}, Metric.OPEN_RATE, "every message of b with tracked opens failed"),
        ({"opened_both": 0}, Metric.CLICK_TO_OPEN, "nothing was opened in b where both opens and clicks are tracked"),
        ({"delivered": 0}, Metric.DELIVERY_RATE, "no deliveries were reported of b"),
        ({"reached": 0}, Metric.REPLY_RATE, "every message of b failed"),
        ({"messages": 0}, Metric.FAILURE_RATE, "b has no messages"),
    ],
)
def test_not_comparable(counts: dict[str, int], metric: Metric, why: str) -> None:
    known = batch("a", delivered=1000, opened_both=9)
    unknown = batch("b", **{"delivered": 1000, "opened_both": 9, **counts})
    for pair, names in (((known, unknown), "a and b"), ((unknown, known), "b and a")):
        found = against(*pair, metric)
        assert (found.verdict, found.difference, found.low, found.high) == (Finding.NOT_COMPARABLE, None, None, None)
        assert found.sentence.endswith(f"s of {names} cannot be compared: {why}.")


def test_not_comparable_on_either_side() -> None:
    found = against(batch("a"), batch("b"), Metric.DELIVERY_RATE)
    assert found.sentence == (
        "The delivery rates of a and b cannot be compared: no deliveries were reported of a,"
        " and no deliveries were reported of b."
    )


def test_every_metric_of_every_later_batch() -> None:
    found = compare([batch(name) for name in "abc"], OLD_US)
    assert [(one.batch, one.metric) for one in found.differences] == [(name, m) for name in "bc" for m in Metric]
    assert found.baseline == "a"


def test_more_batches_need_more_confidence() -> None:
    few, many = batch("a", opened=298), batch("b", opened=342)
    alone, together = compare([few, many], OLD_US), compare([few, many, batch("c"), batch("d")], OLD_US)
    assert (alone.comparisons, alone.confidence) == (1, 0.95)
    assert alone.confidence_each == pytest.approx(0.95)
    assert (together.comparisons, together.confidence) == (3, 0.95)
    assert together.confidence_each == pytest.approx(1 - 0.05 / 3)
    assert first(alone).verdict is Finding.HIGHER
    assert first(together).verdict is Finding.NO_DIFFERENCE_SHOWN
    assert "(98.33 % interval)" in first(together).sentence
    assert (first(together).low, first(together).high) == newcombe(
        Share(342, 1000), Share(298, 1000), together.confidence_each
    )


def first(comparison: Comparison) -> Difference:
    assert comparison.differences[0].metric is Metric.OPEN_RATE
    return comparison.differences[0]


def test_one_batch_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="two"):
        compare([batch("a")], 0)


def test_batches_alike_need_no_note() -> None:
    assert notes(batch("a", opened=300, opened_proxy=30), batch("b", opened=290, opened_proxy=35)) == []


def test_a_note_on_image_proxies() -> None:
    found = notes(batch("a", opened=300, opened_proxy=30), batch("b", opened=300, opened_proxy=120))
    assert found == [
        "Of the opened messages, 40.0 % of b and 10.0 % of a were seen through image proxies alone, so their open"
        " rates compare less well."
    ]


def test_a_note_on_what_is_tracked() -> None:
    found = notes(batch("a"), batch("b", reached_opens=500, tracked_opens=500))
    assert found == [
        "Opens are tracked in 50.0 % of the messages of b that did not fail and in 100.0 % of those of a, so their"
        " open rates may be those of different kinds of people."
    ]
    (of_clicks,) = notes(batch("a", reached_clicks=800), batch("b"))
    assert of_clicks.startswith("Clicks are tracked in 100.0 %")
    assert notes(batch("a"), batch("b", reached_opens=0, tracked_opens=0)) == []


def test_a_note_on_clicks_that_count_as_opens() -> None:
    blind = {"reached_clicks": 0, "tracked_clicks": 0}
    one, other = batch("a", opened=300, opened_implied=40), batch("b", opened=280, **blind)
    note = (
        "Clicks are tracked in 0.0 % of the messages of b and in 100.0 % of those of a, and a click counts as an open,"
        " so their open rates compare less well."
    )
    assert notes(one, other) == [note]
    (back,) = notes(other, one)
    assert back.startswith("Clicks are tracked in 100.0 % of the messages of a and in 0.0 % of those of b, and a click")
    assert notes(batch("a", opened=300), other) == [], "where nothing is implied, it makes no difference"
    assert notes(one, batch("b", opened=280, tracked_clicks=999)) == []
    assert notes(one, batch("b", tracked_opens=0, reached_opens=0, **blind)) == [], "there is no open rate"
    implied, kinds = notes(one, batch("b", opened=280, reached_clicks=500, tracked_clicks=500))
    assert implied == note.replace("in 0.0 %", "in 50.0 %")
    assert kinds.startswith("Clicks are tracked in 50.0 % of the messages of b that did not fail")


def test_a_note_on_machines() -> None:
    found = notes(batch("a", opened=100, opened_machine=101), batch("b", opened=100, opened_machine=100))
    assert found == ["More messages of a were opened by machines alone than by people, so its open rate says little."]


def test_a_note_on_young_batches() -> None:
    young = batch("b", created_at=OLD_US - 48 * 3600 * 1_000_000 + 1)
    assert notes(batch("a"), young) == ["b is less than 48 hours old, so its numbers may still grow."]
    assert notes(batch("a"), young, now=OLD_US + 1) == []
    two = [young, batch("c", created_at=OLD_US)]
    assert notes(batch("a"), *two) == ["b and c are less than 48 hours old, so their numbers may still grow."]
    (of_all,) = notes(batch("a", created_at=OLD_US), *two)
    assert of_all == "a, b and c are less than 48 hours old, so their numbers may still grow."
