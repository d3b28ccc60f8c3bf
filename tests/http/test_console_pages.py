"""What the console's pages say: the API's numbers, all that happened, every page of a list once, nothing unescaped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from operating import Operator, fields, links
from sending import METRICS, Batch
from serving import API_KEY, Service, eventually

pytest_plugins = ["service_fixtures"]

INJECTION = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;{{7*7}}{%x%}"
PROXY = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


@pytest.fixture
def operator(service: Service) -> Iterator[Operator]:
    with Operator(service) as operator:
        assert operator.sign_in(API_KEY).status_code == 303
        yield operator


def where(*pieces: str, **query: Any) -> str:
    found = "/".join(["/console", *(quote(piece, safe="") for piece in pieces)])
    return f"{found}?{urlencode(query, doseq=True, quote_via=quote)}" if query else found


def row(page: str, table: str, name: str) -> list[float]:
    """The numbers in the row of a table that has ``name`` in its attributes."""
    body = re.findall(rf'<table [^>]*data-table="{table}">.*?</table>', page, re.DOTALL)[0]
    cells = re.findall(rf'<tr [^>]*"{re.escape(name)}"[^>]*>(.*?)</tr>', body, re.DOTALL)[0].partition("</th>")[2]
    return [float(value) for value in re.findall(r'<data value="([^"]+)"', cells)]


def plain(html: str) -> str:
    """What the API says, of which a page shows this."""
    text = unescape(re.sub("<[^>]+>", "", html))
    return re.sub("[\N{NARROW NO-BREAK SPACE}\N{NO-BREAK SPACE}]", " ", text).replace("\N{MINUS SIGN}", "-")


def known(rate: dict[str, Any]) -> list[float]:
    shown = [rate[name] for name in ("rate", "low", "high")]
    return [*([] if rate["rate"] is None else shown), rate["count"], rate["of"]]


def sent(service: Service, name: str = "") -> Batch:
    """A batch with something of everything in it."""
    batch = Batch(service, name)
    ids = batch.send(12)
    batch.open(*ids[:5])
    batch.open(*ids[5:8], headers={"User-Agent": PROXY})
    batch.open(ids[8], headers={"User-Agent": "curl/8"})
    batch.click(ids[0], ids[5], ids[9])
    batch.report("delivered", *ids[:10])
    batch.report("failed", ids[11], status_code="550 5.1.1", reason=INJECTION)
    batch.report("unsubscribed", ids[1])
    return batch


def test_the_numbers_of_a_batch_are_the_apis(service: Service, operator: Operator) -> None:
    batch = sent(service, 'numbers / & "of" <it>')
    report = batch.read()
    page = operator.page(where("batches", batch.name))
    for metric in METRICS:
        assert row(page, "rates", metric) == pytest.approx(known(report["rates"][metric])), metric
    assert report["rates"]["open_rate"]["count"] == 9
    for name in ("messages", "sent", "delivered", "failed", "reached", "replied", "unsubscribed", "complained"):
        assert f'data-fact="{name}"><data value="{report[name]}"' in page
    for name in ("opens", "clicks"):
        for part in ("unique", "total"):
            assert row(page, "hits", f"{name}-{part}") == list(report[name][part].values())
    assert "550 5.1.1" in page
    assert "https://shop.example/a" in page


def test_the_numbers_of_a_comparison_are_the_apis(service: Service, operator: Operator) -> None:
    batches = [sent(service), Batch(service, "second & <b>"), Batch(service, "untracked")]
    batches[1].open(*batches[1].send(40)[:3])
    batches[2].send(3, track={"opens": False, "clicks": False})
    batches[2].read()
    names = [batch.name for batch in batches]
    answer = service.call("GET", "/v1/reports", params={"batch": names}).json()
    page = operator.page(where("compare", batch=names))
    for report in answer["batches"]:
        for metric in METRICS:
            name = report["batch"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            assert row(page, metric, name) == pytest.approx(known(report["rates"][metric])), (name, metric)
    found = re.findall(r'<li class="finding ([^"]*)"[^>]*>(.*?)</li>', page)
    assert sorted(plain(one) for _, one in found) == sorted(one["sentence"] for one in answer["differences"])
    top, below = page[: page.index("<svg class=")], page[page.index("<svg class=") :]
    is_shown = {one: {"higher", "lower"}.intersection(re.findall(r'"finding (\w+)"', one)) for one in (top, below)}
    assert is_shown[top]
    assert not is_shown[below]
    assert not re.findall(r'"finding (?:no_difference_shown|not_comparable)"', top)
    assert all(plain(one) in answer["notes"] for one in re.findall(r"<li>(.*?)</li>", top[top.index('"notes"') :]))
    assert [one["metric"] for one in answer["differences"] if one["verdict"] in ("higher", "lower")] == re.findall(
        r'"finding \w+" data-metric="(\w+)"', top
    )


def test_another_batch_can_be_the_baseline(service: Service, operator: Operator) -> None:
    batches = [Batch(service, f"base & {letter}") for letter in "abc"]
    for batch in batches:
        batch.send(1)
    batches[-1].read()
    names = [batch.name for batch in batches]
    offered = [one for one in links(operator.page(where("compare", batch=names))) if "/compare?" in one]
    second, third = (where("compare", batch=[name, *(one for one in names if one != name)]) for name in names[1:])
    assert offered == [second, third]
    page = operator.page(third)
    assert 'Each against <span class="whole">base &amp; c</span>' in page
    assert second not in links(page)


def test_what_is_not_tracked_is_never_zero(service: Service, operator: Operator) -> None:
    batch = Batch(service)
    batch.send(3, track={"opens": False, "clicks": False})
    batch.read()
    page = operator.page(where("batches", batch.name))
    for metric in ("open_rate", "click_rate", "click_to_open"):
        (cells,) = re.findall(rf'<tr data-metric="{metric}">(.*?)</tr>', page, re.DOTALL)
        assert "not tracked" in cells
        assert "%" not in plain(cells)
    assert "Opens were not tracked." in page
    assert len(re.findall("not tracked", operator.page("/console"))) >= 2


@pytest.mark.parametrize("names", [[], ["one"], [f"b{n}" for n in range(11)]])
def test_what_cannot_be_compared(operator: Operator, names: list[str]) -> None:
    answer = operator.get(where("compare", batch=names))
    assert answer.status_code == 422
    assert "Choose 2 to 10 batches" in answer.text


def test_batches_that_are_not_there(operator: Operator) -> None:
    paths = [where("batches", "none"), where("batches", "none", "messages"), where("batches", "none", "messages.csv")]
    paths += [where("compare", batch=["none", "nor this"]), where("messages", "none"), where("batches", "\0")]
    paths += ["/console/batches/%ff", "/console/batches/", "/console/batches", "/console/"]
    assert [operator.get(path).status_code for path in paths] == [404] * len(paths)


def test_files_are_the_apis(service: Service, operator: Operator) -> None:
    batch = sent(service, "file / 1")
    batch.read()
    for ours, theirs in (
        (where("batches", batch.name, "messages.csv"), f"{batch.path}/messages.csv"),
        (where("compare.csv", batch=batch.name), f"/v1/reports.csv?batch={quote(batch.name, safe='')}"),
    ):
        mine, api = operator.get(ours), service.call("GET", theirs)
        assert mine.status_code == api.status_code == 200
        assert mine.content == api.content
        assert mine.headers["content-disposition"] == api.headers["content-disposition"]
        assert ours in links(operator.page(where("batches", batch.name)))


# Paging.


def walked(operator: Operator, path: str, wanted: str) -> list[str]:
    """The links that match ``wanted``, from page to page until there is no other."""
    found = []
    while path:
        page = operator.page(path)
        found += [one for one in links(page) if re.fullmatch(wanted, one)]
        next_ = re.findall(r'<a href="([^"]+)" rel="next"', page)
        path = unescape(next_[0]) if next_ else ""
    return found


def test_every_batch_is_on_one_page(service: Service, operator: Operator) -> None:
    batches = [Batch(service, f"paged {number} 100%/é") for number in range(30)]
    for batch in batches:
        batch.send(1)
    batches[-1].read()
    found = walked(operator, "/console", "/console/batches/paged.*")
    assert sorted(found) == sorted(where("batches", batch.name) for batch in batches)


def test_every_message_of_a_batch_is_on_one_page(service: Service, operator: Operator) -> None:
    batch = Batch(service)
    ids = batch.send(250)
    batch.read()
    found = walked(operator, where("batches", batch.name, "messages"), "/console/messages/.*")
    assert found == [where("messages", id_) for id_ in sorted(ids)]


def test_every_event_of_a_message_is_on_one_page(service: Service, operator: Operator) -> None:
    batch = Batch(service)
    (id_,) = batch.send(1)
    for _ in range(250):
        batch.report("deferred", id_, reason="later")
    batch.read()
    first = operator.page(where("messages", id_))
    (next_,) = re.findall(r'<a href="([^"]+)" rel="next"', first)
    second = operator.page(unescape(next_))
    assert [len(re.findall('<li class="entry', page)) for page in (first, second)] == [200, 51]
    assert 'rel="next"' not in second


@pytest.mark.parametrize("by", ["message", "recipient"])
def test_every_message_that_is_found_is_on_one_page(service: Service, operator: Operator, by: str) -> None:
    batch = Batch(service)
    if by == "message":
        ids = [f"found@{n:03}" for n in range(230)]
        people = [{"message_id": id_} for id_ in ids]
        call = {"html": "<p>Hello</p>", "batch": batch.name, "recipients": people}
        assert service.call("POST", "/v1/rewrite/batch", json=call).status_code == 200
        text = "found@"
    else:
        text = 'many+of&"them"@example.com'
        batch.send_to(*[text] * 230)
        ids = list(batch.mails)
    batch.read()
    found, form = [], {"text": text, "by": by}
    while form:
        page = operator.send("/console/search", form).text
        found += [one for one in links(page) if one.startswith("/console/messages/")]
        after = re.findall(r'name="after" value="([^"]+)"', page)
        form = {**form, "after": unescape(after[0])} if after else {}
    assert found == [where("messages", id_) for id_ in sorted(ids)]


def test_a_cursor_that_is_none(operator: Operator, service: Service) -> None:
    service.rewrite("cursor")
    service.reached("cursor", "rewritten")
    paths = [where(after="x"), where(after="1"), where(after="99999999999999999999 x"), where(after="1 \0")]
    paths += [where("messages", "cursor", after="x")]
    assert [operator.get(path).status_code for path in paths] == [422] * len(paths)


# Search.


def test_a_search_finds_by_the_beginning_or_the_whole_recipient(service: Service, operator: Operator) -> None:
    service.rewrite("seek-1", recipient="seek@example.com")
    service.rewrite("seek-2", recipient="seek@example.com.au")
    service.reached("seek-2", "rewritten")

    def found(**form: str) -> list[str]:
        page = operator.send("/console/search", form).text
        return [one.rpartition("/")[2] for one in links(page) if one.startswith("/console/messages/")]

    assert found(text="seek-", by="message") == found(text=" seek- ") == ["seek-1", "seek-2"]
    assert found(text="seek-2", by="message") == ["seek-2"]
    assert found(text="seek@example.com", by="recipient") == ["seek-1"]
    assert found(text="seek@example", by="recipient") == found(text="eek", by="message") == []
    for text in ("seek_%", "seek\0", "x" * 600, "\U0010ffff"):
        assert found(text=text, by="message") == found(text=text, by="recipient") == []


def test_an_empty_search_says_so_beside_the_field(operator: Operator) -> None:
    answer = operator.send("/console/search", {"text": " "})
    assert answer.status_code == 422
    assert 'aria-describedby="text-error"' in answer.text


# A message.


def test_a_burst_is_one_entry_with_every_hit_in_it(service: Service, operator: Operator) -> None:
    batch = Batch(service)
    (id_,) = batch.send(1)
    batch.open(id_)
    batch.click(id_)
    eventually(lambda: service.message(id_), lambda message: message and message["stage"] == "clicked")
    page = operator.page(where("messages", id_))
    assert 'data-fact="stage">Clicked' in page
    assert "<details>" not in page
    assert len(re.findall('class="entry by-human"', page)) == 2
    batch.click(id_, link=1)
    eventually(lambda: service.message(id_), lambda message: message and message["stage"] == "sent")
    page = operator.page(where("messages", id_))
    assert 'data-fact="stage">Sent' in page
    assert len(re.findall('class="entry by-machine"', page)) == 3
    (burst,) = re.findall(r'<li class="burst by-machine">(.*?)</details>', page, re.DOTALL)
    assert "2 links and the pixel within" in burst
    assert "Each of the 3 hits" in burst
    assert burst.count("Two or more different links of this message were followed within seconds") == 1 + 2
    assert (
        burst.count("By itself this looked like a person\N{RIGHT SINGLE QUOTATION MARK}s.")
        == len(re.findall('<li class="entry', burst))
        == 3
    )
    for event in service.events(id_)[1:]:
        assert event["occurred_at"] in burst
    for number, url in (("Link 1", "https://shop.example/a"), ("Link 2", "https://shop.example/b")):
        assert f"<dt>{number}</dt><dd>{url}</dd>" in burst
        assert f"<small>{number}</small> <code>{url}</code>" in page
    assert "corrected" not in page.lower(), "nobody knows whether it ever counted"


def test_who_acted_is_told_in_words(service: Service, operator: Operator) -> None:
    batch = Batch(service)
    (id_,) = batch.send(1)
    batch.open(id_, headers={"User-Agent": PROXY})
    batch.open(id_, headers={"User-Agent": "curl/8.1"})
    batch.report("failed", id_, status_code="550 5.1.1", reason="nobody there")
    batch.read()
    page = operator.page(where("messages", id_))
    assert [page.count(f'class="entry by-{actor}"') for actor in ("human", "proxy", "machine")] == [0, 1, 1]
    for text in ("image proxy loads an image when somebody", "fetches without a person", "curl/8.1", "nobody there"):
        assert text in unescape(page)
    events = service.events(id_)
    assert len(events) == len(re.findall('<li class="entry', page))
    assert all(event["occurred_at"] in page for event in events)


def test_nothing_gets_out_of_its_place(service: Service, operator: Operator) -> None:
    batch = Batch(service, INJECTION)
    html = f'<a href="https://shop.example/{quote(INJECTION)}?q=<script>alert(2)</script>">x</a>'
    fields_ = {"recipient": INJECTION, "batch": INJECTION, "list": INJECTION, "html": html}
    batch.mails["naughty"] = service.rewrite("naughty", **fields_)
    batch.open("naughty", headers={"User-Agent": f"Mozilla/5.0 {INJECTION}"})
    batch.click("naughty")
    batch.report("failed", "naughty", status_code="550 5.1.1", reason=INJECTION)
    batch.read()
    pages = [operator.page("/console"), operator.page(where("batches", INJECTION))]
    pages += [operator.page(where("batches", INJECTION, "messages")), operator.page(where("messages", "naughty"))]
    pages += [operator.send("/console/search", {"text": INJECTION, "by": "recipient"}).text]
    batch = Batch(service)
    batch.send(2)
    batch.read()
    pages += [operator.page(where("compare", batch=[INJECTION, batch.name]))]
    pages += [operator.get(where("compare", batch=[INJECTION, "x" + INJECTION])).text]
    for page in pages:
        assert not re.search(r"<script|<img|\son[a-z]+=(?=[^<]*>)", re.sub(r'"[^"]*"', '""', page))
        assert "alert(1)" in page
        assert "{{7*7}}" in page
    assert "naughty" in pages[4]


# Settings.


def test_settings_are_saved_as_they_were_typed(service: Service, operator: Operator) -> None:
    form = fields(operator.page("/console/settings"))
    assert form["track.opens"] == "on"
    assert form["classifier.bursts"] == "on"
    form |= {
        "excluded_hosts": "a.example\r\n*.b.example", "link_params": "utm_source=crm\r\nx=1=2",
        "sender_name": 'Sons & "<Daughters>"', "postal_address": "Street 1\r\nTown", "retention_days": "400",
        "pixel_position": "both", "classifier.quick_open_s": "2.5", "classifier.honeypot": "on", "text_part": "",
    }  # fmt: skip
    answer = operator.send("/console/settings", {name: value for name, value in form.items() if value})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/settings?saved=1")
    settings = service.call("GET", "/v1/settings").json()
    assert settings["excluded_hosts"] == ["a.example", "*.b.example"]
    assert settings["link_params"] == {"utm_source": "crm", "x": "1=2"}
    assert settings["sender_name"] == 'Sons & "<Daughters>"'
    assert settings["postal_address"] == "Street 1\nTown"
    assert (settings["retention_days"], settings["pixel_position"], settings["text_part"]) == (400, "both", False)
    assert settings["classifier"]["quick_open_s"] == 2.5
    assert settings["classifier"]["honeypot"]
    page = operator.page("/console/settings?saved=1")
    assert "Saved." in page
    shown = {name: value.replace("\n", "\r\n") for name, value in fields(page).items()}
    assert {name: shown[name] for name in form if name != "token"} == {n: v for n, v in form.items() if n != "token"}
    assert service.call("PUT", "/v1/settings", json={}).status_code == 200


def test_errors_in_settings_stand_beside_the_field_and_nothing_typed_is_lost(
    service: Service, operator: Operator
) -> None:
    form = fields(operator.page("/console/settings"))
    form |= {
        "retention_days": "<soon>",
        "excluded_hosts": "fine.example\r\nnot/fine",
        "sender_name": "Typed",
        "footer": "never",
    }
    before = service.call("GET", "/v1/settings").json()
    answer = operator.send("/console/settings", {name: value for name, value in form.items() if value})
    assert answer.status_code == 422
    assert service.call("GET", "/v1/settings").json() == before
    for name in ("retention_days", "excluded_hosts"):
        (tag,) = re.findall(rf'<(?:input|textarea)[^>]* id="{name}"[^>]*>', answer.text)
        assert 'aria-invalid="true"' in tag
        assert f"{name}-error" in tag
        assert f'id="{name}-error"' in answer.text
        assert f'href="#{name}"' in answer.text
    assert "“not/fine” is not right." in answer.text
    shown = {name: value.replace("\n", "\r\n").replace("\r\r", "\r") for name, value in fields(answer.text).items()}
    assert {name: shown[name] for name in form if name != "token"} == {n: v for n, v in form.items() if n != "token"}
