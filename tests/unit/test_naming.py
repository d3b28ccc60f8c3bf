"""Whom a text names, however it is written."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.core.naming import Names

ANN = "ann.perlmutter@example.net"


@pytest.mark.parametrize(
    "text",
    [
        "To: ann.perlmutter@example.net",
        "ANN.Perlmutter@Example.NET",
        "https://a.example/?u=ann.perlmutter%40example.net",
        "https://a.example/?next=https%3A%2F%2Fb.example%2F%3Fu%3Dann.perlmutter%2540example.net",
        "a%25252540b ann.perlmutter%252540example.net",
        "bounces+ann.perlmutter=example.net@mail.example",
        "rcpt_ann.perlmutter@example.net_x",
        "ann.perlmutter&#64;example.net",
        "ann.perlmutter&#x40;example.net",
        r'{"to": "ann.perlmutter\u0040example.net"}',
        "Original-Recipient: rfc822;ann.perlmutter+40example.net",
    ],
)
def test_an_address_is_found_however_it_is_written(text: str) -> None:
    assert Names([ANN, "m-1"]).found_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "joann.perlmutter@example.net",
        "ann.perlmutter@example.network",
        "m-1_2",
        "ann.perlmutter at example.net",
        "m-12",
        "xm-1",
    ],
)
def test_others_are_not_found(text: str) -> None:
    assert not Names([ANN, "m-1"]).found_in(text)


@pytest.mark.parametrize(
    ("reference", "text", "expected"),
    [
        ("lead-77", "https://a.example/lead-77/x", True),
        ("lead-77", "https://a.example/?l=lead-77", True),
        ("lead-77", "https://a.example/lead-770", False),
        ("7", "https://a.example/77", False),
        ("Jörg Müller", "https://a.example/?n=J%C3%B6rg+M%C3%BCller", True),
        ("Jörg Müller", r"{\"n\": \"J\u00f6rg M\u00fcller\"}", True),
        ("crm/77", r'"crm\/77"', True),
        ('a"b', r'"a\"b"', True),
        ("a+b", "a+b", True),
        ("a+b c", "/?n=a%2Bb+c", True),
        ("a=b", "a%3Db", True),
    ],
)
def test_references_of_any_form(reference: str, text: str, expected: bool) -> None:
    assert Names([reference]).found_in(text) is expected


def test_where_chance_does_no_harm_they_are_found_within_words() -> None:
    names = Names(["lead-77", "12"], inside_from=3)
    assert names.found_in("https://a.example/x_lead-77_x")
    assert names.found_in("/12/")
    assert not names.found_in("/123/")
    assert not Names(["lead-77", ""]).found_in("https://a.example/x_lead-77_x")
    assert not Names([""], inside_from=0).found_in("anything")
    assert not Names([]).found_in("anything")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1), st.integers(0, 3))
def test_what_is_encoded_as_a_whole_is_found(reference: str, times: int) -> None:
    text = reference
    for _ in range(times):
        text = quote(text, safe="")
    assert Names([reference]).found_in(f" {text} ")
    assert Names([reference]).found_in(f" {quote_plus(reference)} ")
