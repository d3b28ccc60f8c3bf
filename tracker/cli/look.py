"""Looks into things without a running service: rewrites a file, reads a token, measures the spool.

Owns how they are shown. Must not change anything.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import re
import sys
from pathlib import Path

import msgspec

from tracker import config
from tracker.core.errors import InvalidToken
from tracker.core.plan import Options, Tracks
from tracker.core.tokens import DEFAULT_ACCOUNT, Message, Purpose, TokenCodec
from tracker.parts import build_rewriter, spool_directory
from tracker.spool import inspect
from tracker.web.api.requests import MessageId

from .terminal import FAILED, print_json, read_settings, say, warn


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``rewrite``, ``token`` and ``spool``."""
    rewrite = commands.add_parser("rewrite", help="rewrite an HTML or text file and print it")
    rewrite.add_argument("file", type=Path, help="a file of UTF-8; .txt is taken as text, anything else as HTML")
    rewrite.add_argument(
        "--message-id", type=_message_id, default="preview", help="the message's id (default: %(default)s)"
    )
    rewrite.add_argument("--report", action="store_true", help="print the link report instead of the message")
    rewrite.set_defaults(run=_rewrite)

    token = commands.add_parser("token", help="look into tokens").add_subparsers(required=True, metavar="COMMAND")
    inspect_token = token.add_parser("inspect", help="say what a token, or a tracking link, carries")
    inspect_token.add_argument("token", help="a token or a whole tracking link")
    inspect_token.set_defaults(run=_inspect_token)

    spool = commands.add_parser("spool", help="look at the spool").add_subparsers(required=True, metavar="COMMAND")
    spool.add_parser("status", help="show its depth and the age of its oldest event").set_defaults(run=_spool_status)


def _message_id(text: str) -> str:
    try:
        return msgspec.convert(text, MessageId)
    except msgspec.ValidationError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rewrite(parsed: argparse.Namespace) -> int:
    settings = read_settings()
    try:
        # Not universal newlines: every byte that is not a link's comes out as it went in.
        body = parsed.file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        say(f"{parsed.file}: {error}")
        return FAILED
    is_text = parsed.file.suffix.lower() == ".txt"
    template = build_rewriter(settings).prepare(None if is_text else body, body if is_text else None, Options())
    rewritten = template.render(Message(DEFAULT_ACCOUNT, parsed.message_id), Tracks())
    for notice in rewritten.warnings:
        warn(f"{notice.code}: {notice.detail}")
    if parsed.report:
        print_json(rewritten.links)
    else:
        sys.stdout.buffer.write(((rewritten.text if is_text else rewritten.html) or "").encode())
    return 0


def _inspect_token(parsed: argparse.Namespace) -> int:
    codec = TokenCodec(read_settings().signing_keys)
    # As it stands in a mail: with the brackets of List-Unsubscribe, with what a mail program added behind it.
    url = re.split(r"[?#]", parsed.token.strip(" \t\r\n<>"), maxsplit=1)[0]
    text = url.rpartition("/")[2].removesuffix(".gif")
    for purpose in Purpose:
        with contextlib.suppress(InvalidToken):
            token = codec.verify(purpose, text)
            fields = token._asdict() | {"purpose": purpose.name.lower()}
            fields["batch_tag"] = token.batch_tag.hex() if token.batch_tag else None
            print_json(fields)
            return 0
    say("not a token of ours: cut short, changed, or signed with a key that is not here")
    return FAILED


def _spool_status(parsed: argparse.Namespace) -> int:
    statuses = inspect(spool_directory(config.read(os.environ)))
    now = datetime.datetime.now(datetime.UTC).timestamp()
    for status in statuses:
        age = "-" if status.oldest_at is None else f"{max(0.0, now - status.oldest_at / 1e6):.1f} s"
        print(
            f"{status.file}: depth {status.rows}, oldest {age}, {status.bytes} bytes, set aside {status.set_aside}"
            + (f", unreadable: {status.error}" if status.error else "")
        )
    if not statuses:
        print("no spool yet: the service has not run on this data dir")
    return FAILED if any(status.error for status in statuses) else 0
