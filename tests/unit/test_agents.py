from __future__ import annotations

import msgspec
import pytest

from tracker.core.agents import RULE_VERSION, ClassifierSettings, arrived_at, classify, differ, judge
from tracker.core.model import Actor, Event, Facts, Verdict

SECOND = 1_000_000
ARRIVED = 1_700_000_000 * SECOND
OFF, DEFAULT = ClassifierSettings(bursts=False, probable_networks=False), ClassifierSettings()

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"
)
PHONE = "Mozilla/5.0 (Linux; Android {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
OUTLOOK = "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)"
MS_OFFICE = "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Trident/7.0; Microsoft Outlook 16.0.5; ms-office)"
GMAIL_PREFETCH = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0"
)
GMAIL_PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
YAHOO_PROXY = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
OLD_SCANNER = "Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/57.0.2987.133 Safari/537.36"


def verdict(type_: str = "clicked", agent: str | None = CHROME, **facts: object) -> tuple[Actor, tuple[str, ...]]:
    found = classify(Facts("default", "m", type_, user_agent=agent, **facts))  # type: ignore[arg-type]
    assert found is not None
    assert found.rule_version == RULE_VERSION
    return found.actor, found.reasons


PERSON: tuple[Actor, tuple[str, ...]] = (Actor.HUMAN, ())


def machine(*reasons: str) -> tuple[Actor, tuple[str, ...]]:
    return Actor.MACHINE, reasons


def hit(at_s: float, type_: str = "clicked", agent: str | None = CHROME, **facts: object) -> Event:
    """A hit so many seconds after `ARRIVED`, each on a link of its own."""
    at = ARRIVED + round(at_s * SECOND)
    given = Facts("default", "m", type_, url=f"https://a.example/{at}", user_agent=agent, **facts)  # type: ignore[arg-type]
    return Event(at.to_bytes(16, "big"), "n", at, at, at, 1, given)


def judged(
    *hits: Event, arrived: int | None = ARRIVED, settings: ClassifierSettings = DEFAULT
) -> list[tuple[Actor, tuple[str, ...]]]:
    verdicts = judge(hits, arrived, settings)
    assert set(verdicts) == {event.id for event in hits}
    return [(verdicts[event.id].actor, verdicts[event.id].reasons) for event in hits]


@pytest.mark.parametrize(
    "agent",
    [
        CHROME,
        OLD_SCANNER,  # scanners give it, and people who never update
        OUTLOOK,
        MS_OFFICE,
        IPHONE,
        MAC,
        PHONE.format("10; CUBOT X30"),
        PHONE.format("9; Cubot; wv"),
        PHONE.format("9; Cubot/1.0)"),
        PHONE.format("14; SM-S918B; wv") + " Telegram-Android/11.0 (Samsung SM-S918B; Android 14)",
        IPHONE + " [LinkedInApp]/9.29",
        IPHONE + " [FBAN/FBIOS;FBAV/460.0;FBBV/1]",
        IPHONE + " Instagram 330.0.0.25.111 (iPhone14,5; iOS 17_5; en_US)",
        "Mozilla/5.0 (Windows NT 10.0; rv:128.0) Gecko/20100101 Thunderbird/128.3.0",
        "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0 Javascript",
        IPHONE + " WhatsApp/2.24.10",
        PHONE.format("9; CUBOT") + " Cubot",
        PHONE.format("11; Document Scanner Tab"),
        PHONE.format("10; TC52 Barcode Scanner"),
        IPHONE + " QRScanner/3.1",
        "Nokia6300/2.0 (05.00) Profile/MIDP-2.0 Configuration/CLDC-1.1 UNTRUSTED/1.0 Java/1.4",
        "Mozilla/5.0 (Nokia8110; Opera Mini Java/1.0; U; en)",
        IPHONE + " AxiosNews/4.2",
        "Mozilla/5.0 (ATP Security Browser)",
        "Mozilla/5.0 (bottle)",
    ],
)
@pytest.mark.parametrize("type_", ["opened", "clicked"])
def test_people(type_: str, agent: str) -> None:
    assert verdict(type_, agent) == PERSON


