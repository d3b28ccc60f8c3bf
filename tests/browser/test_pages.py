"""The public pages in a real browser, without JavaScript, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import beside_http  # noqa: F401  # first: it makes the next ones importable
import pytest
from serving import Service, serving

pytest_plugins = ["chromium", "service_fixtures"]

PHONE = {"width": 360, "height": 640}
NAUGHTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE people;-- &amp; &lt;b&gt;",
    "</title></style><svg/onload=alert(1)>",
    "{{ 7*7 }}${7*7}<%= 7*7 %>",
    "Ṱ̺̺̕o͞ ̷i̲̬͇̪͙n̝̗͕v̟̜̘̦͟o̶̙̰̠kè͚̮̺̪̹̱̤",
    "עברית \u202eright to left",
    "\U0001f469\u200d\U0001f4bb 部落格 ¯\\_(ツ)_/¯",
    "W" * 128,
]
SENDER = "Æ <b>Sender</b> & \"Sons\" '<script>'"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "data", SENDER_NAME=SENDER) as service:
        yield service


class Watched:
    """A page, and what it complained of or asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def check(self, service: Service) -> None:
        assert [one for one in self.complaints if "404" not in one] == []
        assert all(url.startswith(service.url + "/") for url in self.requests), self.requests


@contextmanager
def opened(browser: Any, url: str, *, script: bool = False, **options: Any) -> Iterator[Watched]:
    context = browser.new_context(java_script_enabled=script, **options)
    watched = Watched(context.new_page())
    watched.page.goto(url)
    yield watched
    context.close()


def test_the_button_unsubscribes_without_javascript(browser: Any, service: Service) -> None:
    url = service.rewrite("pressed", list="news")["unsubscribe_url"]
    with opened(browser, url + "?utm_source=x") as watched:
        page = watched.page
        assert page.get_by_role("heading", level=1).inner_text() == f"Unsubscribe from {SENDER}?"
        buttons = page.get_by_role("button")
        assert buttons.all_inner_texts() == ["Unsubscribe", "Stop the tracking"]
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.innerText") == "Unsubscribe", "the main one comes first"
        main, second = (buttons.nth(n).evaluate("e => getComputedStyle(e).backgroundColor") for n in range(2))
        assert main != second == "rgba(0, 0, 0, 0)"
        page.get_by_role("button", name="Unsubscribe").click()
        page.get_by_role("heading", name="You are unsubscribed").wait_for()
        assert watched.page.context.cookies() == []
        watched.check(service)
    service.reached("pressed", "rewritten", "unsubscribed")


@pytest.mark.parametrize("script", [False, True])
def test_the_second_button_stops_the_tracking(browser: Any, service: Service, script: bool) -> None:
    message_id = f"stopped-{script}"
    mail = service.rewrite(message_id, list="news", recipient=message_id)
    with opened(browser, mail["unsubscribe_url"] + "?utm_source=x", script=script) as watched:
        page = watched.page
        assert page.get_by_role("heading", level=1).count() == page.get_by_role("heading", level=2).count() == 1
        page.get_by_role("button", name="Stop the tracking").press("Enter")
        page.get_by_role("heading", name="The tracking has stopped").wait_for()
        assert page.title() == "Tracking stopped"
        assert page.url.endswith("/stop-tracking")
        assert page.get_by_role("button").count() == 0
        page.reload()  # sends it once more
        page.get_by_role("heading", name="The tracking has stopped").wait_for()
        page.go_back()
        page.get_by_role("button", name="Unsubscribe").wait_for()
        assert page.context.cookies() == []
        watched.check(service)
    service.client.get(mail["open_url"])
    service.client.get(mail["links"][0]["tracked_url"])
    service.client.post(mail["unsubscribe_url"])
    service.reached(message_id, "rewritten", *["consent_changed"] * 2, "unsubscribed")


def test_the_second_url_is_a_page_as_well(browser: Any, service: Service) -> None:
    mail = service.rewrite("second-url")
    with opened(browser, mail["unsubscribe_url"] + "/stop-tracking", script=True) as watched:
        assert watched.page.get_by_role("button").count() == 2
        watched.page.get_by_role("button", name="Unsubscribe").click()
        watched.page.get_by_role("heading", name="You are unsubscribed").wait_for()
        watched.check(service)
    service.reached("second-url", "rewritten", "unsubscribed")


def test_looking_and_leaving_changes_nothing(browser: Any, service: Service) -> None:
    mail = service.rewrite("looked")
    with opened(browser, mail["unsubscribe_url"], script=True) as watched:
        watched.page.reload()
        watched.check(service)
    service.client.get(mail["open_url"])
    service.reached("looked", "rewritten", "opened")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_on_a_phone(browser: Any, service: Service, scheme: str) -> None:
    urls = [service.rewrite(f"phone-{n}", list=name)["unsubscribe_url"] for n, name in enumerate(NAUGHTY[-2:])]
    for url in [*urls, f"{service.url}/u/cut", f"{service.url}/c/cut"]:
        with opened(
            browser, url, script=True, viewport=PHONE, is_mobile=True, has_touch=True, color_scheme=scheme
        ) as watched:
            facts = watched.page.evaluate(MEASURE)
            assert facts["width"] <= PHONE["width"], "it scrolls sideways"
            assert min(facts["sizes"]) >= 16
            assert all(height >= 44 for height in facts["buttons"])
            for text, background in facts["colours"]:
                assert contrast(text, background) >= 4.5, (text, background)
            watched.check(service)


MEASURE = """() => {
    const behind = element => {
        for (; element; element = element.parentElement) {
            const colour = getComputedStyle(element).backgroundColor;
            if (colour !== 'rgba(0, 0, 0, 0)') return colour;
        }
    };
    const texts = [...document.querySelectorAll('h1, h2, p, button')];
    return {
        width: document.documentElement.scrollWidth,
        sizes: texts.map(one => parseFloat(getComputedStyle(one).fontSize)),
        buttons: [...document.querySelectorAll('button')].map(one => one.getBoundingClientRect().height),
        colours: texts.map(one => [getComputedStyle(one).color, behind(one)]),
    };
}"""


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("name", NAUGHTY, ids=range(len(NAUGHTY)))
def test_names_are_shown_as_they_are_and_run_nothing(browser: Any, service: Service, name: str) -> None:
    url = service.rewrite(f"naughty-{NAUGHTY.index(name)}", list=name)["unsubscribe_url"]
    with opened(browser, url, script=True) as watched:
        watched.page.on("dialog", lambda dialog: pytest.fail("a script ran"))
        assert f"“{name}”" in watched.page.locator("main").text_content()
        assert watched.page.evaluate("document.querySelectorAll('script, img, svg, b').length") == 0
        watched.page.get_by_role("button", name="Unsubscribe").click()
        watched.page.get_by_role("heading", name="You are unsubscribed").wait_for()
        assert f"“{name}”" in watched.page.locator("main").text_content()
        watched.check(service)


def test_an_incomplete_link_says_how_to_go_on(browser: Any, service: Service) -> None:
    url = service.rewrite("cut")["unsubscribe_url"]
    for cut in (url[:-5], service.url + "/c/cut"):
        with opened(browser, cut) as watched:
            assert "link is incomplete" in watched.page.get_by_role("heading").inner_text()
            assert "open the message again" in watched.page.locator("main").inner_text()
            assert watched.page.get_by_role("button").count() == 0
            watched.check(service)
