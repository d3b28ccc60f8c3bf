"""The mailer's part of the demo: it has letters rewritten, and looks up what became of them.

Owns how the service's answers are shown. Must not show anything that was not read from the API.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from typing import Any, Final

from .cast import CAST, LAST_EVENTS, Letter, Send
from .client import Client, settled
from .feed import NOTHING, Feed, show
from .readers import WIDTH, scan_link

NEXT_HTML: Final = '<p>Until Friday: <a href="https://shop.example.com/gifts">gifts for a cold month</a>.</p>'
SHOWN_CHANGES: Final = 2
SCANNED_LINKS: Final = range(1, 4)


def rewrite_letters(client: Client, send: Send) -> dict[str, Letter]:
    """Have the newsletter rewritten for each of the cast, and show what became of the first one's links."""
    folder = files(__package__)
    shared = {
        "batch": send.batch,
        "html": folder.joinpath("newsletter.html").read_text(encoding="utf-8"),
        "text": folder.joinpath("newsletter.txt").read_text(encoding="utf-8"),
        "link_params": {"utm_source": "demo"},
    }
    letters = {
        name: Letter(name, send.message_id(name), client.rewrite({**shared, **send.addressee(name)})) for name in CAST
    }
    first = letters[CAST[0]].rewritten
    in_html = [link for link in first["links"] if link["part"] == "html"]
    print(
        f"   POST /v1/rewrite: {len(shared['html'])} characters of HTML became {len(first['html'])}; "
        f"links: {len(in_html)} in it, {len(first['links']) - len(in_html)} in the text"
    )
    for link in in_html:
        action = "rewritten" if link["action"] == "rewritten" else f"left: {link['reason']}"
        print(f"   {action:17}  {link['url'][:78]}")
    for name, value in first["headers"].items():
        print(f"   {name}: {value}"[:WIDTH])
    return letters


def show_correction(client: Client, feed: Feed, letter: Letter) -> None:
    """A filter's first click looks like a person's, until it follows more links: then none of them was."""
    changes: list[dict[str, Any]] = []

    def reached(stage: str) -> None:
        def read() -> list[dict[str, Any]]:
            changes.extend(feed.read({letter.message_id}))
            return changes

        settled(read, lambda found: bool(found) and found[-1]["stage"] == stage)

    reached("delivered")
    changes.clear()
    scan_link(client, letter, 0)
    reached("clicked")
    for at in SCANNED_LINKS:
        scan_link(client, letter, at)
    reached("delivered")
    print("   GET /v1/changes:")
    for change in changes:
        show(change)


def show_results(client: Client, send: Send) -> None:
    """One line a recipient, once all that was done has reached the store."""
    waiting = set(CAST)

    def arrived() -> bool:
        for name in sorted(waiting):
            if LAST_EVENTS[name] in (event["type"] for event in client.events(send.message_id(name))):
                waiting.discard(name)
        return not waiting

    settled(arrived, bool)
    row = "   {:14} {:15} {:13} {:13} {:10} {:>5} {:>6}".format
    print(row("recipient", "message", "label", "last action", "status", "opens", "clicks"))
    for name in CAST:
        message = client.message(send.message_id(name))
        opens = message["opens"]["human"] + message["opens"]["proxy"]
        label, status = message["label"] or NOTHING, message["status"] or NOTHING
        ids = (message["recipient"], message["message_id"])
        print(row(*ids, label, message["last_action"], status, opens, message["clicks"]["human"]))


def show_timeline(client: Client, message_id: str) -> None:
    """One message from its rewriting on, with who acted in each hit and why we think so."""
    message = client.message(message_id)
    for event in client.events(message_id):
        who = event["actor"] or ""
        why = f" ({', '.join(event['reasons'])})" if event["reasons"] else ""
        what = event["url"] or event["user_agent"] or ""
        times = f" x{event['count']}" if event["count"] > 1 else ""
        line = f"   {event['occurred_at'][11:23]}  {event['type'] + times:14} {who + why:30} {what[:37]}"
        print(line.rstrip())
    opens, clicks = message["opens"], message["clicks"]
    print(f"   opens:  {opens['human']} human, {opens['proxy']} proxy, {opens['machine']} machine")
    print(f"   clicks: {clicks['human']} human, {clicks['proxy']} proxy, {clicks['machine']} machine")
    print(f"   Stage: {message['label']}")


def rewrite_next(client: Client, send: Send) -> set[str]:
    """Have the next letter rewritten for the same people; returns the ids of those that may not be sent."""
    letter = {"batch": send.batch, "html": NEXT_HTML, "recipients": [send.addressee(name) for name in CAST]}
    lines = client.rewrite_batch(letter)
    names: dict[str, list[str]] = {}
    for name, line in zip(CAST, lines, strict=True):
        names.setdefault(_outcome(line), []).append(name)
    for outcome, those in names.items():
        print(f"   {', '.join(those):14} {outcome}"[:WIDTH])
    return {line["message_id"] for line in lines if "error" in line}


def _outcome(line: dict[str, Any]) -> str:
    if "error" in line:
        error = line["error"]
        return f"{error['status']} {error['type'].rpartition('/')[2]}: {error['detail'].partition(';')[0]}"
    links = [link for link in line["links"] if link["url"].startswith("https:")]
    plain = [link["reason"] for link in links if link["action"] == "skipped"]
    said = f"{len(plain)} plain ({', '.join(plain)})" if plain else f"{len(links)} tracked"
    return f"rewritten; pixel: {'yes' if line['open_url'] else 'no'}; links: {said}"


def show_changes(feed: Feed, letters: Send, next_letters: Send, refused: Collection[str]) -> None:
    """The last of what a CRM would read in the feed of changes, once the next letter is in it."""
    sent = {send.message_id(name) for send in (letters, next_letters) for name in CAST}
    expected = {id_: "failed" if id_ in refused else "sent" for id_ in map(next_letters.message_id, CAST)}
    changes: list[dict[str, Any]] = []

    def stages() -> dict[str, str]:
        changes.extend(feed.read(sent))
        return {change["message_id"]: change["stage"] for change in changes}

    settled(stages, lambda found: expected.items() <= found.items())
    print(
        f"   GET /v1/changes: {len(changes)} more changes of these messages; go on with ?after={feed.after}. The last:"
    )
    for change in changes[-SHOWN_CHANGES:]:
        show(change)
