"""Who gets into the console, how long, and what forms it takes: over HTTP, as a browser and as an attacker."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from operating import Operator
from serving import API_KEY, Service, eventually, run, serving

pytest_plugins = ["service_fixtures"]

SIGNING_KEY = "a signing key for tests of 32 bytes or more"
COOKIE = "tracker_console"
PAGES = [
    "/console",
    "/console/batches/a%2Fb",
    "/console/batches/a%2Fb/messages",
    "/console/compare?batch=a%2Fb&batch=c",
    "/console/messages/console-1",
    "/console/search",
    "/console/settings",
]
FILES = ["/console/batches/a%2Fb/messages.csv", "/console/compare.csv?batch=a%2Fb&batch=c"]
FORMS = ["/console/search", "/console/settings", "/console/sign-out"]
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "data", SIGNING_KEYS=SIGNING_KEY) as service:
        for number, batch in enumerate(("a/b", "c"), 1):
            service.rewrite(f"console-{number}", batch=batch)
            service.reached(f"console-{number}", "rewritten")
        yield service


@pytest.fixture
def visitors(service: Service) -> Iterator[Callable[[], Operator]]:
    """Makes browsers, each without a session."""
    with ExitStack() as open_:
        yield lambda: open_.enter_context(Operator(service))


@pytest.fixture
def stranger(visitors: Callable[[], Operator]) -> Operator:
    return visitors()


@pytest.fixture
def operator(visitors: Callable[[], Operator]) -> Operator:
    operator = visitors()
    assert operator.sign_in(API_KEY).status_code == 303
    return operator


def add_key(service: Service, *scopes: str, account: str = "default", name: str = "test") -> str:
    """A new key, which the service knows."""
    options = [word for scope in scopes for word in ("--scope", scope)]
    ran = run(service.data_dir, "keys", "add", "--account", account, "--name", name, *options)
    assert ran.returncode == 0, ran.stderr
    key = ran.stdout.decode().strip()
    headers = {"Authorization": f"Bearer {key}"}
    eventually(lambda: service.client.get("/v1/settings", headers=headers).status_code, lambda status: status != 401)
    return key


def cookie(key_id: str = "environment", began: float | None = None, signing_key: str = SIGNING_KEY) -> str:
    """A cookie as the service makes it, written down here once more."""
    secret = hmac.digest(signing_key.encode(), b"tracker v1 SESSION", "sha256")
    derived = hmac.digest(secret, b"console cookie " + hashlib.sha256(API_KEY.encode()).digest(), "sha256")
    text = f"{key_id}.{int(time.time() if began is None else began)}.0123456789abcdef"
    signature = base64.urlsafe_b64encode(hmac.digest(derived, text.encode(), "sha256")).rstrip(b"=")
    return f"{text}.{signature.decode()}"


def asked_to_sign_in(answer: httpx2.Response) -> bool:
    return answer.status_code == 303 and answer.headers["location"].startswith("/console/sign-in")


@pytest.mark.parametrize("path", [*PAGES, *FILES, "/console/nothing", "/console/batches/x/y/z"])
def test_whoever_has_no_session_is_asked_to_sign_in(stranger: Operator, path: str) -> None:
    answer = stranger.get(path)
    assert asked_to_sign_in(answer)
    assert answer.content == b""
    signed_in = stranger.sign_in(API_KEY, httpx2.URL(answer.headers["location"]).params.get("next", ""))
    assert (signed_in.status_code, signed_in.headers["location"]) == (303, path), "and comes back to where he wanted"


def test_cookies_that_are_not_ours_or_not_any_more(service: Service) -> None:
    def get(value: str) -> httpx2.Response:
        return service.client.get("/console", headers={"Cookie": f"{COOKIE}={value}"})

    good = cookie()
    assert get(good).status_code == 200
    assert get(cookie(began=time.time() - 12 * 3600 + 60)).status_code == 200
    wrong = [
        "", "x", good[:-2], good.replace("environment", "key_0"), cookie("key_0"), cookie(signing_key="k" * 40),
        cookie(began=time.time() - 12 * 3600 - 1), cookie(began=0), f"{good}x=", good.upper(),
    ]  # fmt: skip
    assert all(asked_to_sign_in(get(value)) for value in wrong)


def test_what_the_cookie_is_like(stranger: Operator) -> None:
    header = stranger.sign_in(API_KEY).headers["set-cookie"]
    assert API_KEY not in header
    attributes = {part.strip().lower() for part in header.split(";")[1:]}
    assert attributes >= {"path=/console", "httponly", "samesite=strict", "max-age=43200"}
    assert "secure" not in attributes
    assert not any(one.startswith("domain") for one in attributes)


def test_it_goes_over_tls_alone_where_browsers_come_by_tls(tmp_path: Path) -> None:
    with serving(tmp_path / "data", BASE_URL="https://t.example") as service, Operator(service) as stranger:
        header = stranger.sign_in(API_KEY).headers["set-cookie"]
        assert "; secure" in header.lower()


@pytest.mark.parametrize("key", ["", "wrong", API_KEY + "x", "é", "<script>alert(1)</script>"])
def test_a_wrong_key_says_so_beside_the_field(stranger: Operator, key: str) -> None:
    answer = stranger.sign_in(key, "/console/search")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert 'aria-describedby="key-hint key-error"' in answer.text
    assert 'name="next" value="/console/search"' in answer.text
    assert not key or key not in answer.text, "nobody's key stands on a page"


def test_a_key_that_may_not_read_gets_nowhere(service: Service, stranger: Operator) -> None:
    assert stranger.sign_in(add_key(service, "rewrite", "events")).status_code == 403
    assert asked_to_sign_in(stranger.get("/console"))


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/", "//evil.example", "/v1/settings", "/console\\x", "elsewhere", "/console/../c/TOKEN",
        "/console/%2e%2e/c/TOKEN", "/console/%2E%2E/c/TOKEN", "/console/batches/.%2e/%2E./../c/TOKEN",
        "/console/batches/%2e", "/console/..\\c/TOKEN", "/console/..%5cc/TOKEN", "/console/x%5C..%5C",
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere_after_signing_in(stranger: Operator, target: str) -> None:
    assert target not in stranger.client.get("/console/sign-in", params={"next": target}).text
    assert stranger.sign_in(API_KEY, target).headers["location"] == "/console"
    assert stranger.client.get("/console/sign-in", params={"next": target}).headers["location"] == "/console"


def test_nobody_signs_others_in(stranger: Operator) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.example"},
    ):
        answer = stranger.sign_in(API_KEY, **headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert answer.headers["content-type"].startswith("text/html")
    assert stranger.sign_in(API_KEY, **{"Sec-Fetch-Site": "same-origin", "Origin": "null"}).status_code == 303


def test_a_revoked_key_ends_its_sessions(service: Service, operator: Operator, stranger: Operator) -> None:
    assert stranger.sign_in(add_key(service, "read", name="to-revoke")).status_code == 303
    stranger.page("/console")
    listed = json.loads(run(service.data_dir, "keys", "list", "--json").stdout)
    (id_,) = [key["id"] for key in listed if key["name"] == "to-revoke"]
    assert run(service.data_dir, "keys", "revoke", id_).returncode == 0
    eventually(lambda: stranger.get("/console"), asked_to_sign_in)
    assert asked_to_sign_in(stranger.post("/console/search", {}))
    operator.page("/console")


def test_signing_out_takes_the_cookie_away(operator: Operator) -> None:
    answer = operator.send("/console/sign-out", {})
    assert asked_to_sign_in(answer)
    assert "path=/console" in answer.headers["set-cookie"].lower()
    assert COOKIE not in operator.client.cookies
    assert asked_to_sign_in(operator.get("/console"))


@pytest.mark.parametrize("path", FORMS)
def test_a_form_without_the_sessions_token_is_refused(
    service: Service, operator: Operator, stranger: Operator, path: str
) -> None:
    other = stranger
    other.sign_in(API_KEY)
    before = service.call("GET", "/v1/settings").json()
    for token in ({}, {"token": ""}, {"token": "x"}, {"token": other.token()}, {"token": operator.token()[:-1]}):
        answer = operator.post(path, {"text": "x", "sender_name": "Forged", **token})
        assert answer.status_code == 403, token
        assert "not sent from a page of this session" in answer.text
        assert "set-cookie" not in answer.headers
    assert service.call("GET", "/v1/settings").json() == before
    operator.page("/console")


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
def test_a_form_from_elsewhere_is_refused_even_with_it(operator: Operator, headers: dict[str, str]) -> None:
    assert operator.post("/console/search", {"token": operator.token(), "text": "x"}, **headers).status_code == 403


def test_a_form_of_another_type_or_too_large_is_refused(operator: Operator) -> None:
    token = operator.token()
    answer = operator.client.post("/console/search", json={"token": token})
    assert answer.status_code == 403
    assert operator.post("/console/search", {"token": token, "text": "x" * 300_000}).status_code == 413
    assert operator.post("/console/search", {"token": token, "x": ["1"] * 300}).status_code == 422
    answer = operator.client.post("/console/search", content=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    assert "<h1>" in answer.text


def test_a_key_that_may_not_change_settings_does_not(service: Service, stranger: Operator) -> None:
    reader = stranger
    reader.sign_in(add_key(service, "read"))
    page = reader.page("/console/settings")
    assert "<fieldset disabled>" in page
    assert ">Save<" not in page
    before = service.call("GET", "/v1/settings").json()
    assert reader.send("/console/settings", {"sender_name": "Reader"}).status_code == 403
    assert service.call("GET", "/v1/settings").json() == before


def test_other_accounts_are_not_there(service: Service, operator: Operator, stranger: Operator) -> None:
    made = run(service.data_dir, "accounts", "add", "shop", "--origin", "https://t.shop.example")
    assert made.returncode == 0, made.stderr
    tenant = stranger
    assert tenant.sign_in(add_key(service, "read", "admin", account="shop")).status_code == 303
    paths = [path for path in [*PAGES, *FILES] if "batch" in path or "messages" in path]
    assert [tenant.get(path).status_code for path in paths] == [404] * len(paths)
    assert [operator.get(path).status_code for path in paths] == [200] * len(paths)
    assert "console-1" not in tenant.page("/console")
    for by in ("message", "recipient"):
        assert "console-1" not in tenant.send("/console/search", {"text": "console", "by": by}).text


def test_headers(service: Service, operator: Operator, stranger: Operator) -> None:
    answers = [
        operator.get(path) for path in [*PAGES, *FILES, "/console/nothing", "/console/compare", "/console/style.css"]
    ]
    answers += [stranger.get("/console"), stranger.get("/console/sign-in"), stranger.sign_in("wrong")]
    answers += [stranger.post("/console/search", {}), operator.post("/console/search", {})]
    answers += [operator.send("/console/search", {"text": "x"}), operator.client.head("/console")]
    answers += [operator.send("/console/sign-out", {})]
    for answer in answers:
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "no-store" in answer.headers["cache-control"]
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert "style=" not in "".join(answer.text for answer in answers)
    assert "<script" not in "".join(answer.text for answer in answers)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("PUT", "/console", "GET"), ("POST", "/console/compare", "GET"), ("GET", "/console/sign-out", "POST"),
     ("DELETE", "/console/settings", "GET, POST"), ("POST", "/console/style.css", "GET"),
     ("PATCH", "/console/sign-in", "GET, POST")],
)  # fmt: skip
def test_a_method_that_is_not_there_is_told_so_on_a_page(
    service: Service, operator: Operator, method: str, path: str, allow: str
) -> None:
    answer = operator.client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"] == POLICY
    assert "Method Not Allowed" in answer.text


def test_no_cookie_is_set_or_looked_at_elsewhere(service: Service, operator: Operator) -> None:
    value = operator.client.cookies[COOKIE]
    mail = service.rewrite("cookies")
    paths = ["/v1/settings", "/healthz", "/openapi.json", mail["unsubscribe_url"], mail["open_url"]]
    for path in [str(httpx2.URL(path).raw_path, "ascii") for path in paths]:
        answer = service.client.get(path, headers={"Cookie": f"{COOKIE}={value}"})
        assert "set-cookie" not in answer.headers
    answer = service.client.get("/v1/settings", headers={"Cookie": f"{COOKIE}={value}"})
    assert answer.status_code == 401


def test_nothing_of_a_search_or_a_key_is_logged(service: Service, operator: Operator) -> None:
    operator.send("/console/search", {"text": "somebody@private.example", "by": "recipient"})
    operator.sign_in("not-a-key-but-a-secret")
    assert "private.example" not in service.output()
    assert "not-a-key" not in service.output()
