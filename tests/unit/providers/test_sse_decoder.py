"""Server-sent events out of bytes, however those are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.providers.framing import EventTooLong, WireEvent
from penstock.providers.sse import SSEDecoder


def decode(*chunks: bytes, limit: int = 10_000) -> list[tuple[str, bytes]]:
    decoder = SSEDecoder(limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    last = decoder.finish()
    return [(event.name, event.data) for event in [*events, *([last] if last else [])]]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\n", [("message", b"a")]),
        (b"data:a\n\n", [("message", b"a")]),
        (b"data:  a\n\n", [("message", b" a")]),
        (b"event: x\ndata: a\n\n", [("x", b"a")]),
        (b"event: x\ndata: a\n\ndata: b\n\n", [("x", b"a"), ("message", b"b")]),
        (b"data: a\ndata: b\n\n", [("message", b"a\nb")]),
        (b"data\ndata: b\n\n", [("message", b"\nb")]),
        (b"data: a: b\n\n", [("message", b"a: b")]),
        (b": hello\n\n: hello\ndata: a\n: more\n\n", [("message", b"a")]),
        (b"event: ping\n\ndata: a\n\n", [("message", b"a")]),
        (b"id: 7\nretry: 10\nunknown: x\n\n", []),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [("message", b"a"), ("message", b"b"), ("message", b"c")]),
        (b"data: a\r\ndata: b\r\n\r\n", [("message", b"a\nb")]),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [("message", b"a")]),
        ("data: \u2028\u2029\x85\x0b\x0c\x1c\n\n".encode(), [("message", "\u2028\u2029\x85\x0b\x0c\x1c".encode())]),
        (b"data: a\n\ndata: cut", [("message", b"a"), ("message", b"cut")]),
        (b"data: a\n", [("message", b"a")]),
        (b"", []),
    ],
)
def test_events(body: bytes, events: list[tuple[str, bytes]]) -> None:
    assert decode(body) == events


def test_an_event_is_given_as_soon_as_its_blank_line_begins() -> None:
    """Not only when the LF of a CRLF came too: that may be a second later."""
    assert list(SSEDecoder().feed(b"data: a\r\n\r")) == [WireEvent("message", b"a")]


@pytest.mark.parametrize("body", [b"data: 123456\n\n", b"data: 1\ndata: 2\n\n", b": 0123456789", b"x" * 99 + b"\n\n"])
def test_an_endless_event_is_refused(body: bytes) -> None:
    assert decode(b"data: 1\n\n", b"data: 2\n\n", limit=11) == [("message", b"1"), ("message", b"2")]
    with pytest.raises(EventTooLong, match="11 bytes"):
        decode(body, limit=11)


def outcome(chunks: list[bytes]) -> tuple[list[WireEvent], bool]:
    """The events, and whether the limit was passed after them."""
    decoder = SSEDecoder(60)
    events: list[WireEvent] = []
    try:
        for chunk in chunks:
            for event in decoder.feed(chunk):
                events.append(event)  # noqa: PERF402 — those before the failure count
    except EventTooLong:
        return events, True
    last = decoder.finish()
    return [*events, *([last] if last else [])], False


#: what streams are made of, so that interesting ones are found
TOKENS = [
    "data",
    "event",
    ":",
    " ",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "data: ",
    "\ufeff",
    "\u2028",
    "é",
    "x" * 40,
]
BODIES = st.lists(st.sampled_from(TOKENS) | st.text(max_size=3), max_size=40).map(
    lambda tokens: "".join(tokens).encode("utf-8", "surrogatepass")
) | st.binary(max_size=200)


@given(BODIES, st.lists(st.integers(0, 400), max_size=30))
def test_any_chunking_gives_the_same_events(body: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    assert outcome([body[start:end] for start, end in pairwise(places)]) == outcome([body])


@given(BODIES)
def test_single_bytes_give_the_same_events(body: bytes) -> None:
    assert outcome([body[at : at + 1] for at in range(len(body))]) == outcome([body])
