from __future__ import annotations

from collections.abc import Iterable

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tracker.core.agents import JUDGED_TYPES, REACH_US, ClassifierSettings, classify, judge
from tracker.core.devices import CLIENTS, OTHER, SYSTEMS, device_of
from tracker.core.model import Actor, Event, Facts, Verdict

# Where nothing is cached yet, the first text that is drawn takes a second: the table of Unicode is made for it.
unhurried = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)

SECOND = 1_000_000
MIDDAY = 1_700_000_000 * SECOND

# Times a window of the rules apart, and their neighbours; few, so that hits often meet.
seconds = st.sampled_from([0, 1, 5, 10, 30, 60, 65, 70, 120, 130, 180, 200])
times = st.builds(lambda at_s, more_us: MIDDAY + at_s * SECOND + more_us, seconds, st.integers(-1, 1))
agents = st.sampled_from([None, "Mozilla/5.0 (X11)", "Mozilla/5.0", "curl/8", "GoogleImageProxy"]) | st.text(
    max_size=30
)
networks = st.sampled_from([None, None, "a/any/certain/1", "a/opens/probable/1", "a/clicks/certain/1"]) | st.text()


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    return Facts(
        "default",
        "m",
        draw(st.sampled_from(sorted(JUDGED_TYPES))),
        url=draw(st.none() | st.sampled_from("abcd")),
        user_agent=draw(agents),
        accept=draw(st.none() | st.sampled_from(["image/*", "*/*", "text/html"]) | st.text(max_size=9)),
        purpose=draw(st.none() | st.just("prefetch") | st.text(max_size=9)),
        source=draw(st.none() | st.sampled_from([b"1" * 8, b"2" * 8])),
        network=draw(networks),
        honeypot=draw(st.sampled_from([False] * 9 + [True])),
    )


# Like most hits: nothing but its place among the others tells a machine.
plain = st.builds(
    lambda type_, url, source, honeypot: Facts(
        "default", "m", type_, url=url, user_agent="Mozilla/5.0 (X11)", source=source, honeypot=honeypot
    ),
    st.sampled_from(sorted(JUDGED_TYPES)),
    st.sampled_from("abcdef"),
    st.sampled_from([None, b"1" * 8, b"2" * 8]),
    st.sampled_from([False] * 4 + [True]),
)


hit_lists = st.lists(st.tuples(times, plain | facts()), max_size=8).map(
    lambda hits: [Event(bytes([n]) * 16, "n", at, at, at, 1, facts) for n, (at, facts) in enumerate(hits)]
)
arrivals = st.none() | st.integers(-700, 200).map(lambda seconds: MIDDAY + seconds * SECOND)
quick = st.sampled_from([0, 0.5, 10, 600])
classifiers = st.just(ClassifierSettings()) | st.builds(
    ClassifierSettings,
    bursts=st.booleans(),
    burst_s=st.sampled_from([1, 5]),
    sweeps=st.booleans(),
    probable_networks=st.booleans(),
    quick_open_s=quick,
    quick_click_s=quick,
)


def chain(*hits: tuple[int, str, str, bytes | None]) -> list[Event]:
    """Plain hits, each with its seconds, its type, its link and its source."""
    made = [Facts("default", "m", type_, url=url, user_agent="x", source=source) for _, type_, url, source in hits]
    times = [MIDDAY + at_s * SECOND for at_s, *_ in hits]
    return [
        Event(bytes([n]) * 16, "n", at, at, at, 1, each) for n, (at, each) in enumerate(zip(times, made, strict=True))
    ]


def neighbourhood(hits: Iterable[Event], of: Event) -> list[Event]:
    return [event for event in hits if abs(event.occurred_at - of.occurred_at) <= REACH_US]


@unhurried
@given(hit_lists, arrivals, classifiers, st.randoms())
def test_the_order_of_hits_does_not_matter(
    hits: list[Event], arrived: int | None, classifier: ClassifierSettings, random: st.DataObject
) -> None:
    expected = judge(hits, arrived, classifier)
    assert set(expected) == {event.id for event in hits}
    random.shuffle(hits)  # type: ignore[attr-defined]
    assert judge(iter(hits), arrived, classifier) == expected


@settings(unhurried, max_examples=600)
@example(
    chain((0, "opened", "", None), *((60 + 30 * n, "clicked", "abcde"[n], b"1") for n in range(5))),
    MIDDAY,
    ClassifierSettings(),
)
@given(hit_lists, arrivals, classifiers)
def test_a_verdict_depends_on_nothing_beyond_reach(
    hits: list[Event], arrived: int | None, classifier: ClassifierSettings
) -> None:
    verdicts = judge(hits, arrived, classifier)
    for event in hits:
        assert judge(neighbourhood(hits, event), arrived, classifier)[event.id] == verdicts[event.id]


@unhurried
@given(hit_lists, hit_lists, st.integers(1, 10 * SECOND), arrivals, classifiers)
def test_hits_far_away_change_nothing(
    hits: list[Event], others: list[Event], beyond_us: int, arrived: int | None, classifier: ClassifierSettings
) -> None:
    last = max((event.occurred_at for event in hits), default=MIDDAY)
    moved_us = last + REACH_US + beyond_us - min((event.occurred_at for event in others), default=MIDDAY)
    far = [
        msgspec.structs.replace(event, id=b"f" + event.id, occurred_at=event.occurred_at + moved_us) for event in others
    ]
    assert judge(hits + far, arrived, classifier) == judge(hits, arrived, classifier) | judge(far, arrived, classifier)


@unhurried
@given(hit_lists, arrivals, classifiers)
def test_only_people_s_hits_are_judged_by_what_is_around_them(
    hits: list[Event], arrived: int | None, classifier: ClassifierSettings
) -> None:
    for event in hits:
        alone, verdict = classify(event.facts), judge(hits, arrived, classifier)[event.id]
        assert alone is not None
        assert verdict == alone if alone.actor is not Actor.HUMAN else verdict.actor is not Actor.PROXY
        assert bool(verdict.reasons) is (verdict.actor is not Actor.HUMAN)


@unhurried
@given(hit_lists, hit_lists, arrivals)
def test_more_hits_never_acquit(hits: list[Event], more: list[Event], arrived: int | None) -> None:
    more = [msgspec.structs.replace(event, id=b"m" + event.id) for event in more]
    before, after = (judge(each, arrived, ClassifierSettings()) for each in (hits, hits + more))
    for id_, verdict in before.items():
        assert after[id_].actor is verdict.actor or after[id_].actor is Actor.MACHINE


@unhurried
@given(hit_lists, arrivals, classifiers)
def test_without_bursts_each_hit_is_judged_alone(
    hits: list[Event], arrived: int | None, classifier: ClassifierSettings
) -> None:
    classifier = msgspec.structs.replace(classifier, bursts=False)
    alone: dict[bytes, Verdict] = {}
    for event in hits:
        alone |= judge([event], arrived, classifier)
    assert judge(hits, arrived, classifier) == alone


@unhurried
@example(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
)
@given(st.text(max_size=200) | st.lists(st.sampled_from([*CLIENTS, *SYSTEMS, "/1.2 ", "Mobile ", "("])).map("".join))
def test_devices_have_few_names(agent: str) -> None:
    kind, system, client = device_of(agent).split("/")
    assert kind in ("mobile", "tablet", "desktop", OTHER)
    assert system in {*SYSTEMS.values(), OTHER}
    assert client in {*CLIENTS.values(), OTHER}
