"""Charts from numbers to SVG: what stands where, what is said of it, and that nothing gets out of it."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from tracker.web.console.charts import LETTERS, PARTS, Bar, Curve, Dot, bars, curves, intervals

SVG = "{http://www.w3.org/2000/svg}"
NAUGHTY = "</title></svg><script>alert('x')</script> \" onload=\"x & y"
DOTS = [Dot("A", "first", 0.2, 0.1, 0.4), Dot("B", "second", None, None, None), Dot("C", "third", 0.0, 0.0, 0.05)]


def parsed(chart: Markup) -> ElementTree.Element:
    """The chart as XML, with the namespace that HTML gives it."""
    return ElementTree.fromstring(str(chart).replace("<svg ", f'<svg xmlns="{SVG[1:-1]}" ', 1))


def texts(chart: ElementTree.Element) -> list[str]:
    return ["".join(one.itertext()) for one in chart.iter(f"{SVG}text")]


def percent(element: ElementTree.Element, name: str) -> float:
    return float(element.attrib[name].removesuffix("%"))


def every_chart(name: str) -> list[Markup]:
    return [
        intervals("i", name, [Dot("A", name, 0.2, 0.1, 0.4), Dot("B", name, None, None, None, name)]),
        bars("b", name, [Bar("A", name, (1, 2, 3)), Bar("B", name, (0, 0, 0))]),
        curves("c", name, [Curve("A", name, [(0, 0), (5, 0.1)]), Curve("B", name, None), Curve("C", name, [])]),
    ]


@pytest.mark.parametrize("chart", every_chart(NAUGHTY), ids=["intervals", "bars", "curves"])
def test_names_do_not_get_out_of_their_text(chart: Markup) -> None:
    root = parsed(chart)
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {
        "svg", "title", "desc", "text", "tspan", "line", "circle", "rect", "defs", "pattern", "path", "polyline",
    }  # fmt: skip
    assert all(not name.startswith("on") and name != "style" for one in root.iter() for name in one.attrib)
    assert root.findtext(f"{SVG}title") == NAUGHTY
    assert NAUGHTY in (root.findtext(f"{SVG}desc") or "")


@pytest.mark.parametrize("chart", every_chart("plain"), ids=["intervals", "bars", "curves"])
def test_it_can_be_reached_by_keyboard_and_says_what_it_shows(chart: Markup) -> None:
    root = parsed(chart)
    assert root.attrib["role"] == "img"
    assert root.attrib["tabindex"] == "0"
    ids = [one.attrib["id"] for one in root.iter() if "id" in one.attrib]
    assert len(ids) == len(set(ids))
    assert all(id_ in ids for id_ in root.attrib["aria-labelledby"].split())
    assert "plain" in (root.findtext(f"{SVG}desc") or "")


def test_dots_and_intervals_stand_where_they_should() -> None:
    root = parsed(intervals("i", "Rate", DOTS))
    dots = root.findall(f"{SVG}circle")
    lines = [one for one in root.iter(f"{SVG}line") if one.attrib["class"] == "interval"]
    assert len(dots) == len(lines) == 2, "none for what is not known"
    for dot, line, (value, low, high) in zip(dots, lines, [(0.2, 0.1, 0.4), (0.0, 0.0, 0.05)], strict=True):
        for element, name, share in ((dot, "cx", value), (line, "x1", low), (line, "x2", high)):
            assert percent(element, name) == pytest.approx(100 * share / 0.4, abs=0.01)
        assert dot.attrib["cy"] == line.attrib["y1"] == line.attrib["y2"]
    said = root.findtext(f"{SVG}desc") or ""
    assert re.sub(r"\s", " ", said) == (
        "A, first: 20.0 %, interval 10.0 % to 40.0 %; B, second: not tracked; C, third: 0.0 %, interval 0.0 % to 5.0 %"
    )
    assert "not tracked" in texts(root)
    assert [re.sub(r"\s", " ", one) for one in texts(root)[-3:]] == ["0 %", "20 %", "40 %"]


@pytest.mark.parametrize(
    ("high", "top"), [(0.0, "0.06 %"), (0.004, "0.4 %"), (0.21, "40 %"), (0.4, "40 %"), (0.41, "60 %"), (0.97, "100 %")]
)
def test_the_scale_ends_at_a_round_number_not_below_any(high: float, top: str) -> None:
    root = parsed(intervals("i", "Rate", [Dot("A", "a", 0.0, 0.0, high)]))
    assert re.sub(r"\s", " ", texts(root)[-1]) == top
    assert all(percent(one, "x2") <= 100 for one in root.iter(f"{SVG}line"))


def test_the_pieces_of_a_bar_fill_it_and_differ_by_pattern() -> None:
    root = parsed(bars("b", "Opened", [Bar("A", "a", (5, 3, 2)), Bar("B", "b", (0, 0, 0))]))
    pieces = root.findall(f"{SVG}rect")
    assert [percent(one, "width") for one in pieces] == pytest.approx([50, 30, 20])
    assert [percent(one, "x") for one in pieces] == pytest.approx([0, 50, 80])
    patterns = {one.attrib["id"]: len(list(one)) for one in root.iter(f"{SVG}pattern")}
    assert [one.attrib["fill"] for one in pieces] == [f"url(#{name})" for name in patterns]
    assert len({"".join(child.tag for child in one) for one in root.iter(f"{SVG}pattern")}) == len(PARTS)
    assert "none opened" in texts(root)


def test_lines_share_one_axis_of_hours_and_one_scale() -> None:
    lines = [
        Curve("A", "a", [(0, 0), (1, 0.1), (10, 0.4)]),
        Curve("B", "b", [(2, 0.1), (5, 0.2)]),
        Curve("C", "c", None),
        Curve("D", "d", []),
    ]
    root = parsed(curves("c", "Opened", lines))
    drawn = {one.attrib["class"]: one.attrib["points"] for one in root.iter(f"{SVG}polyline")}
    assert drawn == {
        "curve curve-a": "0.0,100.0 10.0,100.0 10.0,75.0 100.0,75.0 100.0,0.0",
        "curve curve-b": "20.0,75.0 50.0,75.0 50.0,50.0",
    }, "steps, from the first point on"
    dots = {(percent(one, "cx"), float(one.attrib["cy"])) for one in root.findall(f"{SVG}circle")}
    assert dots == {(100, 16), (50, 106)}, "where a line ends"
    said = re.sub(r"\s", " ", root.findtext(f"{SVG}desc") or "")
    assert said == "A, a: 40.0 % after 10 hours; B, b: 20.0 % after 5 hours; C, c: not tracked; D, d: nothing yet"
    assert [one for one in texts(root) if one.endswith(" h")] == ["0 h", "2 h", "4 h", "6 h", "8 h", "10 h"]


def test_a_single_point_is_a_dot_and_no_line() -> None:
    root = parsed(curves("c", "Opened", [Curve("A", "a", [(1, 0.4)]), Curve("B", "b", [(1, 0.1), (4, 0.1)])]))
    assert [one.attrib["class"] for one in root.iter(f"{SVG}polyline")] == ["curve curve-b"]
    assert len(root.findall(f"{SVG}circle")) == 2
    assert "A, a: 40.0 % after 1 hour;" in re.sub(r"\s", " ", root.findtext(f"{SVG}desc") or "")


def test_one_alone_has_no_letter() -> None:
    for chart in (
        intervals("i", "Rate", [Dot("", "one", 0.2, 0.1, 0.4)]),
        bars("b", "Opened", [Bar("", "one", (1, 2, 3))]),
        curves("c", "Opened", [Curve("", "one", [(1, 0.1), (5, 0.4)])]),
    ):
        root = parsed(chart)
        assert (root.findtext(f"{SVG}desc") or "").startswith("one: ")
        assert not list(root.iter(f"{SVG}tspan"))
        assert "A" not in texts(root)
    assert "40.0 %" in [re.sub(r"\s", " ", one) for one in texts(root)], "what it came to instead"
    assert [one.attrib["class"] for one in root.iter(f"{SVG}polyline")] == ["curve curve-a"]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_letters_at_the_ends_of_lines_stand_apart_and_within(share: float) -> None:
    root = parsed(curves("c", "Opened", [Curve(letter, letter, [(0, 0), (9, share)]) for letter in LETTERS]))
    places = sorted(float(one.attrib["y"]) for one in root.iter(f"{SVG}text") if one.attrib["class"] == "letter")
    assert len(places) == len(LETTERS)
    assert all(after - before >= 12.9 for before, after in pairwise(places))
    assert places[0] > 10
    assert places[-1] < float(root.attrib["height"]) - 20


@pytest.mark.parametrize("hours", [1, 2, 7, 24, 49, 336, 5000])
def test_an_axis_has_few_ticks(hours: int) -> None:
    root = parsed(curves("c", "Opened", [Curve("A", "a", [(0, 0), (hours, 0.1)])]))
    ticks = [one for one in texts(root) if one.endswith(" h")]
    assert 2 <= len(ticks) <= 6
    assert ticks[0] == "0 h"


def test_long_names_are_cut_in_the_picture_and_whole_in_its_description() -> None:
    name = "W" * 128
    root = parsed(intervals("i", "Rate", [Dot("A", name, 0.2, 0.1, 0.4)]))
    assert name in (root.findtext(f"{SVG}desc") or "")
    assert all(len(one) < 40 for one in texts(root))
