"""The console as a browser without scripts meets it: cookies, forms and what is on the pages.

Must not import the package under test.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any, Self
from urllib.parse import urlencode

import httpx2
from serving import BROWSER, CALL_TIMEOUT_S, Service

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Operator:
    """Somebody at a browser; closes it on leaving."""

    def __init__(self, service: Service) -> None:
        headers = {"User-Agent": BROWSER}
        self.client = httpx2.Client(base_url=service.url, headers=headers, timeout=CALL_TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.close()

    def sign_in(self, key: str, next_: str = "", **headers: str) -> httpx2.Response:
        return self.post("/console/sign-in", {"key": key, "next": next_}, **headers)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.client.get(path, headers=headers)

    def page(self, path: str) -> str:
        """What is at ``path``, which must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return str(answer.text)

    def post(self, path: str, fields: dict[str, Any], **headers: str) -> httpx2.Response:
        body = urlencode(fields, doseq=True)
        return self.client.post(path, content=body, headers={**FORM, **headers})

    def send(self, path: str, fields: dict[str, Any]) -> httpx2.Response:
        """A form of the page at ``path``, with what it carries."""
        return self.post(path, {"token": self.token(), **fields})

    def token(self) -> str:
        """What this session's forms carry."""
        found = re.search(r'name="token" value="([^"]+)"', self.page("/console/search"))
        assert found is not None
        return unescape(found[1])


def links(page: str) -> list[str]:
    """Where the links of a page lead, in their order."""
    return [unescape(one) for one in re.findall(r'<a [^>]*?href="([^"]*)"', page)]


def fields(page: str) -> dict[str, str]:
    """What stands in the form of the settings: nothing for a box that is not checked."""
    found = {}
    for tag, name in re.findall(r'(<input[^>]* name="([^"]+)"[^>]*>)', page):
        value = re.search(r' value="([^"]*)"', tag)
        checked = "on" if " checked" in tag else ""
        found[name] = checked if 'type="checkbox"' in tag else unescape(value[1]) if value else ""
    for name, body in re.findall(r'<textarea[^>]* name="([^"]+)"[^>]*>\n?(.*?)</textarea>', page, re.DOTALL):
        found[name] = unescape(body)
    for name, body in re.findall(r'<select[^>]* name="([^"]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        found[name] = re.findall(r'value="([^"]*)" selected', body)[0]
    return found
