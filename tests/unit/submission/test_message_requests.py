"""The body of a message batch, cut into requests as it comes, and what sinks it."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import InvalidRequest, ModelNotFound, PayloadTooLarge
from penstock.submission import message_requests
from penstock.submission.batch_file import BatchLine
from penstock.submission.message_requests import MAX_FRAME_BYTES, MessageRequests, RefusedLine, read_request

PARAMS = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}


def body_of(*requests: Any, **beside: Any) -> bytes:
    return json.dumps({"requests": list(requests), **beside}).encode()


def one(custom_id: Any = "a", **params: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "params": PARAMS | params}


def take(body: bytes, sizes: list[int] | None = None, *, requests: int = 100, size: int = 1 << 24) -> bytes:
    """The lines of a body that comes in pieces of these sizes, again and again."""
    reader = MessageRequests(requests, size)
    lines, place, turn = b"", 0, 0
    while place < len(body):
        step = sizes[turn % len(sizes)] if sizes else len(body)
        lines += reader.feed(body[place : place + step])
        place, turn = place + step, turn + 1
    reader.feed(b"")
    assert reader.end() == lines.count(b"\n")
    return lines


AWKWARD = st.sampled_from(
    ['"', "\\", '\\"', "{", "}", "[", "]", "\n", "\r\n", "\u2028", "é", "漢", "🙂", "\x00", '"requests":[{']
)
TEXTS = st.lists(AWKWARD | st.text(max_size=4), max_size=6).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(
    params=st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), min_size=1, max_size=4),
    beside=st.dictionaries(TEXTS.filter(lambda key: key != "requests"), VALUES, max_size=3),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    indent=st.none() | st.integers(0, 2),
    escaped=st.booleans(),
    first=st.booleans(),
)
def test_however_it_is_written_and_cut_the_requests_come_out_as_they_were(
    params: list[dict[str, Any]],
    beside: dict[str, Any],
    sizes: list[int],
    indent: int | None,
    *,
    escaped: bool,
    first: bool,
):
    wanted = [{"custom_id": f"id-{n}", "params": value, "extra": beside} for n, value in enumerate(params)]
    document = {"requests": wanted, **beside} if first else {**beside, "requests": wanted}
    text = json.dumps(document, indent=indent, ensure_ascii=escaped)
    body = text.encode("utf-8", "surrogatepass")
    lines = take(body, sizes)
    assert [json.loads(line) for line in lines.split(b"\n")[:-1]] == wanted


@given(st.binary(max_size=60) | TEXTS.map(str.encode), st.integers(1, 7))
@settings(max_examples=300)
def test_whatever_comes_is_refused_clearly(body: bytes, step: int):
    with pytest.raises(InvalidRequest) as caught:
        take(body or b" ", [step])
    assert caught.value.message


GOOD = body_of(one("a"), one("b"))


@given(st.integers(0, len(GOOD) - 1), st.integers(1, 40))
def test_a_body_that_was_cut_off_is_not_json(end: int, step: int):
    with pytest.raises(InvalidRequest):
        take(GOOD[:end] or b" ", [step])


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"nonsense", None),
        (b"[1]", None),
        (b"\xef\xbb\xbf" + GOOD, None),
        (GOOD + b"}", None),
        (GOOD[:-1], None),
        (GOOD.replace(b'"messages"', b'"messages'), None),
        (GOOD.replace(b"Hi", b"\xff"), None),
        (GOOD.replace(b"}, {", b"} {"), None),
        (GOOD.replace(b"5,", b"NaN,"), None),
        (b"{}", "requests"),
        (b'{"requests": null}', "requests"),
        (b'{"requests": []}', "requests"),
        (b'{"requests": {"a": [{"custom_id": "a"}]}}', "requests"),
        (b'{"requests": "[]"}', "requests"),
        (b'{"other": {"requests": ' + json.dumps([one()]).encode() + b"}}", "requests"),
        (GOOD[:-1] + b"," + GOOD[1:].replace(b'"a"', b'"c"').replace(b'"b"', b'"d"'), "requests"),
        (body_of(one(), 3), "requests[1]"),
        (body_of("x"), "requests[0]"),
        (body_of(one(), [one("b")]), "requests[1]"),
        (body_of({}), "requests[0].custom_id"),
        (body_of(one(), {"custom_id": "b"}), "requests[1].params"),
        (body_of({"custom_id": "b", "params": None}), "requests[0].params"),
        (body_of({"custom_id": "b", "params": [1]}), "requests[0].params"),
        (body_of({"params": PARAMS}), "requests[0].custom_id"),
        (body_of(one(7)), "requests[0].custom_id"),
        (body_of(one("")), "requests[0].custom_id"),
        (body_of(one("a b")), "requests[0].custom_id"),
        (body_of(one("é")), "requests[0].custom_id"),
        (body_of(one("a\n")), "requests[0].custom_id"),
        (body_of(one("a" * 65)), "requests[0].custom_id"),
        (body_of(one(), one("b"), one()), "requests[2].custom_id"),
    ],
)
def test_what_sinks_the_batch_names_its_place(body: bytes, param: str | None):
    with pytest.raises(InvalidRequest) as caught:
        take(body, [5])
    assert (caught.value.status, caught.value.param) == (400, param)


def test_what_is_wrong_inside_params_does_not_sink_it():
    lines = take(body_of(one("a", model="nope"), {"custom_id": "b", "params": {}}, one("a_-Z9" * 12)))
    assert lines.count(b"\n") == 3


def test_the_limits(monkeypatch: pytest.MonkeyPatch):
    body = body_of(one("a"), one("b"), one("c"))
    assert take(body, requests=3, size=len(body)).count(b"\n") == 3
    with pytest.raises(InvalidRequest) as many:
        take(body, requests=2)
    assert many.value.param == "requests"
    with pytest.raises(PayloadTooLarge):
        take(body, [9], size=len(body) - 1)
    with pytest.raises(InvalidRequest):
        take(body_of(one(), rest="x" * MAX_FRAME_BYTES))
    deep = json.loads("[" * 300 + "]" * 300)
    with pytest.raises(InvalidRequest):
        take(body_of(one("a", tools=deep)))
    monkeypatch.setattr(message_requests, "MAX_LINE_BYTES", 200)
    with pytest.raises(PayloadTooLarge):
        take(body_of(one("a", system="x" * 200)), [50])


def test_memory_does_not_grow_with_the_body():
    """A hundred times the requests may take no more than their ids do."""
    piece = b",".join(json.dumps(one(f"id-{n}", system="x" * 2000)).encode() for n in range(100))
    reader = MessageRequests(100_000, 1 << 30)
    tracemalloc.start()
    reader.feed(b'{"requests": [')
    for turn in range(100):
        reader.feed((b"," if turn else b"") + piece.replace(b'"id-', b'"%d-' % turn))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.feed(b"]}")
    assert reader.end() == 10_000
    assert peak < 5_000_000, "the body has 20 MB"


def read(request: dict[str, Any]) -> BatchLine | RefusedLine:
    return read_request(3, take(body_of(request)).strip(), {"m", "other"})


def test_a_good_request_is_read_back():
    line = read(one("a", fallback=["other"]))
    assert isinstance(line, BatchLine)
    assert (line.number, line.custom_id, line.model, line.fallback) == (3, "a", "m", ("other",))
    assert json.loads(line.raw) == line.body == PARAMS | {"fallback": ["other"]}


@pytest.mark.parametrize(
    ("change", "model", "status", "says"),
    [
        ({"model": "nope"}, "nope", 404, "nope"),
        ({"fallback": ["nope"]}, "m", 404, "nope"),
        ({"model": None}, "", 400, "model"),
        ({"model": 7}, "", 400, "model"),
        ({"model": "a\0"}, "", 404, "model"),
        ({"model": "\ud800"}, "", 404, "model"),
        ({"max_tokens": None}, "m", 400, "max_tokens"),
        ({"max_tokens": "many"}, "m", 400, "max_tokens"),
        ({"messages": []}, "m", 400, "messages"),
    ],
)
def test_what_is_wrong_inside_params_refuses_the_line(change: dict[str, Any], model: str, status: int, says: str):
    line = read(one("a", **change))
    assert isinstance(line, RefusedLine)
    assert (line.number, line.custom_id, line.model, line.error.status) == (3, "a", model, status)
    assert says in line.error.message
    assert isinstance(line.error, ModelNotFound) == (status == 404)


def test_a_number_that_json_cannot_hold_refuses_the_line():
    line = read_request(1, b'{"custom_id": "a", "params": {"model": "m", "temperature": 1e999}}', {"m"})
    assert isinstance(line, RefusedLine)
    assert (line.raw, line.error.status) == (b"{}", 400)


def test_a_fault_of_ours_refuses_the_line_alone(monkeypatch: pytest.MonkeyPatch):
    def broken(_: dict[str, Any]) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(message_requests.anthropic_messages, "parse", broken)
    line = read(one())
    assert isinstance(line, RefusedLine)
    assert line.error.status == 500
    assert "secret" not in line.error.message
