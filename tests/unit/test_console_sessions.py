"""Whom the console takes for signed in, and which forms it takes for its own."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from tracker.core.accounts import Account, ApiKey, Directory, Scope, digest
from tracker.core.errors import InvalidRequest
from tracker.core.revocations import Kind, Revocation, Revoked
from tracker.web.console.rendering import path
from tracker.web.console.requests import MAX_FIELDS, decoded, is_own, own_path
from tracker.web.console.sessions import SESSION_S, Sessions

NOW = 1_800_000_000.0
SECRET = b"s" * 32
KEYS = {
    "all": ApiKey("key_1", "default", "all", digest("all"), tuple(Scope)),
    "reader": ApiKey("key_2", "default", "reader", digest("reader"), (Scope.READ,)),
    "mailer": ApiKey("key_3", "default", "mailer", digest("mailer"), (Scope.REWRITE,)),
}


class Operators:
    """The keys in force, which change."""

    def __init__(self) -> None:
        self.keys = dict(KEYS)
        self.ended: list[Revocation] = []

    def revoked(self) -> Revoked:
        return Revoked(self.ended, lambda account, batch: ())

    def directory(self) -> Directory:
        return Directory([Account("default", "https://t.example")], self.keys.values())


@pytest.fixture
def operators() -> Operators:
    return Operators()


@pytest.fixture
def sessions(operators: Operators) -> Sessions:
    return Sessions(SECRET, operators.directory, operators.revoked)


def begun(sessions: Sessions, key: str = "all") -> str:
    cookie = sessions.begin(key, NOW)
    assert cookie is not None
    return cookie


def test_a_key_that_may_read_begins_a_session(sessions: Sessions) -> None:
    session = sessions.read(begun(sessions, "reader"), NOW + 1)
    assert session is not None
    assert session.key == KEYS["reader"]
    assert session.may(Scope.READ)
    assert not session.may(Scope.ADMIN)


@pytest.mark.parametrize("key", ["mailer", "nobody's", "", "key_1", "é\udc80"[:1]])
def test_no_other_does(sessions: Sessions, key: str) -> None:
    assert sessions.begin(key, NOW) is None


def test_the_cookie_has_neither_the_key_nor_its_digest(sessions: Sessions) -> None:
    cookie = begun(sessions, "reader")
    assert "reader" not in cookie
    assert digest("reader").hex() not in cookie


def test_it_ends_after_twelve_hours(sessions: Sessions) -> None:
    cookie = begun(sessions)
    assert SESSION_S == 12 * 3600
    assert sessions.read(cookie, NOW + SESSION_S - 1)
    assert sessions.read(cookie, NOW + SESSION_S) is None


def test_it_ends_when_the_key_is_revoked(sessions: Sessions, operators: Operators) -> None:
    cookie = begun(sessions)
    del operators.keys["all"]
    assert sessions.read(cookie, NOW) is None


def test_it_ends_when_another_key_has_the_id(sessions: Sessions, operators: Operators) -> None:
    cookie = begun(sessions)
    operators.keys["all"] = ApiKey("key_1", "default", "new", digest("new"), tuple(Scope))
    assert sessions.read(cookie, NOW) is None


def test_it_ends_when_the_key_may_not_read_any_more(sessions: Sessions, operators: Operators) -> None:
    cookie = begun(sessions)
    operators.keys["all"] = ApiKey("key_1", "default", "all", digest("all"), (Scope.ADMIN,))
    assert sessions.read(cookie, NOW) is None


def end(operators: Operators, kind: Kind, value: str, at: float = NOW) -> None:
    operators.ended.append(Revocation("default", kind, value, True, int(at * 1e6), "key_1"))


def test_it_is_over_when_it_was_ended(sessions: Sessions, operators: Operators) -> None:
    cookie, other = begun(sessions), begun(sessions)
    session = sessions.read(cookie, NOW)
    assert session is not None
    assert session.id not in cookie
    end(operators, Kind.SESSION, session.id)
    assert sessions.read(cookie, NOW) is None
    assert sessions.read(other, NOW)


def test_it_is_over_when_all_of_its_key_were_ended(sessions: Sessions, operators: Operators) -> None:
    cookie, other = begun(sessions), begun(sessions, "reader")
    end(operators, Kind.SESSIONS, "key_1", NOW - 1)
    assert sessions.read(cookie, NOW), "it was begun later"
    end(operators, Kind.SESSIONS, "key_1")
    assert sessions.read(cookie, NOW) is None
    assert sessions.read(other, NOW)


def test_what_was_changed_is_no_cookie(sessions: Sessions) -> None:
    cookie = begun(sessions)
    text, _, signature = cookie.rpartition(".")
    id_, began, nonce = text.split(".")
    forged = [
        "", ".", "key_1", text, f"{text}.", f"{text}.{signature[:-2]}", f"{signature}.{text}", f"é{cookie}",
        cookie[::-1],        f"key_2.{began}.{nonce}.{signature}", f"{id_}.{int(began) + 1}.{nonce}.{signature}",
        f"{id_}.{began}.{'0' * 16}.{signature}",
    ]  # fmt: skip
    assert [one for one in forged if sessions.read(one, NOW)] == []
    assert sessions.read(cookie, NOW)


def test_another_secret_signs_another_cookie(operators: Operators, sessions: Sessions) -> None:
    assert Sessions(b"t" * 32, operators.directory, operators.revoked).read(begun(sessions), NOW) is None


def test_each_session_has_a_token_of_its_own(sessions: Sessions) -> None:
    one, other = (sessions.read(begun(sessions), NOW) for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.token != other.token
    assert one.sent(one.token)
    for token in (other.token, "", one.token[:-1], one.token + "x", "é", "\udc80"):
        assert not one.sent(token)


def test_the_token_is_no_cookie(sessions: Sessions) -> None:
    cookie = begun(sessions)
    session = sessions.read(cookie, NOW)
    assert session is not None
    assert sessions.read(f"{cookie.rpartition('.')[0]}.{session.token}", NOW) is None


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://t.example"}, False),
        ({"sec-fetch-site": "same-origin", "origin": "null"}, True),
        ({"origin": "null"}, True),
        ({"origin": "http://t.example"}, True),
        ({"origin": "https://t.example"}, True),  # behind a proxy that ends TLS
        ({"origin": "http://evil.example"}, False),
        ({"origin": "http://t.example.evil.example"}, False),
        ({"origin": "http://t.example:81"}, False),
        ({"origin": "t.example"}, False),
        ({"origin": ""}, False),
    ],
)
def test_where_a_form_comes_from(headers: dict[str, str], own: bool) -> None:
    assert is_own(Headers({"host": "t.example", **headers})) is own


@pytest.mark.parametrize(
    "text",
    [
        "/console",
        "/console?after=1%20x",
        "/console/batches/a%2Fb",
        "/console/compare?batch=a&batch=b%26c",
        "/console/messages/m@1:2=+~",
    ],
)
def test_our_own_paths_are_gone_to(text: str) -> None:
    assert own_path(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "/consolex", "/console.evil.example", "//evil.example/console", "https://evil.example/console",
        "/console/../v1", "/console/./x", "/console//evil.example", "/console/\\evil.example", "\\\\evil.example",
        "/console\r\nSet-Cookie: x", "/console/é", "/console/ x", "javascript:alert(1)", "/console#x", "/console@evil",
        "/console/" + "x" * 4000,
    ],
)  # fmt: skip
def test_nothing_else_is(text: str) -> None:
    assert own_path(text) == "/console"


def test_a_path_of_ours_says_what_it_was_made_of() -> None:
    assert path() == "/console"
    assert path("batches", "a/b ?&é") == "/console/batches/a%2Fb%20%3F%26%C3%A9"
    assert path("compare", batch=["a&b", "c"]) == "/console/compare?batch=a%26b&batch=c"
    assert own_path(path("batches", "a/b ?&é", after="x y")) != "/console"


@pytest.mark.parametrize("text", ["a=%ff", "&".join(["a=1"] * (MAX_FIELDS + 1))])
def test_what_is_no_form(text: str) -> None:
    with pytest.raises(InvalidRequest):
        decoded(text)


def test_a_form_has_its_fields() -> None:
    form = decoded("a=1&a=2&b=&c=%C3%A9+x")
    assert [form.get(name, "none") for name in "abcd"] == ["1", "", "é x", "none"]
    assert form.fields["a"] == ["1", "2"]


def test_a_key_is_found_by_its_id_while_it_is_in_force() -> None:
    elsewhere = ApiKey("key_9", "gone", "elsewhere", digest("x"), tuple(Scope))
    directory = Directory([Account("default", "https://t.example")], [KEYS["all"], elsewhere])
    assert directory.key_by_id("key_1") == KEYS["all"]
    assert directory.key_by_id("key_2") is None
    assert directory.key_by_id("key_9") is None, "its account is not there"
