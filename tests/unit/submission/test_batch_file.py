"""Lines of an input file: lenient about form, exact about what is wrong."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.completion.encoding import MAX_DEPTH, dumps, loads_input
from penstock.submission.batch_file import BatchLine, LineError, read_line, split_lines

CHAT = "/v1/chat/completions"
LINE: dict[str, Any] = {"custom_id": "a", "method": "POST", "url": CHAT, "body": {"model": "m"}}


async def split(data: bytes, sizes: list[int]) -> list[tuple[int, bytes]]:
    async def chunks() -> AsyncIterator[bytes]:
        rest = data
        for size in sizes:
            yield rest[:size]
            rest = rest[size:]
        yield rest

    return [line async for line in split_lines(chunks())]


@given(
    st.lists(st.sampled_from([b"", b" ", b"{}", b'{"a": "\xe2\x80\xa8"}', b"\x85x"])),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.lists(st.integers(3, 9)),
)
async def test_lines_do_not_depend_on_where_chunks_end(rows: list[bytes], end: bytes, mark: bool, sizes: list[int]):
    """Numbers are physical lines; blank ones, ends of any kind and a byte order mark are no requests."""
    data = (b"\xef\xbb\xbf" if mark else b"") + end.join(rows)
    expected = [(number, row) for number, row in enumerate(rows, 1) if row.strip()]
    assert await split(data, sizes) == expected
    assert await split(data + end, sizes) == expected


@pytest.mark.parametrize(
    ("change", "code", "param"),
    [
        ({"custom_id": 7}, "invalid_type", "custom_id"),
        ({"custom_id": ""}, "invalid_value", "custom_id"),
        ({"custom_id": "\0"}, "invalid_value", "custom_id"),
        ({"custom_id": "\ud800"}, "invalid_value", "custom_id"),
        ({"custom_id": None}, "missing_required_parameter", "custom_id"),
        ({"method": None}, "missing_required_parameter", "method"),
        ({"method": "PUT"}, "invalid_method", "method"),
        ({"url": "/v1/responses"}, "mismatched_url", "url"),
        ({"body": []}, "invalid_type", "body"),
        ({"body": {}}, "missing_required_parameter", "body.model"),
        ({"body": {"model": "other"}}, "model_not_found", "body.model"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(change: dict[str, Any], code: str, param: str):
    found = read_line(5, json.dumps(LINE | change).encode(), CHAT, {"m"})
    assert isinstance(found, LineError)
    assert (found.line, found.code, found.param) == (5, code, param)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_custom_id_may_hold_any_other_character(custom_id: str):
    found = read_line(1, json.dumps(LINE | {"custom_id": custom_id}, ensure_ascii=False).encode(), CHAT, {"m"})
    assert isinstance(found, BatchLine)
    assert found.custom_id == custom_id


@pytest.mark.parametrize("depth", [MAX_DEPTH - 3, MAX_DEPTH, 1000, 5000, 200_000])
def test_what_was_accepted_can_be_written_again(depth: int):
    """Between what the reader and what the writer manages lies a depth at which reading used to stop for good."""
    text = dumps(LINE).replace(b'"m"', b'"m","x":' + b"[" * depth + b"]" * depth)
    found = read_line(1, text, CHAT, {"m"})
    if depth < MAX_DEPTH - 2:
        assert isinstance(found, BatchLine)
        assert dumps(found.body)
    else:
        assert isinstance(found, LineError)
        assert found.code == "invalid_json_line"


def test_many_brackets_side_by_side_are_not_deep():
    value = [{"a": [[]] * 50}] * 500
    assert loads_input(dumps(value)) == value
    assert loads_input(b'"' + b"[" * 500 + b'"') == "[" * 500


@pytest.mark.parametrize("value", [b"1e999", b"-1e999"])
def test_a_number_that_cannot_be_written_again_fails_its_line(value: bytes):
    """Its job could not be inserted, and the file would be read for ever."""
    found = read_line(4, dumps(LINE).replace(b'"m"', b'"m","x":' + value), CHAT, {"m"})
    assert isinstance(found, LineError)
    assert (found.code, found.line) == ("invalid_json_line", 4)
