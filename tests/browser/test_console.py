"""The console in a real browser: its numbers, its policy at work, on a phone, in the dark, by keyboard, for all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import beside_http  # noqa: F401  # first: it makes the next ones importable
import pytest
from sending import METRICS, Batch
from serving import API_KEY, Service, serving

pytest_plugins = ["chromium"]

PHONE = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True}
PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
LONG = "W" * 75 + " a very long name with/slashes & <b>markup</b>"
COUNTS = ["messages", "sent", "delivered", "failed", "reached", "replied", "unsubscribed", "complained"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "data") as service:
        yield service


@pytest.fixture(scope="module")
def batches(service: Service) -> list[Batch]:
    """Three batches: a good one, a poor one, and one in which nothing is tracked."""
    good, poor, untracked = (Batch(service, name) for name in ("2026-11 newsletter", LONG, "untracked"))
    ids = good.send(40)
    good.open(*ids[:20])
    good.open(*ids[20:26], headers={"User-Agent": PROXY})
    good.click(*ids[:8], ids[30])
    good.click(ids[39])
    good.click(ids[39], link=1)  # a burst
    good.report("delivered", *ids[:36])
    good.report("failed", *ids[36:38], status_code="550 5.1.1", reason="nobody there")
    good.report("unsubscribed", ids[0])
    poor.open(*poor.send(40)[:4])
    untracked.send(5, track={"opens": False, "clicks": False})
    untracked.read()
    return [good, poor, untracked]


class Visitor:
    """Somebody at the console: what the page complained of, and what it asked for."""

    def __init__(self, service: Service, page: Any) -> None:
        self.url = service.url
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: self.complaints.append("a script ran"))

    def sign_in(self) -> None:
        self.page.goto(f"{self.url}/console")
        self.page.get_by_label("API key").fill(API_KEY)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", name="Batches", level=1).wait_for()

    def go(self, path: str) -> Any:
        assert self.page.goto(self.url + path).status == 200, path
        return self.page

    def check(self) -> None:
        assert self.complaints == []
        assert self.requests
        # The icon is there, and empty, so that browsers ask for none.
        assert {url for url in self.requests if not url.startswith(self.url + "/console")} <= {"data:,"}


@contextmanager
def visiting(browser: Any, service: Service, **options: Any) -> Iterator[Visitor]:
    context = browser.new_context(**{"java_script_enabled": True, **options})
    visitor = Visitor(service, context.new_page())
    visitor.sign_in()
    yield visitor
    visitor.check()
    context.close()


def paths(batches: list[Batch]) -> list[str]:
    """Every kind of page."""
    names = [quote(batch.name, safe="") for batch in batches]
    ids = [next(iter(batch.mails)) for batch in batches]
    return [
        "/console",
        *(f"/console/batches/{name}" for name in names),
        f"/console/batches/{names[0]}/messages",
        "/console/compare?" + "&".join(f"batch={name}" for name in names),
        f"/console/messages/{ids[0]}",
        f"/console/messages/{list(batches[0].mails)[39]}",
        f"/console/messages/{ids[2]}",
        "/console/search",
        "/console/settings",
    ]


def numbers(page: Any, selector: str) -> list[float]:
    """The numbers that stand in the cells of a part of the page, and are shown."""
    shown = page.locator(f"{selector} td data")
    return [float(value) for value in shown.evaluate_all("all => all.map(one => one.value)")]


def plain(text: str) -> str:
    """What the API says, of which a page shows ``text``."""
    return re.sub("[\u202f\u00a0]", " ", text).replace("\N{MINUS SIGN}", "-")


def known(rate: dict[str, Any]) -> list[float]:
    shown = [] if rate["rate"] is None else [rate["rate"], rate["low"], rate["high"]]
    return [*shown, rate["count"], rate["of"]]


def cumulated(report: dict[str, Any], name: str) -> int:
    return sum(point[name] for point in report["series"])


def test_the_page_of_a_batch_shows_the_apis_numbers(browser: Any, service: Service, batches: list[Batch]) -> None:
    with visiting(browser, service) as visitor:
        for batch in batches:
            report = batch.read()
            page = visitor.go(f"/console/batches/{quote(batch.name, safe='')}")
            assert page.get_by_role("heading", level=1).inner_text() == batch.name
            for name in COUNTS:
                assert page.locator(f'[data-fact="{name}"]').inner_text() == str(report[name])
            for metric in METRICS:
                rate = report["rates"][metric]
                found = page.locator(f'[data-table="rates"] [data-metric="{metric}"]')
                assert numbers(page, f'[data-metric="{metric}"]') == pytest.approx(known(rate)), metric
                shown = found.locator('[data-cell="rate"]').inner_text().replace("\u202f", " ")
                if rate["rate"] is None:
                    assert "%" not in shown
                elif rate["rate"] == 0 or rate["rate"] >= 0.01:
                    assert shown == f"{100 * rate['rate']:.1f} %"
            if report["opened_by"]:
                expected = [
                    report["opened_by"][name] for name in ("human", "proxy", "implied", "proxy_share", "machine_only")
                ]
                assert numbers(page, '[data-table="opened_by"]') == pytest.approx(expected)
                assert page.locator('[data-metric="open_rate"] .beside data').get_attribute("value") == str(expected[3])
            for name in ("opens", "clicks"):
                if report[name]:
                    for part in ("unique", "total"):
                        assert numbers(page, f'[data-hits="{name}-{part}"]') == list(report[name][part].values())


def test_the_comparison_shows_the_apis_numbers(browser: Any, service: Service, batches: list[Batch]) -> None:
    names = [batch.name for batch in batches]
    answer = service.call("GET", "/v1/reports", params={"batch": names}).json()
    with visiting(browser, service) as visitor:
        page = visitor.go("/console/compare?" + "&".join(f"batch={quote(name, safe='')}" for name in names))
        for summary in page.locator("summary").all():
            summary.click()
        sentences = [plain(one) for one in page.locator(".finding").all_inner_texts()]
        assert sorted(sentences) == sorted(one["sentence"] for one in answer["differences"])
        assert [plain(one) for one in page.locator(".notes li").all_inner_texts()] == answer["notes"]
        for metric in METRICS:
            rows = page.locator(f'[data-table="{metric}"] tbody tr')
            assert rows.count() == len(names)
            expected = [number for report in answer["batches"] for number in known(report["rates"][metric])]
            assert numbers(page, f'[data-table="{metric}"]') == pytest.approx(expected), metric
        assert page.locator('[data-table="open_rate"] tr').last.inner_text().count("not tracked") == 1
        last = numbers(page, '[data-table="series"] tr:last-child')
        good, poor, _ = answer["batches"]
        assert last == [cumulated(report, name) for report in (good, poor) for name in ("opened", "clicked")]


def test_the_charts_stand_below_what_is_said_and_show_what_is_in_the_tables(
    browser: Any, service: Service, batches: list[Batch]
) -> None:
    with visiting(browser, service) as visitor:
        page = visitor.go(paths(batches)[5])
        charts = page.locator(".chart[role=img]")
        assert charts.count() == 5 + 1 + 2
        tops = charts.evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
        for one in page.locator(".higher, .lower").all():
            said = one.bounding_box()
            assert said["y"] + said["height"] <= min(tops)
        for metric in METRICS[:3]:
            chart = page.locator(f'svg[aria-labelledby^="{metric.replace("_", "-")}-"]').bounding_box()
            table = page.locator(f'[data-table="{metric}"]').bounding_box()
            for one in page.locator(f'.no_difference_shown[data-metric="{metric}"]').all():
                said = one.bounding_box()
                assert chart["y"] + chart["height"] <= said["y"] < table["y"]
            assert table["x"] == chart["x"]
            assert table["width"] == pytest.approx(chart["width"], abs=1)
        dots = page.locator('svg[aria-labelledby^="open-rate-"] circle')
        assert dots.count() == 2, "none for the batch in which nothing is tracked"
        plot = page.locator('svg[aria-labelledby^="open-rate-"] .track').first.bounding_box()
        scale = page.locator('svg[aria-labelledby^="open-rate-"] .tick').last.inner_html().rstrip("%\u202f")
        for at, batch in enumerate(batches[:2]):
            rate = batch.read()["rates"]["open_rate"]["rate"]
            box = dots.nth(at).bounding_box()
            place = (box["x"] + box["width"] / 2 - plot["x"]) / plot["width"]
            assert place == pytest.approx(rate / (float(scale) / 100), abs=0.01)


def test_the_time_line_tells_machines_apart(browser: Any, service: Service, batches: list[Batch]) -> None:
    with visiting(browser, service) as visitor:
        page = visitor.go(paths(batches)[7])
        burst = page.locator(".burst.by-machine")
        assert burst.get_by_role("heading").all_inner_texts() == ["2 links within 1 s"]
        entries = burst.locator(".entry.by-machine")
        assert [one.is_visible() for one in entries.all()] == [False, False]
        page.get_by_text("Each of the 2 hits").click()
        assert [one.is_visible() for one in entries.all()] == [True, True]
        style = "one => getComputedStyle(one).borderLeftStyle"
        machine = burst.evaluate(style)
        page = visitor.go(paths(batches)[6])
        assert page.locator(".entry.by-human").first.evaluate(style) != machine == "dotted"
        assert page.locator("a[href^=http]").count() == 0, "a link of a mail is shown, not offered"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_on_a_phone(browser: Any, service: Service, batches: list[Batch], scheme: str) -> None:
    with visiting(browser, service, color_scheme=scheme, **PHONE) as visitor:
        for path in paths(batches):
            page = visitor.go(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360, f"{path} scrolls sideways"
            sizes = page.locator("main :is(p, li, td, th, label, text, button)").evaluate_all(
                "all => all.filter(one => one.checkVisibility()).map(one => parseFloat(getComputedStyle(one).fontSize))"
            )
            assert min(sizes) >= 12, path
            for chart in page.locator(".chart").all():
                box = chart.bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= 360
            background = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (background == "rgb(255, 255, 255)") is (scheme == "light")
            for text in page.locator(".chart text").all():
                light = "rgb(28, 28, 30)", "rgb(85, 85, 92)"
                assert (text.evaluate("one => getComputedStyle(one).fill") in light) is (scheme == "light")


def test_it_works_by_keyboard_alone(browser: Any, service: Service, batches: list[Batch]) -> None:
    with visiting(browser, service, java_script_enabled=False) as visitor:
        page = visitor.go("/console")
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text() == "Skip to the content"
        page.keyboard.press("Enter")
        for name in [batch.name for batch in reversed(batches)][1:]:
            tab_to(page, lambda focus, name=name: focus.get_attribute("value") == name)
            page.keyboard.press("Space")
        tab_to(page, lambda focus: focus.text_content() == "Compare")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Comparison").wait_for()
        assert page.locator(".letters a.name").all_inner_texts() == [batch.name for batch in batches[1::-1]]
        tab_to(page, lambda focus: (focus.text_content() or "").startswith("make it the baseline"))
        page.keyboard.press("Enter")
        page.get_by_text(f"Each against {batches[0].name}.").wait_for()
        assert page.locator(".letters a.name").all_inner_texts() == [batch.name for batch in batches[:2]]
        tab_to(page, lambda focus: focus.get_attribute("role") == "img")
        assert page.locator(":focus").get_attribute("class") == "chart"
        tab_to(page, lambda focus: focus.text_content() == "The numbers, hour by hour")
        assert not page.locator('[data-table="series"]').is_visible()
        page.keyboard.press("Enter")
        assert page.locator('[data-table="series"]').is_visible()


def tab_to(page: Any, wanted: Any) -> None:
    """Press Tab until what has the focus is ``wanted``; each on the way must show that it has it."""
    for _ in range(80):
        page.keyboard.press("Tab")
        focus = page.locator(":focus")
        if focus.count() and wanted(focus):
            assert focus.evaluate("one => getComputedStyle(one).outlineWidth") == "3px"
            return
    pytest.fail("the keyboard does not get there")


def test_signing_in_searching_and_signing_out_without_a_script(
    browser: Any, service: Service, batches: list[Batch]
) -> None:
    id_ = next(iter(batches[0].mails))
    with visiting(browser, service, java_script_enabled=False) as visitor:
        page = visitor.go("/console/search")
        page.get_by_label("Look for").fill(f"lead-{id_}")
        page.get_by_label("a recipient, exactly").check()
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Search").click()
        assert f"lead-{id_}" not in page.url
        page.get_by_role("link", name=id_).click()
        assert page.get_by_role("heading", level=1).inner_text() == f"Message {id_}"
        (cookie,) = page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console")
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("API key").wait_for()
        assert page.context.cookies() == []
        page.goto(service.url + "/console/settings")
        page.get_by_label("API key").fill(API_KEY)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Settings").wait_for()


def test_settings_are_changed_by_hand(browser: Any, service: Service) -> None:
    with visiting(browser, service, java_script_enabled=False) as visitor:
        page = visitor.go("/console/settings")
        page.get_by_label("Hosts whose links are left alone").fill("one.example\n*.two.example\n")
        page.get_by_label("Put a hidden link into messages").check()
        page.get_by_label("Place of the pixel").select_option("top")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Saved.").wait_for()
        settings = service.call("GET", "/v1/settings").json()
        assert settings["excluded_hosts"] == ["one.example", "*.two.example"]
        assert settings["classifier"]["honeypot"]
        assert settings["pixel_position"] == "top"
        page.get_by_label("Put a hidden link into messages").uncheck()
        page.get_by_label("Hosts whose links are left alone").fill("")
        page.get_by_label("Place of the pixel").select_option("bottom")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Saved.").wait_for()


def test_no_style_or_script_of_a_page_itself_is_let_run(browser: Any, service: Service, batches: list[Batch]) -> None:
    with visiting(browser, service) as visitor:
        page = visitor.go("/console")
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p id=x style=\"color:red\">x</p>')")
        page.evaluate("document.head.appendChild(document.createElement('script')).textContent = 'window.ran = 1'")
        assert page.evaluate("window.ran") is None
        assert page.evaluate("getComputedStyle(document.getElementById('x')).color") != "rgb(255, 0, 0)"
        assert any("Content Security Policy" in one for one in visitor.complaints)
        visitor.complaints.clear()


def test_tables_are_not_cut_on_a_phone_and_say_what_each_number_is(
    browser: Any, service: Service, batches: list[Batch]
) -> None:
    with visiting(browser, service, **PHONE) as visitor:
        for path in paths(batches):
            page = visitor.go(path)
            cut = page.locator(".scroller").evaluate_all(
                "all => all.filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth)"
                ".map(one => one.ariaLabel)"
            )
            assert cut == [], path
            for cell in page.locator(".stacks td:not([colspan])").all():
                label = cell.get_attribute("data-label")
                assert label, path
                assert cell.evaluate("one => getComputedStyle(one, '::before').content") == f'"{label}"'


def test_names_are_not_broken_at_their_hyphens(browser: Any, service: Service, batches: list[Batch]) -> None:
    with visiting(browser, service, **PHONE) as visitor:
        page = visitor.go(paths(batches)[5])
        names = page.locator(".name > .whole").get_by_text(batches[0].name, exact=True)
        assert names.count() >= len(METRICS)
        lines = names.evaluate_all(
            "all => all.filter(one => one.checkVisibility()).map(one => one.getClientRects().length)"
        )
        assert set(lines) == {1}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desk", "phone"])
def test_axe_finds_no_fault(
    browser: Any, service: Service, batches: list[Batch], scheme: str, size: dict[str, Any]
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    options = {
        "resultTypes": ["violations"],
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }
    # axe is a script, which the pages' own policy does not let run.
    with visiting(browser, service, color_scheme=scheme, bypass_csp=True, **size) as visitor:
        for path in [*paths(batches), "sign in", "found", "wrong"]:
            page = visitor.page
            if path == "sign in":
                page.context.clear_cookies()
                visitor.go("/console/sign-in")
            elif path == "found":
                visitor.sign_in()
                visitor.go("/console/search")
                page.get_by_label("Look for").fill("m-")
                page.get_by_role("button", name="Search").click()
                page.get_by_role("heading", name="Found").wait_for()
            elif path == "wrong":
                visitor.go("/console/settings")
                page.get_by_label("Days").fill("soon")
                page.get_by_role("button", name="Save").click()
                page.get_by_text("Not saved").first.wait_for()
                visitor.complaints.clear()  # it answers 422, and Chromium says so
            else:
                visitor.go(path)
            for one in page.locator("summary").all():
                one.click()
            found = axe.run(page, options=options).response["violations"]
            faults = [(one["id"], one["impact"], [node["html"] for node in one["nodes"]][:3]) for one in found]
            assert faults == [], path


def test_axe_can_find_a_fault(browser: Any, service: Service) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    with visiting(browser, service, bypass_csp=True) as visitor:
        page = visitor.go("/console/search")
        page.evaluate("document.querySelector('label[for=text]').remove()")
        assert "label" in {one["id"] for one in axe.run(page).response["violations"]}
