"""What counts come to: from messages whose status is known, and from counts as a store may hold them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest

from tracker.core.batches import OTHER, Key, Measure, counted, share_of
from tracker.core.comparison import compare
from tracker.core.figures import BatchReport, DeviceCount, FailureCount, Metric, Point, Rate
from tracker.core.model import Registration
from tracker.core.report import MOST_HOURS, MOST_SHOWN, report
from tracker.core.status import Counts, Status

HOUR_US = 3_600_000_000
HOUR = 490_000
BOTH = Registration(batch="b", tracks_opens=True, tracks_clicks=True)
NEITHER = Registration(batch="b")


def of(*messages: Status, withdrawn: Mapping[tuple[str, str], int] | None = None) -> BatchReport:
    """The report on a batch of these messages."""
    counts: Counter[Key] = Counter()
    for one in messages:
        counts.update(counted(share_of(one)))
    return report("b", 7, counts, withdrawn or {})


def message(registration: Registration = BOTH, **fields: object) -> Status:
    return Status("default", "m", registration, (1, b"1"), **fields)  # type: ignore[arg-type]


def opened(at: int = HOUR * HOUR_US, **fields: object) -> Status:
    return message(BOTH, **{"first_opened_at": at, "opens": Counts(human=1), **fields})


def keyed(measure: Measure, counts: Mapping[str, int]) -> dict[Key, int]:
    return {Key(measure, key): count for key, count in counts.items()}


def rate(found: BatchReport, metric: Metric) -> tuple[int, int, float | None]:
    one = found.rates[metric]
    assert (one.rate is None) == (one.low is None) == (one.high is None)
    return one.count, one.of, one.rate


def test_a_batch_in_which_everything_happened() -> None:
    found = of(
        *(message() for _ in range(3)),
        message(NEITHER, failed=(1, b"1"), failure="Dropped"),
        message(failed=(1, b"1"), failure="550 5.1.1", sent_at=1),
        message(sent_at=1, delivered_at=2, replied_at=3, opens=Counts(machine=4)),
        opened(sent_at=1, delivered_at=2),
        opened(opens=Counts(proxy=2), unsubscribed_at=5),
        opened(opens=Counts(human=1, proxy=2, machine=3), first_clicked_at=1, clicks=Counts(human=2, machine=1)),
        message(first_clicked_at=1, clicks=Counts(human=1), complained_at=9),
    )
    assert (found.batch, found.created_at, found.messages, found.sent, found.delivered) == ("b", 7, 10, 3, 2)
    assert (found.failed, found.reached, found.replied, found.unsubscribed, found.complained) == (2, 8, 1, 1, 1)
    assert found.failures == [FailureCount("550 5.1.1", 1), FailureCount("Dropped", 1)]
    assert rate(found, Metric.OPEN_RATE) == (4, 8, 0.5)
    assert rate(found, Metric.CLICK_RATE) == (2, 8, 0.25)
    assert rate(found, Metric.CLICK_TO_OPEN) == (2, 4, 0.5)
    assert rate(found, Metric.DELIVERY_RATE) == (2, 10, 0.2)
    assert rate(found, Metric.FAILURE_RATE) == (2, 10, 0.2)
    for metric in (Metric.REPLY_RATE, Metric.UNSUBSCRIBE_RATE, Metric.COMPLAINT_RATE):
        assert rate(found, metric) == (1, 8, 0.125)
    assert list(found.rates) == list(Metric)
    assert found.opens is not None
    assert found.opens.tracked == 9
    assert found.opens.unique == Counts(human=2, proxy=2, machine=2)
    assert found.opens.total == Counts(human=2, proxy=4, machine=7)
    assert found.clicks is not None
    assert found.clicks.total == Counts(human=3, machine=1)
    by = found.opened_by
    assert by is not None
    assert (by.human, by.proxy, by.implied, by.machine_only, by.proxy_share) == (2, 1, 1, 1, 0.25)
    assert by.count == found.rates[Metric.OPEN_RATE].count


def test_the_interval_of_a_rate() -> None:
    found = report("b", 0, {Key(Measure.OPENED): 81, Key(Measure.REACHED_OPENS): 263}, {})
    one = found.rates[Metric.OPEN_RATE]
    assert (one.rate, one.low, one.high) == pytest.approx((81 / 263, 0.2553, 0.3662), abs=5e-5)


def test_what_was_not_tracked_is_not_zero() -> None:
    unknown = Rate(0, 0, None, None, None)
    found = of(message(NEITHER, delivered_at=1), message(NEITHER))
    assert (found.opens, found.opened_by, found.clicks) == (None, None, None)
    for metric in (Metric.OPEN_RATE, Metric.CLICK_RATE, Metric.CLICK_TO_OPEN):
        assert found.rates[metric] == unknown
    only_clicks = of(message(Registration(batch="b", tracks_clicks=True)))
    assert (only_clicks.opens, only_clicks.rates[Metric.OPEN_RATE]) == (None, unknown)
    assert only_clicks.clicks is not None
    assert rate(only_clicks, Metric.CLICK_RATE) == (0, 1, 0.0)
    some = of(message(), message(NEITHER), message(NEITHER))
    assert some.opens is not None
    assert (some.messages, some.opens.tracked) == (3, 1)
    assert rate(some, Metric.OPEN_RATE) == (0, 1, 0.0)


def test_deliveries_that_nobody_reports_are_not_known() -> None:
    assert rate(of(message(sent_at=1)), Metric.DELIVERY_RATE) == (0, 0, None)
    assert rate(of(message(delivered_at=1), message()), Metric.DELIVERY_RATE) == (1, 2, 0.5)
    assert rate(of(message(failed=(1, b"1")), message()), Metric.DELIVERY_RATE) == (0, 0, None)
    assert rate(of(*[message(failed=(1, b"1"))] * 2), Metric.DELIVERY_RATE) == (0, 2, 0.0), "none can have been"
    assert rate(of(), Metric.DELIVERY_RATE) == (0, 0, None)


def test_a_batch_that_failed_altogether_has_no_open_rate() -> None:
    found = of(message(failed=(1, b"1")))
    assert rate(found, Metric.OPEN_RATE) == (0, 0, None)
    assert found.opened_by is not None
    assert found.opened_by.proxy_share is None
    assert found.failures == [FailureCount("", 1)]
    assert rate(found, Metric.FAILURE_RATE) == (1, 1, 1.0)


def test_hits_without_consent() -> None:
    found = of(message(), withdrawn={("opened", "human"): 3, ("opened", "machine"): 1, ("clicked", "human"): 2})
    assert found.opens is not None
    assert found.opens.withdrawn == Counts(human=3, machine=1)
    assert found.opens.total == Counts()
    assert found.clicks is not None
    assert found.clicks.withdrawn == Counts(human=2)


def test_counts_that_cannot_be_do_no_harm() -> None:
    found = report("b", 0, {Key(Measure.CLICKED): 3, Key(Measure.REACHED_CLICKS): 2, Key(Measure.OPENED_PROXY): 1}, {})
    assert rate(found, Metric.CLICK_RATE) == (3, 3, 1.0)
    assert report("b", 0, {}, {}).messages == 0


@pytest.mark.parametrize("below", [one for one in Measure if not one.endswith("_hour")])
def test_a_count_below_zero_is_none(below: Measure) -> None:
    counts = {Key(one): -1 if one is below else 5 for one in Measure if not one.endswith("_hour")}
    found = report("b", 0, counts, {})
    assert all(0 <= one.count <= one.of for one in found.rates.values())
    by = found.opened_by
    assert by is None or min(by.human, by.proxy, by.implied, by.machine_only) >= 0
    assert compare([found, found], 0).baseline == "b"


def test_the_links_that_were_clicked_most_come_first_and_the_rest_is_summed_up() -> None:
    people = {f"https://shop.example/{number}": 50 - number for number in range(MOST_SHOWN)}
    few = {"https://shop.example/b": 1, "https://shop.example/a": 1, "https://shop.example/c": 1, OTHER: 1000}
    counts = {
        **keyed(Measure.LINK, people | few),
        **keyed(Measure.LINK_HUMAN, {**people, **few, "https://shop.example/3": 60}),
        **keyed(Measure.LINK_MACHINE, {"https://shop.example/c": 5, "https://shop.example/trap": 9}),
    }
    *shown, rest = report("b", 0, counts, {}).links
    assert [link.url for link in shown] == list(people)
    assert (shown[3].unique, shown[3].total) == (47, Counts(human=60))
    assert (rest.url, rest.unique, rest.total) == ("other", 1003, Counts(human=1003, machine=14))


def test_links_with_as_many_people_stand_in_the_order_of_their_hits() -> None:
    counts = {
        **keyed(Measure.LINK, {"https://a.example/": 2, "https://b.example/": 2, "https://c.example/": 3}),
        **keyed(Measure.LINK_HUMAN, {"https://a.example/": 2, "https://b.example/": 4, "https://c.example/": 3}),
    }
    links = report("b", 0, counts, {}).links
    assert [link.url for link in links] == ["https://c.example/", "https://b.example/", "https://a.example/"]


def test_devices() -> None:
    kinds = {
        "mobile/iOS/Apple Mail": 5, "mobile/Android/Chrome": 2, "desktop/macOS/Apple Mail": 3,
        "desktop/Windows/a/b": 1, "odd": 1, "other/other/other": 4, OTHER: 2,
    }  # fmt: skip
    found = report("b", 0, keyed(Measure.DEVICE, kinds), {}).devices
    assert found.device == [DeviceCount("mobile", 7), DeviceCount("desktop", 4), DeviceCount("other", 7)]
    assert found.os[:2] == [DeviceCount("iOS", 5), DeviceCount("macOS", 3)]
    assert found.client[0] == DeviceCount("Apple Mail", 8)
    assert DeviceCount("a/b", 1) in found.client
    assert {sum(one.count for one in part) for part in (found.device, found.os, found.client)} == {18}


def test_the_series_goes_by_hours() -> None:
    found = of(opened(HOUR * HOUR_US + 5), opened((HOUR + 1) * HOUR_US - 1), opened((HOUR + MOST_HOURS - 1) * HOUR_US))
    assert found.step_s == 3600
    assert found.series == [Point(HOUR * HOUR_US, 2, 0), Point((HOUR + MOST_HOURS - 1) * HOUR_US, 1, 0)]


def test_a_long_series_goes_by_days() -> None:
    midnight = HOUR - HOUR % 24
    clicked = (midnight + 23, midnight + 24, midnight + MOST_HOURS)
    found = report("b", 0, keyed(Measure.CLICKED_HOUR, {str(hour): 2 for hour in clicked} | {str(midnight): 1}), {})
    assert found.step_s == 86_400
    days = [(midnight, 3), (midnight + 24, 2), (midnight + MOST_HOURS, 2)]
    assert found.series == [Point(hour * HOUR_US, 0, count) for hour, count in days]


def test_a_series_of_nothing() -> None:
    assert of(message()).series == []
