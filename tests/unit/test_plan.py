from __future__ import annotations

import pytest
from rewriting import CODEC, ORIGIN

from tracker.core.edits import Plan, Slot
from tracker.core.html import scan
from tracker.core.own import OwnLinks
from tracker.core.plan import Options, Planner, Policy, Tracks, placeholders
from tracker.core.urls import Reason

OWN = OwnLinks(CODEC, ORIGIN)


def plan(html: str, tracks: Tracks = Tracks(), options: Options | None = None) -> Plan:  # noqa: B008  # immutable
    return Planner(OWN, Policy(), options or Options(), tracks).html(html, scan(html))


def slots(made: Plan) -> list[Slot]:
    return [edit.slot for edit in made.edits]


@pytest.mark.parametrize(
    ("html", "tracks", "expected"),
    [
        ("<a href='http://a/'>", Tracks(True, True), [Slot.CLICK, Slot.HTML_FOOTER, Slot.PIXEL]),
        ("<a href='http://a/'>", Tracks(False, True), [Slot.CLICK, Slot.HTML_FOOTER]),
        ("<a href='http://a/'>", Tracks(True, False), [Slot.HTML_FOOTER, Slot.PIXEL]),
        ("{{unsubscribe_url}}", Tracks(True, True), [Slot.UNSUBSCRIBE, Slot.PIXEL]),
        ("<a href='http://a/{{unsubscribe_url}}'>", Tracks(False, True), [Slot.UNSUBSCRIBE]),
        ("<a data-no-track href='http://a/'>", Tracks(False, False), [Slot.HTML_FOOTER]),
        ("<a data-no-track href='http://a/'>", Tracks(True, False), [Slot.LITERAL, Slot.HTML_FOOTER, Slot.PIXEL]),
    ],
)
def test_what_is_planned(html: str, tracks: Tracks, expected: list[Slot]) -> None:
    assert slots(plan(html, tracks)) == expected


def test_numbers_go_on_in_the_text_and_opt_outs_hold_there() -> None:
    planner = Planner(OWN, Policy(), Options(), Tracks())
    html = "<a href='http://a/'><a data-no-track href='http://b/'>"
    planner.html(html, scan(html))
    found = planner.text("http://b/ http://c/").links
    assert [each.reason for each in found] == [Reason.OPT_OUT, None]
    assert found[1].edit is not None
    assert found[1].edit.link == 1


def test_a_skipped_link_is_reported_as_it_stays() -> None:
    options = Options(link_params={"utm_source": "crm"})
    made = plan("<a clicktracking=off href='http://a/'><a href='http://b/'>", options=options)
    assert [found.url for found in made.links] == ["http://a/", "http://b/?utm_source=crm"]


def test_a_body_that_is_left_alone_still_gets_its_placeholders() -> None:
    assert slots(placeholders("<a href='http://a/'>{{unsubscribe_url}}{{ unsubscribe_url }}")) == [Slot.UNSUBSCRIBE] * 2
