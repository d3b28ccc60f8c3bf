"""The settings: every option in one table, read once from the environment, frozen and inert.

Owns names, defaults and validation. Must not touch the disk but for the files that ``NAME_FILE`` names.
"""

from __future__ import annotations

import enum
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, TypeVar

from .core.addresses import Keep
from .core.errors import ConfigError
from .core.networks import NetworkList
from .core.networks import parse as parse_networks
from .core.plan import LinkTextRule, PixelPosition
from .core.tokens import MIN_KEY_BYTES
from .core.urls import origin, plain_host

_T = TypeVar("_T")
_Choice = TypeVar("_Choice", bound=enum.StrEnum)

PREFIX: Final = "TRACKER_"

_MAX_SHOWN_CHARS: Final = 200
"""Of a value that is not valid. A longer one is not shown with what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, by the names of the table below in lower case without the prefix."""

    data_dir: Path
    base_url: str
    signing_keys: tuple[bytes, ...] = field(repr=False)
    """Empty: take the generated one from the data dir."""
    api_key: str = field(repr=False)
    """Empty: take the generated one from the data dir."""
    store_url: str = field(repr=False)
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    client_ip: Keep
    networks: NetworkList
    sender_name: str
    excluded_hosts: frozenset[str]
    one_use_links: tuple[str, ...]
    link_text_urls: LinkTextRule
    transactional_clicks: bool
    pixel_position: PixelPosition
    webhook_private_addresses: bool
    header_timeout_s: float
    body_timeout_s: float
    write_timeout_s: float
    idle_timeout_s: float
    max_header_bytes: int
    max_url_bytes: int
    max_body_bytes: int
    max_connections: int
    connections_per_source: int
    requests_per_key: int
    invalid_per_minute: int
    spool_max_bytes: int
    drain_s: float
    node: str
    log_level: str


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table: how a setting is written, what it means, and what it is when nobody sets it."""

    name: str
    parse: Callable[[str], Any]
    default: str
    help: str
    secret: bool = False


def _keys(text: str) -> tuple[bytes, ...]:
    keys = tuple(_words(text, str.encode))
    if text and not keys:
        raise ValueError("has no key in it")
    if any(len(key) < MIN_KEY_BYTES for key in keys):
        raise ValueError(f"each key needs {MIN_KEY_BYTES} bytes or more; make one with: openssl rand -hex 32")
    _not_a_placeholder(text)
    return keys


def _api_key(text: str) -> str:
    if text and not re.fullmatch(r"[!-~]+", text):
        raise ValueError("must be printable ASCII without spaces")
    _not_a_placeholder(text)
    return text


def _not_a_placeholder(secret: str) -> None:
    """An example's secret, left as it was, is known to everybody."""
    if re.search(r"(?:change|replace)[ ._-]?(?:me|this)", secret, re.IGNORECASE):
        raise ValueError("is an example's; make one of your own with: openssl rand -hex 32")


def _store_url(text: str) -> str:
    if text and not text.startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise ValueError("must be sqlite:///PATH or postgresql://USER@HOST/DATABASE")
    if text == "sqlite:///":
        raise ValueError("must name a file: sqlite:///PATH")
    return text


def _words(text: str, parse: Callable[[str], _T]) -> list[_T]:
    return [parse(word.strip()) for word in text.split(",") if word.strip()]


def _host(text: str) -> str:
    if not re.fullmatch(r"(?:\*\.)?[^\s/:*@]+", text):
        raise ValueError(f"{text!r} is not a host name, nor *. and a host name")
    host = text.removeprefix("*.")
    return text[: len(text) - len(host)] + plain_host(host)


