"""Threat 13: programs that follow every link, by the names that they go by; none of them unsubscribes anybody."""

from __future__ import annotations

import pytest
from raw import ask
from serving import Service

pytest_plugins = ["service_fixtures"]

CRAWLERS = [
    "", "-", "Mozilla/5.0", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "GoogleImageProxy", "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "BingPreview/1.0b", "msnbot/2.0b",
    "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
    "YahooMailProxy; https://help.yahoo.com", "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Baiduspider/2.0", "DuckDuckBot/1.1", "Applebot/0.1",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "Twitterbot/1.0", "LinkedInBot/1.0",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "TelegramBot (like TwitterBot)",
    "WhatsApp/2.23.20.0", "Discordbot/2.0", "SkypeUriPreview Preview/0.5",
    "Microsoft Office/16.0 (Microsoft Outlook 16.0; Pro)",
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; ms-office; MSOffice 16)", "Microsoft-Office-Protection",
    "OWASMIME/4.0500", "Barracuda Sentinel (EE)", "BarracudaCentral", "Mimecast", "ProofpointURLDefense",
    "Symantec Web Security", "TrendMicro ATTK", "FireEye", "ZmEu", "Sophos", "Cisco Umbrella", "Trustwave",
    "Forcepoint", "IronPort", "Vade Secure", "PhishTank", "CheckMark", "AhrefsBot/7.0", "SemrushBot/7~bl",
    "MJ12bot/v1.4.8", "DotBot/1.2", "PetalBot", "Bytespider", "GPTBot/1.1", "ClaudeBot/1.0", "CCBot/2.0",
    "ia_archiver", "archive.org_bot", "HeadlessChrome/120.0", "PhantomJS/2.1.1", "W3C_Validator/1.3",
    "UptimeRobot/2.0", "curl/8.5.0", "Wget/1.21", "python-requests/2.31.0", "Go-http-client/1.1", "Java/17",
    "okhttp/4.9", "axios/1.6", "Apache-HttpClient/4.5", "node-fetch", "libwww-perl/6.67", "Ruby", "GuzzleHttp/7",
    "aiohttp/3.9", "Scrapy/2.11", "nikto", "sqlmap/1.7", "masscan/1.3",
]  # fmt: skip
PREFETCH = [
    [], [("Purpose", "prefetch")], [("Sec-Purpose", "prefetch;prerender")], [("X-Moz", "prefetch")],
    [("X-HTTP-Method-Override", "POST"), ("X-Method-Override", "POST"), ("X-HTTP-Method", "POST")],
    [("List-Unsubscribe", "One-Click")], [("Content-Type", "application/x-www-form-urlencoded")],
]  # fmt: skip


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_no_crawler_unsubscribes_anybody(service: Service, method: str) -> None:
    mails = [service.rewrite(f"crawled-{method}-{number}") for number in range(3)]
    before = service.metric("tracker_spool_appended_total")
    for number, agent in enumerate(CRAWLERS):
        url = mails[number % len(mails)]["unsubscribe_url"].removeprefix(service.url)
        headers = [("User-Agent", agent), *PREFETCH[number % len(PREFETCH)]]
        body = b"List-Unsubscribe=One-Click" if number % 2 and method != "HEAD" else b""
        for path in (url, f"{url}?List-Unsubscribe=One-Click", f"{url}/stop-tracking", f"{url}?_method=POST"):
            answer = ask(service.port, method, path, headers, body)
            assert answer.status == (200 if method in ("GET", "HEAD") else 405), (agent, path)
    assert service.metric("tracker_spool_appended_total") == before
    for number, mail in enumerate(mails):
        assert ask(service.port, "POST", mail["unsubscribe_url"].removeprefix(service.url)).status == 200
        service.reached(f"crawled-{method}-{number}", "rewritten", "unsubscribed")
