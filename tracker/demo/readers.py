"""Readers and machines with the letters: opening, clicking, leaving, complaining, answering.

Owns who does what, in which order, and as which mail client. Must not look at what comes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .cast import Letter
from .client import Client
from .devices import APPLE_MAIL, APPLE_PREFETCH, FILTER, GMAIL_PROXY, SAFARI
from .mailserver import report_complaint, report_reply

STOP_TRACKING: Final = "/stop-tracking"
WIDTH: Final = 100
"""Of what is printed, in characters."""


def read_letters(client: Client, letters: Mapping[str, Letter]) -> None:
    """All that the readers do, told as it happens.

    Ada's last step comes last of all: what is recorded of it tells that all before it has been recorded too.
    """
    ada, cleo, finn, gus = (letters[name] for name in ("ada", "cleo", "finn", "gus"))
    _hit(client, cleo, "opens the letter", "GET", cleo.pixel, APPLE_MAIL)
    _tell(cleo, "answers it, and the mailer says so", f"POST 202 /v1/events  {report_reply(client, cleo)}")
    complained = report_complaint(client, finn)
    _tell(finn, "presses Spam; a feedback report comes by mail", f"POST 202 /v1/events/report  {complained}")
    steps = (
        (gus, "clicks on the kettle", "GET", gus.click(0), SAFARI),
        (gus, "presses Stop the tracking on the page", "POST", gus.unsubscribe + STOP_TRACKING, SAFARI),
        (gus, "clicks again: answered, and not recorded", "GET", gus.click(-1), SAFARI),
        (ada, "Apple's privacy service fetches the pixel ahead", "GET", ada.pixel, APPLE_PREFETCH),
        (ada, "opens the letter in Gmail", "GET", ada.pixel, GMAIL_PROXY),
        (ada, "opens it again in Apple Mail", "GET", ada.pixel, APPLE_MAIL),
        (ada, "clicks on the kettle", "GET", ada.click(0), SAFARI),
        (ada, "a scanner follows the unsubscribe link", "GET", ada.unsubscribe, SAFARI),
        (ada, "presses Unsubscribe on the page", "POST", ada.unsubscribe, SAFARI),
    )
    for letter, what, method, target, agent in steps:
        _hit(client, letter, what, method, target, agent)


def scan_link(client: Client, letter: Letter, at: int) -> None:
    """A mail filter that says it is a browser follows one link, as a person could."""
    _hit(client, letter, f"a mail filter follows link {at + 1}", "GET", letter.click(at), FILTER)


def _hit(client: Client, letter: Letter, what: str, method: str, target: str, agent: str) -> None:
    answer = client.request(method, target, {"User-Agent": agent, "Accept": "*/*"})
    short = target[:3] + "..." + (STOP_TRACKING if target.endswith(STOP_TRACKING) else "")
    to = f" to {answer.location}" if answer.location else ""
    _tell(letter, what, f"{method:4} {answer.status} {short}{to}")


def _tell(letter: Letter, what: str, answered: str) -> None:
    print(f"   {letter.name:5} {what:47} {answered}"[:WIDTH])