def _flag(text: str) -> bool:
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[text.lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def _whole(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdecimal() or int(text) < minimum:
            raise ValueError(f"must be a whole number of at least {minimum}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 3600:
        raise ValueError("must be seconds, from 0 to 3600")
    return seconds


def _timeout(text: str) -> float:
    if (seconds := _seconds(text)) < 1:
        raise ValueError("must be seconds, from 1 to 3600")
    return seconds


def _one_of(values: type[_Choice]) -> Callable[[str], _Choice]:
    def parse(text: str) -> _Choice:
        try:
            return values(text)
        except ValueError:
            raise ValueError("must be one of " + ", ".join(values)) from None

    return parse


def _log_level(text: str) -> str:
    if text.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError("must be one of debug, info, warning, error")
    return text.upper()


OPTIONS: Final = (
    Option("DATA_DIR", Path, "./tracker-data", "spool, embedded store, generated secrets; readable by the owner only"),
    Option("BASE_URL", origin, "http://127.0.0.1:8000", "public origin of the tracking links"),
    Option(
        "SIGNING_KEYS", _keys, "",
        "comma-separated, oldest first; the last signs, all verify; 32 bytes or more each. "
        "Generated once into the data dir when not set", secret=True,
    ),
    Option(
        "API_KEY", _api_key, "",
        "key of the account `default`. Generated once into the data dir, and printed, when not set", secret=True,
    ),
    Option(
        "STORE_URL", _store_url, "",
        "`sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/DATABASE`. When not set: `status.db` in the data dir",
        secret=True,
    ),
    Option(
        "TRUSTED_PROXIES", lambda text: tuple(_words(text, ip_network)), "",
        "comma-separated CIDRs whose `X-Forwarded-For` is believed",
    ),
    Option("CLIENT_IP", _one_of(Keep), "truncated", "`none`, `truncated` (/24, /48) or `full`: what reaches the disk"),
    Option(
        "NETWORKS", parse_networks, "",
        "networks that machines come from, added to the built-in list: text such as `deploy/networks-unverified.txt`",
    ),
    Option("SENDER_NAME", str.strip, "", "who the mail is from, as the unsubscribe page says it"),
    Option(
        "EXCLUDED_HOSTS", lambda text: frozenset(_words(text, _host)), "",
        "comma-separated hosts whose links are left alone; `*.example.com` means every host below it",
    ),
    Option(
        "ONE_USE_LINKS", lambda text: tuple(_words(text, str.lower)), "",
        "comma-separated pieces of paths, such as `/reset,/magic-link`: links that have one are left alone, "
        "since a link that works once should not pass through anything",
    ),
    Option(
        "LINK_TEXT_URLS", _one_of(LinkTextRule), "warn",
        "`warn` or `skip`: what to do with a link whose text is a URL, which mail filters may take for phishing",
    ),
    Option("TRANSACTIONAL_CLICKS", _flag, "true", "whether links in messages of class transactional are tracked"),
    Option(
        "PIXEL_POSITION", _one_of(PixelPosition), "bottom",
        "`bottom`, `top`, `both`, or `placeholder` (where `{{open_pixel}}` stands)",
    ),
    Option(
        "WEBHOOK_PRIVATE_ADDRESSES", _flag, "false",
        "whether webhooks may go to private addresses, and without TLS: for receivers on the same network",
    ),
    Option("HEADER_TIMEOUT_S", _timeout, "5", "seconds for a request's headers, from its first byte or the connection"),
    Option("BODY_TIMEOUT_S", _timeout, "10", "seconds for a request's whole body, however it trickles in"),
    Option("WRITE_TIMEOUT_S", _timeout, "10", "seconds in which a client has to read what is written to it"),
    Option(
        "IDLE_TIMEOUT_S", _timeout, "75",
        "seconds a connection is kept without a request: longer than a proxy keeps its own (60 in nginx), so that it "
        "never asks on one that is just being closed. 5 while more than half of `MAX_CONNECTIONS` are open",
    ),
    Option("MAX_HEADER_BYTES", _whole(8192), "32768", "largest headers of a request; more than any browser sends"),
    Option("MAX_URL_BYTES", _whole(6144), "8192", "longest path and query; the longest links of ours have 6,000"),
    Option("MAX_BODY_BYTES", _whole(1 << 16), str(1 << 24), "largest body: two of 2 MiB, escaped, and a batch"),
    Option(
        "MAX_CONNECTIONS", _whole(1), "10000",
        "connections that one process holds; fewer where its limit of open files leaves less",
    ),
    Option(
        "CONNECTIONS_PER_SOURCE", _whole(0), "1000",
        "of these, how many from one address, or one /48 of IPv6; 0: any number. "
        "The machine itself and `TRUSTED_PROXIES` may have any number",
    ),
    Option(
        "REQUESTS_PER_KEY", _whole(0), "1000",
        "calls a second of one API key in one process, in bursts of 5 seconds' worth, so that one caller leaves "
        "room for others; a batch is one call. 0: any number",
    ),
    Option(
        "INVALID_PER_MINUTE", _whole(0), "30000",
        "requests with a token or a key that is none, from one /24 or /48, in one process; then they are answered 429. "
        "Valid links are never limited: image proxies share addresses. 0: any number",
    ),
    Option("SPOOL_MAX_BYTES", _whole(1 << 20), str(1 << 30), "largest size of one process's spool file"),
    Option("DRAIN_S", _seconds, "1", "seconds that a stopping service still accepts requests while it is not ready"),
    Option("NODE", str, "", "name of this node in the events. When not set: the host's name"),
    Option("LOG_LEVEL", _log_level, "info", "`debug`, `info`, `warning` or `error`"),
)  # fmt: skip


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that ``environment`` asks for; an empty value counts as none.

    Raises `ConfigError`, which names the setting and what is wrong with it.
    """
    values = {option.name.lower(): _value(option, environment) for option in OPTIONS}
    values["node"] = values["node"] or socket.gethostname()
    values["store_url"] = values["store_url"] or f"sqlite:///{values['data_dir'] / 'status.db'}"
    return Settings(**values)


def unknown_names(environment: Mapping[str, str]) -> list[str]:
    """Names that look like settings and are none, sorted. Kubernetes injects some; a typing error is another."""
    known = {PREFIX + option.name + suffix for option in OPTIONS for suffix in ("", "_FILE")}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def is_set(environment: Mapping[str, str], name: str) -> bool:
    """Whether ``environment`` has a value for the setting ``name``, or a file with one."""
    return any(environment.get(PREFIX + name + suffix) for suffix in ("", "_FILE"))


def _value(option: Option, environment: Mapping[str, str]) -> Any:
    name = PREFIX + option.name
    text = environment.get(name) or None
    file = environment.get(name + "_FILE") or None
    if text is not None and file is not None:
        raise ConfigError(f"{name} and {name}_FILE are both set")
    try:
        if file is not None:
            text = Path(file).read_text(encoding="utf-8").strip()
            if not text:  # a secret that was not mounted, more likely than a wish for the default
                raise ValueError(f"{file} is empty")
        return option.parse(option.default if text is None else text)
    except (OSError, ValueError) as error:
        reason = str(error) or "is not valid"
        hidden = option.secret or text is None or len(text) > _MAX_SHOWN_CHARS
        shown = "" if hidden else f" (it is {text!r})"
        raise ConfigError(f"{name}: {reason}{shown}") from None
