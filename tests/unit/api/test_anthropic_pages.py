"""Anthropic's pages: walked in either direction, they show every object once."""

from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from api.anthropic.pages import PageQuery, cut
from penstock.errors import InvalidRequest

FIVE = [{"id": name} for name in "abcde"]


def query(text: str) -> PageQuery:
    return PageQuery.of(Request({"type": "http", "headers": [], "query_string": text.encode()}))


def ids(page: dict[str, Any]) -> str:
    return "".join(row["id"] for row in page["data"])


def test_the_least_query() -> None:
    assert query("") == PageQuery(20, None, None)
    page = cut(FIVE, query(""))
    assert (ids(page), page["has_more"], page["first_id"], page["last_id"]) == ("abcde", False, "a", "e")
    assert cut([], query("")) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize(
    ("text", "shown", "more"),
    [
        ("limit=2", "ab", True),
        ("limit=2&after_id=b", "cd", True),
        ("limit=2&after_id=c", "de", False),
        ("after_id=e", "", False),
        ("limit=2&before_id=d", "bc", True),
        ("limit=2&before_id=c", "ab", False),
        ("before_id=a", "", False),
    ],
)
def test_pages(text: str, shown: str, more: bool) -> None:
    page = cut(FIVE, query(text))
    assert (ids(page), page["has_more"]) == (shown, more)


@given(st.integers(0, 12), st.integers(1, 5), st.booleans())
def test_a_walk_shows_every_object_once(count: int, limit: int, backwards: bool) -> None:
    rows = [{"id": str(number)} for number in range(count)]
    seen: list[str] = []
    at: dict[str, str] = {"before_id": rows[-1]["id"]} if backwards and rows else {}
    while True:
        page = cut(rows, PageQuery(limit, at.get("after_id"), at.get("before_id")))
        found = [row["id"] for row in page["data"]]
        seen = [*found, *seen] if backwards else [*seen, *found]
        if not page["has_more"]:
            break
        at = {"before_id": page["first_id"]} if backwards and rows else {"after_id": page["last_id"]}
    assert seen == [row["id"] for row in (rows[:-1] if backwards else rows)]


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("after_id=a&before_id=c", "before_id"),
        ("after_id=z", "after_id"),
        ("before_id=z", "before_id"),
    ],
)
def test_a_query_that_cannot_be_used(text: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        cut(FIVE, query(text))
    assert caught.value.param == param
