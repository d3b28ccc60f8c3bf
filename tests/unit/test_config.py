"""Every setting: what it is when nobody sets it, what it takes, what it refuses, and what the README says of it."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tracker.config import OPTIONS, Settings, is_set, read, unknown_names
from tracker.core.addresses import Keep
from tracker.core.errors import ConfigError
from tracker.core.networks import NetworkList
from tracker.core.networks import parse as parse_networks
from tracker.core.plan import LinkTextRule, PixelPosition

KEY, KEY2 = "k" * 32, "l" * 40
NETWORKS = "# version: 2026-11-23\n192.0.2.0/24 mine any certain"
DEFAULTS: dict[str, Any] = {
    "data_dir": Path("tracker-data"), "base_url": "http://127.0.0.1:8000", "signing_keys": (), "api_key": "",
    "store_url": "sqlite:///tracker-data/status.db", "trusted_proxies": (), "client_ip": Keep.TRUNCATED,
    "networks": NetworkList(),
    "sender_name": "", "excluded_hosts": frozenset(), "one_use_links": (), "link_text_urls": LinkTextRule.WARN,
    "transactional_clicks": True, "webhook_private_addresses": False,
    "pixel_position": PixelPosition.BOTTOM, "spool_max_bytes": 1 << 30, "drain_s": 1.0,
    "header_timeout_s": 5.0, "body_timeout_s": 10.0, "write_timeout_s": 10.0, "idle_timeout_s": 75.0,
    "max_header_bytes": 32_768, "max_url_bytes": 8192, "max_body_bytes": 1 << 24, "max_connections": 10_000,
    "connections_per_source": 1000, "requests_per_key": 1000, "invalid_per_minute": 30_000,
    "log_level": "INFO",
}  # fmt: skip

GOOD: list[tuple[str, str, Any]] = [
    ("DATA_DIR", "/srv/tracker", Path("/srv/tracker")),
    ("BASE_URL", "https://T.example/", "https://t.example"),
    ("BASE_URL", "https://t.example:8443", "https://t.example:8443"),
    ("BASE_URL", "http://[::1]:8000", "http://[::1]:8000"),
    ("SIGNING_KEYS", f"{KEY}, {KEY2}", (KEY.encode(), KEY2.encode())),
    ("SIGNING_KEYS", "é" * 16, ("é" * 16).encode().split()),
    ("API_KEY", "!~" * 20, "!~" * 20),
    ("STORE_URL", "postgresql://u:p@h/d", "postgresql://u:p@h/d"),
    ("STORE_URL", "sqlite:////tmp/x.db", "sqlite:////tmp/x.db"),
    ("TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,127.0.0.1", ("10.0.0.0/8", "2001:db8::/32", "127.0.0.1/32")),
    ("CLIENT_IP", "none", Keep.NONE),
    ("NETWORKS", NETWORKS, parse_networks(NETWORKS)),
    ("SENDER_NAME", "  Café & Söhne ", "Café & Söhne"),
    ("EXCLUDED_HOSTS", "Shop.example, *.Other.example", frozenset({"shop.example", "*.other.example"})),
    ("ONE_USE_LINKS", "/Reset, magic=", ("/reset", "magic=")),
    ("LINK_TEXT_URLS", "skip", LinkTextRule.SKIP),
    ("TRANSACTIONAL_CLICKS", "False", False),
    ("TRANSACTIONAL_CLICKS", "1", True),
    ("PIXEL_POSITION", "both", PixelPosition.BOTH),
    ("SPOOL_MAX_BYTES", "1048576", 1 << 20),
    ("DRAIN_S", "0", 0.0),
    ("DRAIN_S", "2.5", 2.5),
    ("HEADER_TIMEOUT_S", "1.5", 1.5),
    ("CONNECTIONS_PER_SOURCE", "0", 0),
    ("NODE", "edge-1", "edge-1"),
    ("LOG_LEVEL", "Warning", "WARNING"),
]

BAD = [
    ("BASE_URL", text)
    for text in (
        "t.example", "//t.example", "ftp://t.example", "https://", "https://t.example/path", "https://t.example?x",
        "https://t.example#x", "https://user@t.example", "https://bücher.example", "https://t.example:port",
        "https://t.example:99999", "https://[::1", "https://t_example<>", "https://a b.example",
    )
] + [
    ("SIGNING_KEYS", "changeme"), ("SIGNING_KEYS", f"{KEY},short"), ("SIGNING_KEYS", ","), ("API_KEY", "two words"),
    ("API_KEY", "schlüssel"), ("STORE_URL", "mysql://x"), ("STORE_URL", "sqlite:///"), ("STORE_URL", "status.db"),
    ("TRUSTED_PROXIES", "localhost"), ("TRUSTED_PROXIES", "10.0.0.1/8"), ("TRUSTED_PROXIES", "10.0.0.0/99"),
    ("CLIENT_IP", "hashed"), ("CLIENT_IP", "FULL"), ("NETWORKS", "192.0.2.0/24 mine any certain"),
    ("NETWORKS", NETWORKS + "\n192.0.2.1/24 x any certain"), ("NETWORKS", "# comment"), ("EXCLUDED_HOSTS", "https://shop.example"),
    ("EXCLUDED_HOSTS", "shop.*"), ("LINK_TEXT_URLS", "ignore"), ("TRANSACTIONAL_CLICKS", "maybe"),
    ("PIXEL_POSITION", "middle"), ("SPOOL_MAX_BYTES", "1GB"), ("SPOOL_MAX_BYTES", "1"), ("SPOOL_MAX_BYTES", "-1"),
    ("SPOOL_MAX_BYTES", "٣٣٣٣٣٣٣٣"), ("DRAIN_S", "soon"), ("DRAIN_S", "-1"), ("DRAIN_S", "nan"), ("DRAIN_S", "inf"),
    ("HEADER_TIMEOUT_S", "0"), ("BODY_TIMEOUT_S", "0.5"), ("WRITE_TIMEOUT_S", "3601"), ("IDLE_TIMEOUT_S", "nan"),
    ("MAX_HEADER_BYTES", "1024"), ("MAX_URL_BYTES", "6000"), ("MAX_BODY_BYTES", "0"), ("MAX_CONNECTIONS", "0"),
    ("REQUESTS_PER_KEY", "-1"), ("INVALID_PER_MINUTE", "many"),
    ("LOG_LEVEL", "verbose"),
]  # fmt: skip


def setting(name: str, environment: dict[str, str]) -> Any:
    return getattr(read(environment), name.lower())


def test_every_option_has_its_default() -> None:
    settings = read({})
    assert {name: getattr(settings, name) for name in DEFAULTS} == DEFAULTS
    assert settings.node == socket.gethostname()
    assert set(DEFAULTS) | {"node"} == {option.name.lower() for option in OPTIONS} == set(Settings.__slots__)


def test_an_empty_value_counts_as_none() -> None:
    names = [f"TRACKER_{option.name}{suffix}" for option in OPTIONS for suffix in ("", "_FILE")]
    assert read(dict.fromkeys(names, "")) == read({})
    assert not is_set({"TRACKER_NODE": "", "TRACKER_NODE_FILE": ""}, "NODE")
    assert is_set({"TRACKER_NODE": "", "TRACKER_NODE_FILE": "/x"}, "NODE")


@pytest.mark.parametrize(("name", "text", "value"), GOOD)
def test_a_good_value(tmp_path: Path, name: str, text: str, value: Any) -> None:
    if name == "TRUSTED_PROXIES":
        value = tuple(map(ip_network, value))
    elif name == "SIGNING_KEYS":
        value = tuple(value)
    assert setting(name, {f"TRACKER_{name}": text}) == value
    file = tmp_path / "value"
    file.write_text(text + "\n", encoding="utf-8")
    assert setting(name, {f"TRACKER_{name}_FILE": str(file)}) == value
    with pytest.raises(ConfigError, match=f"TRACKER_{name} and TRACKER_{name}_FILE are both set"):
        read({f"TRACKER_{name}": text, f"TRACKER_{name}_FILE": str(file)})


@pytest.mark.parametrize(("name", "text"), BAD)
def test_a_bad_value_is_named_in_one_line(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({f"TRACKER_{name}": text})
    message = str(caught.value)
    assert message.startswith(f"TRACKER_{name}: ")
    assert "\n" not in message
    secret = next(option.secret for option in OPTIONS if option.name == name)
    assert (repr(text) in message) == (not secret)


def test_a_long_value_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "networks"
    file.write_text("# version: 2026-11-23\n" + "192.0.2.0/24 mine any certain\n" * 100 + "192.0.2.0/24 mine any\n")
    with pytest.raises(ConfigError) as caught:
        read({"TRACKER_NETWORKS_FILE": str(file)})
    assert str(caught.value) == "TRACKER_NETWORKS: line 102: a range is written CIDR NAME SCOPE CERTAINTY"


def test_a_file_that_cannot_be_read_or_holds_nothing(tmp_path: Path) -> None:
    for name, content in (("empty", b" \n"), ("latin", b"\xff\xfe"), ("none", None), ("folder/x", None)):
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        for option in OPTIONS:
            with pytest.raises(ConfigError, match=f"^TRACKER_{option.name}: "):
                read({f"TRACKER_{option.name}_FILE": str(file)})


def test_secrets_are_not_shown() -> None:
    settings = read(
        {"TRACKER_SIGNING_KEYS": KEY, "TRACKER_API_KEY": "s3cr3t", "TRACKER_STORE_URL": "postgresql://p4ss@h"}
    )
    assert not [secret for secret in (KEY, "s3cr3t", "p4ss") if secret in repr(settings)]


def test_unknown_names_are_found() -> None:
    known = [f"TRACKER_{option.name}{suffix}" for option in OPTIONS for suffix in ("", "_FILE")]
    assert unknown_names(dict.fromkeys(known, "x")) == []
    names = ["TRACKER_PORT_8000_TCP", "TRACKER_BASEURL", "TRACKERS", "PATH", "TRACKER_"]
    assert unknown_names(dict.fromkeys(names, "x")) == ["TRACKER_", "TRACKER_BASEURL", "TRACKER_PORT_8000_TCP"]


def test_the_readmes_table_is_this_table() -> None:
    readme = Path(__file__).parents[2] / "README.md"
    rows = re.findall(
        r"^\| `TRACKER_(\w+)` \| (.+) \| `?([^`|]*)`? \|$", readme.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [(name, help_, default) for name, help_, default in rows] == [
        (option.name, option.help, option.default or "none") for option in OPTIONS
    ]
