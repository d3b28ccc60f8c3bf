"""The hidden link, from the setting that switches it on to what following it records."""

from __future__ import annotations

import re
from pathlib import Path

from serving import serving

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"}


def test_whoever_follows_the_hidden_link_is_a_machine_and_gets_somewhere(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as service:
        assert "display:none" not in service.rewrite("off", unsubscribe={"footer": "never"})["html"]
        answer = service.call("PUT", "/v1/settings", json={"classifier": {"honeypot": True}})
        assert answer.status_code == 200, answer.text
        mail = service.rewrite("m-1")
        (hidden,) = re.findall(r'<a href="([^"]+)" style="display:none"', mail["html"])
        (link,) = mail["links"]
        assert hidden != link["tracked_url"]
        for url in (hidden, link["tracked_url"]):
            answer = service.client.get(url, headers=BROWSER)
            assert (answer.status_code, answer.headers["location"]) == (302, "https://shop.example/")
        service.reached("m-1", "rewritten", "clicked", "clicked")
        _, first, second = service.events("m-1")
        assert (first["actor"], first["reasons"]) == ("machine", ["honeypot"])
        assert "honeypot" not in second["reasons"]
        assert (first["link"], first["url"]) == (second["link"], second["url"])