@pytest.mark.parametrize(
    ("reason", "agents"),
    [
        ("no_user_agent", [None, "", "  "]),
        (
            "scanner_agent",
            [
                "BarracudaCentral", "Mozilla/5.0 (Proofpoint URL Defense)", "Mimecast", "symantec/1", "MessageLabs",
                "TrendMicro WTP", "IronPort", "Sophos", "FireEye", "Zscaler", "Forcepoint", "urldefense",
                "Mozilla/5.0 SafeLinks", "LinkScanner", "x URL Scanner/2", "mail-scanner",
            ],
        ),
        (
            "tool_agent",
            [
                "curl/8.5.0", "Wget/1.21", "python-requests/2.32", "Python/3.11 aiohttp/3.9", "okhttp/4.12.0",
                "Go-http-client/2.0", "Java/17.0.2", "libwww-perl/6.7", CHROME.replace("Chrome", "HeadlessChrome"),
                "Mozilla/5.0 PhantomJS/2.1.1", "curl", "Wget", "libcurl-agent/1.0", "axios/1.6.0", "undici",
                "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", "node-fetch", "GuzzleHttp/7", "aiohttp/3.9",
                "Apache-HttpClient/4.5.13 (Java/11.0.2)", "Go http package", "PostmanRuntime/7.36",
            ],
        ),
        (
            "preview_agent",
            [
                "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "facebookexternalhit/1.1",
                "WhatsApp/2.23.20.0", "TelegramBot (like TwitterBot)", "SkypeUriPreview Preview/0.5",
                "BingPreview/1.0b", "LinkedInBot/1.0", "Twitterbot/1.0", "Discordbot/2.0", "Applebot/0.1",
                "my-crawler", "Baiduspider", "Google-Page-Preview", "Googlebot/2.1", "SomeBot; x", "x (somebot)",
                "facebookcatalog/1.0", "Slack-ImgProxy (+https://api.slack.com/robots)", "Googlebot-Image/1.0",
                "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) AppleWebKit (compatible; AdsBot-Google-Mobile; +http://x)",
                "AdsBot-Google", "Mozilla/5.0 (compatible; Google-InspectionTool/1.0)", "GoogleOther", "BitlyBot",
                "Iframely/1.3.1", "Embedly", "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://x)",
            ],
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("type_", ["opened", "clicked"])
def test_machines_that_say_so(type_: str, reason: str, agents: list[str | None]) -> None:
    assert {agent: verdict(type_, agent) for agent in agents} == dict.fromkeys(agents, machine(reason))


@pytest.mark.parametrize(
    ("agent", "opened", "clicked"),
    [
        ("Mozilla/5.0", machine("apple_mail_privacy"), PERSON),
        ("Mozilla/5.0 ", PERSON, PERSON),
        ("mozilla/5.0", PERSON, PERSON),
        (GMAIL_PREFETCH, machine("gmail_prefetch"), PERSON),
        (GMAIL_PREFETCH.replace("Edge/12.246", "Edge/18.1"), PERSON, PERSON),
        (GMAIL_PREFETCH.replace("Chrome/42.0.2311.135", "Chrome/64.0"), PERSON, PERSON),
        (GMAIL_PROXY, (Actor.PROXY, ("gmail_image_proxy",)), PERSON),
        ("Mozilla/5.0 (via ggpht.com)", (Actor.PROXY, ("gmail_image_proxy",)), PERSON),
        (YAHOO_PROXY, (Actor.PROXY, ("yahoo_image_proxy",)), PERSON),
    ],
)
def test_agents_that_mail_providers_fetch_images_with(
    agent: str, opened: tuple[Actor, tuple[str, ...]], clicked: tuple[Actor, tuple[str, ...]]
) -> None:
    assert (verdict("opened", agent), verdict("clicked", agent)) == (opened, clicked)


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "Preview", "prerender", "PREFETCH;anonymous"])
@pytest.mark.parametrize("type_", ["opened", "clicked"])
def test_a_fetch_that_nobody_asked_for(type_: str, purpose: str) -> None:
    assert verdict(type_, CHROME, purpose=purpose) == machine("prefetch_header")


@pytest.mark.parametrize("purpose", [None, "", "navigate", "fetch", "pre"])
def test_a_fetch_that_somebody_asked_for(purpose: str | None) -> None:
    assert verdict(purpose=purpose) == PERSON


@pytest.mark.parametrize(
    ("network", "opened", "clicked"),
    [
        ("microsoft-defender/any/certain/2026-11-23", machine("scanner_network"), machine("scanner_network")),
        ("apple-egress/opens/certain/1", machine("scanner_network"), PERSON),
        ("cloud/clicks/certain/1", PERSON, machine("scanner_network")),
        ("mimecast/any/probable/1", PERSON, PERSON),
        ("not a fact", PERSON, PERSON),
        ("a/any/certain", PERSON, PERSON),
        ("a/all/certain/1", PERSON, PERSON),
        (None, PERSON, PERSON),
    ],
)
def test_a_network_counts_for_what_it_is_listed_for(
    network: str | None, opened: tuple[Actor, tuple[str, ...]], clicked: tuple[Actor, tuple[str, ...]]
) -> None:
    assert (verdict("opened", network=network), verdict("clicked", network=network)) == (opened, clicked)


def test_a_scanner_s_network_says_more_than_an_image_proxy_s_name() -> None:
    network = "microsoft-defender/any/certain/1"
    assert verdict("opened", GMAIL_PROXY, network=network) == machine("scanner_network")


def test_no_person_sees_the_hidden_link() -> None:
    assert verdict(honeypot=True) == machine("honeypot")
    assert verdict(honeypot=True, agent="curl/8") == machine("honeypot")


@pytest.mark.parametrize("type_", ["unsubscribed", "delivered", "rewritten", "something_new"])
def test_other_types_are_not_judged(type_: str) -> None:
    facts = Facts("default", "m", type_, user_agent="curl/8", purpose="prefetch", honeypot=True)
    assert classify(facts) is None
    with pytest.raises(ValueError, match="gets no verdict"):
        judge([Event(b"1", "n", 1, 1, 1, 1, facts)], None, DEFAULT)


PROBABLE = "mimecast/any/probable/1"


@pytest.mark.parametrize("type_", ["opened", "clicked"])
@pytest.mark.parametrize(
    ("at_s", "found"),
    [
        (0, machine("probable_network", "soon_after_arrival")),
        (599.999999, machine("probable_network", "soon_after_arrival")),
        (600, PERSON),
        (-60.000001, PERSON),
    ],
)
def test_a_probable_network_counts_for_ten_minutes(
    type_: str, at_s: float, found: tuple[Actor, tuple[str, ...]]
) -> None:
    assert judged(hit(at_s, type_, network=PROBABLE)) == [found]
    assert judged(hit(at_s, type_, network=PROBABLE), settings=OFF) == [PERSON]
    assert judged(hit(at_s, type_, network=PROBABLE), arrived=None) == [PERSON]
    assert judged(hit(at_s, type_)) == judged(hit(at_s, type_, network="a/none/probable/1")) == [PERSON]


@pytest.mark.parametrize(
    ("accept", "at_s", "found"),
    [
        ("text/html", 59, machine("no_image_accepted", "soon_after_arrival")),
        ("text/html", 60, PERSON),
        ("text/html", -61, PERSON),
        ("image/avif,image/webp", 1, PERSON),
        ("text/html,*/*;q=0.8", 1, PERSON),
        ("", 1, PERSON),
        (None, 1, PERSON),
    ],
)
def test_who_fetches_a_picture_accepts_pictures(
    accept: str | None, at_s: float, found: tuple[Actor, tuple[str, ...]]
) -> None:
    assert judged(hit(at_s, "opened", accept=accept), settings=OFF) == [found]
    assert judged(hit(at_s, "opened", accept=accept), arrived=None) == [PERSON]
    assert judged(hit(at_s, "clicked", accept=accept)) == [PERSON]


def test_weak_signs_add_up() -> None:
    both = hit(3, "opened", accept="text/html", network=PROBABLE)
    assert judged(both) == [machine("probable_network", "no_image_accepted", "soon_after_arrival")]


@pytest.mark.parametrize(
    ("at_s", "reasons"),
    [(-60.000001, ()), (-60, ("before_arrival",)), (-0.000001, ("before_arrival",)), (0, ("soon_after_arrival",))],
)
def test_what_comes_before_its_mail_comes_soon(at_s: float, reasons: tuple[str, ...]) -> None:
    found = machine(*reasons) if reasons else PERSON
    opened, clicked = hit(at_s, "opened"), hit(at_s, "clicked")
    assert judged(opened, settings=ClassifierSettings(quick_open_s=1)) == [found]
    assert judged(clicked, settings=ClassifierSettings(quick_click_s=1)) == [found]
    assert judged(opened, settings=ClassifierSettings(quick_click_s=1)) == [PERSON]
    assert judged(clicked, settings=ClassifierSettings(quick_open_s=1)) == [PERSON]


def test_to_be_quick_counts_only_where_the_account_says_so() -> None:
    hits = [hit(-1, "opened"), hit(-1), hit(0.5, "opened"), hit(9.9, "opened"), hit(10, "opened"), hit(20.4), hit(30)]
    assert [judged(event)[0] for event in hits] == [PERSON] * 7
    settings, soon = ClassifierSettings(quick_open_s=10, quick_click_s=20.5), machine("soon_after_arrival")
    assert [judged(event, settings=settings)[0] for event in hits[2:]] == [soon, soon, PERSON, soon, PERSON]
    assert [judged(event, settings=settings, arrived=None)[0] for event in hits] == [PERSON] * 7


def test_an_image_proxy_stays_one_and_a_machine_keeps_its_reasons() -> None:
    settings = ClassifierSettings(quick_open_s=600, quick_click_s=600)
    burst = [hit(5, source=b"1" * 8), hit(6, "clicked", "curl/8", source=b"1" * 8), hit(7, source=b"1" * 8)]
    found = judged(hit(1, "opened", GMAIL_PROXY, accept="text/html", network=PROBABLE), *burst, settings=settings)
    proxied, sooner = (Actor.PROXY, ("gmail_image_proxy",)), machine("soon_after_arrival")
    assert found == [proxied, sooner, machine("tool_agent"), sooner]


def test_bursts_condemn_unless_they_are_switched_off() -> None:
    hits = [hit(1000, "opened"), hit(1020, source=b"1" * 8), hit(1022, source=b"1" * 8), hit(1100, source=b"1" * 8)]
    one = machine("burst_from_one_source")
    assert judged(*hits) == [machine("open_with_burst"), one, one, PERSON]
    assert judged(*hits, arrived=None) == judged(*hits)
    assert judged(*hits, settings=OFF) == [PERSON] * 4


def test_a_later_hit_corrects_the_verdict_on_an_earlier_one() -> None:
    first, second = hit(1000, source=b"1" * 8), hit(1004, source=b"1" * 8)
    assert judged(first) == [PERSON]
    assert judged(first, second) == [machine("burst_from_one_source")] * 2
    assert judge([second, first], None, DEFAULT) == judge([first, second], None, DEFAULT)


def test_the_window_of_a_burst_is_the_account_s() -> None:
    hits = [hit(1000, source=b"1" * 8), hit(1004, source=b"1" * 8)]
    assert judged(*hits, settings=ClassifierSettings(burst_s=3.9)) == [PERSON] * 2
    assert judged(*hits, settings=ClassifierSettings(burst_s=4)) == [machine("burst_from_one_source")] * 2


def test_when_a_mail_arrived() -> None:
    assert [arrived_at(*times) for times in ((None, None), (1, None), (None, 2), (3, 2))] == [None, 1, 2, 2]


def test_what_settings_may_say() -> None:
    read = msgspec.json.Decoder(ClassifierSettings).decode
    assert read("{}") == ClassifierSettings(
        bursts=True, burst_s=5, sweeps=True, probable_networks=True, quick_open_s=0, quick_click_s=0, honeypot=False
    )
    assert read('{"quick_open_s": 600, "quick_click_s": 1.5}') == ClassifierSettings(
        quick_open_s=600, quick_click_s=1.5
    )
    for wrong in (
        '{"quick_open_s": 601}',
        '{"quick_click_s": -1}',
        '{"burst": true}',
        '{"burst_s": 0}',
        '{"burst_s": 6}',
    ):
        with pytest.raises(msgspec.ValidationError):
            read(wrong)


def test_verdicts_differ_in_who_and_why() -> None:
    human, burst = Verdict(Actor.HUMAN, (), 1), Verdict(Actor.MACHINE, ("burst",), 1)
    assert not differ(human, Verdict(Actor.HUMAN, (), 2))
    assert differ(human, burst)
    assert differ(burst, Verdict(Actor.MACHINE, ("near_honeypot",), 1))
