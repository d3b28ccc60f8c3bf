"""Who is in the demo, and the letters they get.

Owns the ids, which are new in every run: a suppression outlives the run, in the same data directory. Must not call the
service.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from .client import Unreachable

CAST: Final = ("ada", "ben", "cleo", "dan", "eve", "finn", "gus", "hal")

LAST_EVENTS: Final = {
    "ada": "unsubscribed",
    "ben": "deferred",
    "cleo": "replied",
    "dan": "failed",
    "eve": "failed",
    "finn": "complained",
    "gus": "consent_changed",
    "hal": "clicked",
}
"""The last thing that is recorded of the first letter to each of them."""


class Send(NamedTuple):
    """One letter to the whole cast."""

    month: str
    run: str
    """What tells this run from every other one."""

    @property
    def batch(self) -> str:
        """The batch that the messages belong to."""
        return f"{self.month}-{self.run}"

    def message_id(self, name: str) -> str:
        """The id of the message to ``name``, which it does not tell: ids stand readable in the links."""
        return f"{self.batch}-{CAST.index(name) + 1}"

    def recipient(self, name: str) -> str:
        """The mailer's reference to ``name``."""
        return f"{name}-{self.run}"

    def addressee(self, name: str) -> dict[str, str]:
        """The two as the API takes them."""
        return {"message_id": self.message_id(name), "recipient": self.recipient(name)}


class Letter(NamedTuple):
    """A message as it was sent to one of them."""

    name: str
    message_id: str
    rewritten: dict[str, Any]

    @property
    def address(self) -> str:
        """Where it went. The tracker never hears of it but from those who write reports."""
        return f"{self.name}@example.com"

    @property
    def pixel(self) -> str:
        """The path of the open pixel."""
        return _path(self.rewritten["open_url"])

    @property
    def unsubscribe(self) -> str:
        """The path of the unsubscribe page."""
        return _path(self.rewritten["unsubscribe_url"])

    def click(self, at: int) -> str:
        """The path of a tracked link of the HTML, counted as in a list."""
        links = [link for link in self.rewritten["links"] if link["action"] == "rewritten" and link["part"] == "html"]
        return _path(links[at]["tracked_url"] if links else None)


def _path(url: str | None) -> str:
    # The public URL may lead nowhere yet: the demo asks the service itself.
    if url is None:
        raise Unreachable("the account's settings switch the tracking off that the demo is to show")
    return urlsplit(url).path
