from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracker.core.intervals import Interval, Share, newcombe, wilson

SLACK = 1e-9
confidences = st.floats(0.5, 0.9999)


@st.composite
def shares(draw: st.DrawFn) -> Share:
    """From one of one to some of ten million."""
    of = draw(st.integers(1, 50) | st.integers(1, 10_000_000))
    return Share(draw(st.sampled_from([0, of]) | st.integers(0, of)), of)


def of_one(share: Share, confidence: float) -> Interval:
    found = wilson(share, confidence)
    assert found is not None
    return found


def of_two(first: Share, second: Share, confidence: float) -> Interval:
    found = newcombe(first, second, confidence)
    assert found is not None
    return found


@given(shares(), confidences)
def test_an_interval_has_the_share_in_it(share: Share, confidence: float) -> None:
    low, high = of_one(share, confidence)
    assert 0 <= low <= share.value <= high <= 1
    assert low < high


@given(shares(), confidences)
def test_what_did_not_happen_mirrors_what_did(share: Share, confidence: float) -> None:
    low, high = of_one(share, confidence)
    mirrored = of_one(Share(share.whole - share.part, share.whole), confidence)
    assert abs(mirrored.low - (1 - high)) < SLACK
    assert abs(mirrored.high - (1 - low)) < SLACK


@given(shares(), st.integers(2, 50), confidences)
def test_more_of_the_same_is_narrower(share: Share, times: int, confidence: float) -> None:
    few, many = of_one(share, confidence), of_one(Share(share.part * times, share.whole * times), confidence)
    assert many.high - many.low < few.high - few.low
    assert few.low <= many.low + SLACK
    assert many.high <= few.high + SLACK


@given(shares(), confidences)
def test_one_more_moves_it_up(share: Share, confidence: float) -> None:
    if share.part < share.whole:
        before, after = of_one(share, confidence), of_one(Share(share.part + 1, share.whole), confidence)
        assert before.low < after.low
        assert before.high < after.high


@given(shares(), shares(), confidences, confidences)
def test_more_confidence_is_wider(first: Share, second: Share, one: float, other: float) -> None:
    less, more = sorted((one, other))
    for narrow, wide in (
        (of_one(first, less), of_one(first, more)),
        (of_two(first, second, less), of_two(first, second, more)),
    ):
        assert wide.low <= narrow.low + SLACK
        assert narrow.high <= wide.high + SLACK


@given(shares(), shares(), confidences)
def test_a_difference_is_in_its_interval(first: Share, second: Share, confidence: float) -> None:
    low, high = of_two(first, second, confidence)
    assert -1 <= low <= first.value - second.value <= high <= 1


@given(shares(), shares(), confidences)
def test_exchanged_the_difference_has_the_other_sign(first: Share, second: Share, confidence: float) -> None:
    low, high = of_two(first, second, confidence)
    exchanged = of_two(second, first, confidence)
    assert abs(exchanged.low + high) < SLACK
    assert abs(exchanged.high + low) < SLACK


@given(shares(), confidences)
def test_equal_shares_show_no_difference(share: Share, confidence: float) -> None:
    low, high = of_two(share, share, confidence)
    assert low < 0 < high


@given(shares(), shares(), st.integers(2, 50), confidences)
def test_a_difference_is_narrower_with_more_of_the_same(
    first: Share, second: Share, times: int, confidence: float
) -> None:
    few = of_two(first, second, confidence)
    many = of_two(
        Share(first.part * times, first.whole * times), Share(second.part * times, second.whole * times), confidence
    )
    assert many.high - many.low <= few.high - few.low + SLACK
