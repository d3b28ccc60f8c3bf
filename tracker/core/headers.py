"""The headers that the mailer adds to a rewritten message.

Owns their names and form. The mailer must sign them with DKIM (RFC 8058, 4: the signature has to cover both
of the List-Unsubscribe headers), so they are returned before signing.
"""

from __future__ import annotations

ONE_CLICK = "List-Unsubscribe=One-Click"


def message_headers(unsubscribe_url: str, tracker_id: str) -> dict[str, str]:
    """Header names and values, each one line of ASCII.

    ``List-Unsubscribe`` (RFC 2369) with ``List-Unsubscribe-Post`` (RFC 8058) give the mail program a button;
    ``X-Tracker-Id`` finds the message when a bounce comes back.
    """
    return {
        "List-Unsubscribe": f"<{unsubscribe_url}>",
        "List-Unsubscribe-Post": ONE_CLICK,
        "X-Tracker-Id": tracker_id,
    }
