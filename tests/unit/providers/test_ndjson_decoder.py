"""Lines of JSON out of bytes, however those are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.providers.framing import EventTooLong, WireEvent
from penstock.providers.ndjson import NDJSONDecoder


def decode(*chunks: bytes, limit: int = 10_000) -> list[bytes]:
    decoder = NDJSONDecoder(limit)
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    last = decoder.finish()
    events += [last] if last else []
    assert {event.name for event in events} <= {"message"}
    return [event.data for event in events]


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r{"b":2}\r', [b'{"a":1}', b'{"b":2}']),
        (b'\n\r\n{"a":1}\n \t\n\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b' {"a":1}\t\n', [b'{"a":1}']),
        (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\n{"b":', [b'{"a":1}', b'{"b":']),
        ('"\u2028\u2029\x85\x0b\x0c\x1c"\n'.encode(), ['"\u2028\u2029\x85\x0b\x0c\x1c"'.encode()]),
        (b"", []),
        (b"\n", []),
    ],
)
def test_lines(body: bytes, lines: list[bytes]) -> None:
    assert decode(body) == lines


def test_a_line_is_given_as_soon_as_it_ends() -> None:
    """Not only when the LF of a CRLF came too: that may be a second later."""
    assert list(NDJSONDecoder().feed(b"{}\r")) == [WireEvent("message", b"{}")]


@pytest.mark.parametrize("body", [b"1234567\n", b"1234567", b" " * 7])
def test_an_endless_line_is_refused(body: bytes) -> None:
    assert decode(b"123456\n", b"123", b"456\n", limit=6) == [b"123456", b"123456"]
    decoder = NDJSONDecoder(6)
    assert list(decoder.feed(b"123456\n")) == [WireEvent("message", b"123456")]
    with pytest.raises(EventTooLong, match="6 bytes"):
        list(decoder.feed(body))


BODIES = st.lists(
    st.sampled_from(["{}", '"é\u2028"', "\n", "\r", "\r\n", " ", "x" * 20]) | st.text(max_size=3), max_size=30
).map(lambda pieces: "".join(pieces).encode("utf-8", "surrogatepass"))


@given(BODIES, st.lists(st.integers(0, 300), max_size=30))
def test_any_chunking_gives_the_same_lines(body: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    assert decode(*(body[start:end] for start, end in pairwise(places))) == decode(body)
