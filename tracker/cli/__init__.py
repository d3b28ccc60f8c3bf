"""The command ``tracker``: parses arguments, prints results, sets the exit code.

Owns what operators see in a terminal. Must not hold a rule of its own: every command calls what the
service calls.

Exit codes: 0 done, 1 it did not work, 2 wrong arguments, 3 the configuration is not usable.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from tracker import __version__
from tracker.core.errors import ConfigError, InvalidRequest, TrackerError

from . import accounts, audit, erase, look, reclassify, report, revoke, serve, settings, webhooks
from .terminal import FAILED, INTERRUPTED, UNUSABLE_CONFIG, WRONG_ARGUMENTS, say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except ConfigError as error:
        say(str(error))
        return UNUSABLE_CONFIG
    except InvalidRequest as error:
        for path, message in error.errors:
            say(f"{path.removeprefix('$').removeprefix('.') or 'value'}: {message}")
        return WRONG_ARGUMENTS
    except TrackerError as error:
        say(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tracker", description="Self-hosted email tracking.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (serve, look, report, accounts, settings, webhooks, reclassify, revoke, audit, erase):
        group.add_commands(commands)
    return parser
