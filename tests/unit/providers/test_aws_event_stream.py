"""The binary event stream: messages that AWS published with its SDKs' tests, and what becomes of damaged ones."""

import json
import zlib
from itertools import pairwise
from typing import Any

import pytest
from conformance.wires.bedrock import event, exception, message
from hypothesis import given
from hypothesis import strategies as st

from penstock.providers.aws_event_stream import EventStreamDecoder, read_headers
from penstock.providers.failures import ErrorFrame
from penstock.providers.framing import EventTooLong, WireEvent

INITIAL = (
    b"\x00\x00\x00~\x00\x00\x00O\xc5\xa3\xdd\xc6\r:message-type\x07\x00\x05event\x0b:event-type\x07\x00\x10initial-response"
    b'\r:content-type\x07\x00\ttext/json{"InitialResponse": "sometext"}\xf6\x98$\x83'
)
ERROR = (
    b"\x00\x00\x00\x52\x00\x00\x00\x42\xbf\x23\x63\x7e\x0d:message-type\x07\x00\x05error\x0b:error-code\x07\x00\x04code"
    b"\x0e:error-message\x07\x00\x07message\x6b\x6c\xea\x3d"
)
EVERY_HEADER = (
    b"\x010\x00\x011\x01\x012\x02\x02\x013\x03\x00\x03\x014\x04\x00\x00\x00\x04\x015\x05\x00\x00\x00\x00\x00\x00\x00\x05"
    b"\x016\x06\x00\x05bytes\x017\x07\x00\x04utf8\x018\x08\x00\x00\x00\x00\x00\x00\x00\x08\x019\x090123456789abcdef"
)
#: a prelude and a message without headers, of which only the checksums are of interest here
EMPTY = b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff"
PAYLOAD_ONLY = b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96"

STREAM = event("a", text="é 世界 👩‍👩‍👧") + event("b") + event("c", text="x" * 300)


def decoded(*chunks: bytes, **options: Any) -> list[WireEvent]:
    decoder = EventStreamDecoder(**options)
    events = [read for chunk in chunks for read in decoder.feed(chunk)]
    assert decoder.finish() is None
    return events


def test_a_published_event() -> None:
    assert decoded(INITIAL) == [WireEvent("initial-response", b'{"InitialResponse": "sometext"}')]


def test_a_published_error() -> None:
    with pytest.raises(ErrorFrame) as caught:
        decoded(ERROR)
    assert (caught.value.error.type, caught.value.error.message) == ("code", "message")


def test_every_type_of_header() -> None:
    assert read_headers(EVERY_HEADER) == {
        "0": True,
        "1": False,
        "2": 2,
        "3": 3,
        "4": 4,
        "5": 5,
        "6": b"bytes",
        "7": "utf8",
        "8": 8,
        "9": b"0123456789abcdef",
    }
    assert read_headers(b"\x04byte\x02\xff\x05short\x03\xff\xff") == {"byte": -1, "short": -1}


@pytest.mark.parametrize("published", [EMPTY, PAYLOAD_ONLY])
def test_a_message_that_is_whole_but_says_nothing(published: bytes) -> None:
    """Its checksums are right, so what is wrong is that it has no type."""
    with pytest.raises(ValueError, match="unknown type None"):
        decoded(published)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    """Inside a character, inside a length, inside a checksum."""
    edges = [0, *sorted(cuts), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert [read.name for read in decoded(*chunks)] == ["a", "b", "c"]
    assert decoded(*chunks) == decoded(STREAM)


@given(at=st.integers(0, len(INITIAL) - 1), flipped=st.integers(1, 255))
def test_a_damaged_byte_is_noticed(at: int, flipped: int) -> None:
    damaged = bytearray(INITIAL)
    damaged[at] ^= flipped
    with pytest.raises(ValueError, match="checksum"):
        decoded(bytes(damaged))


def test_events_before_a_damaged_one_are_given() -> None:
    decoder = EventStreamDecoder()
    damaged = event("b")[:-1] + b"\x00"
    events = decoder.feed(event("a") + damaged)
    assert next(events).name == "a"
    with pytest.raises(ValueError, match="checksum of a message"):
        next(events)


@pytest.mark.parametrize("cut", [1, 11, 12, 40, len(INITIAL) - 1])
def test_an_end_inside_a_message(cut: int) -> None:
    decoder = EventStreamDecoder()
    assert list(decoder.feed(INITIAL[:cut])) == []
    with pytest.raises(ValueError, match="inside a message"):
        decoder.finish()


def test_other_framings_are_refused_at_once() -> None:
    """A length read out of text would have the decoder wait for a gigabyte."""
    with pytest.raises(ValueError, match="prelude"):
        decoded(b'data: {"type": "ping"}\n\n')


def test_a_message_that_is_too_long() -> None:
    decoder = EventStreamDecoder(max_message_bytes=200)
    events = decoder.feed(event("a") + event("b", text="x" * 300)[:20])
    assert next(events).name == "a"
    with pytest.raises(EventTooLong, match="200"):
        next(events)


def test_headers_longer_than_their_message() -> None:
    lengths = b"\x00\x00\x00\x10\x00\x00\x00\x01"
    with pytest.raises(ValueError, match="shorter than its headers"):
        decoded(lengths + checksum(lengths) + b"\x00" * 4)


@pytest.mark.parametrize("headers", [b"\x05ab", b"\x01a", b"\x01a\x04\x00", b"\x01a\x07\x00\x09x", b"\x01a\x0a"])
def test_damaged_headers(headers: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        read_headers(headers)


def test_an_exception_ends_the_stream_after_what_came_before() -> None:
    decoder = EventStreamDecoder()
    events = decoder.feed(event("a") + exception("throttlingException", "slow down") + event("b"))
    assert next(events).name == "a"
    with pytest.raises(ErrorFrame) as caught:
        next(events)
    assert (caught.value.error.type, caught.value.error.message) == ("throttlingException", "slow down")


@pytest.mark.parametrize("payload", [b"", b"[]", b"<html>", json.dumps({"message": 3}).encode()])
def test_an_exception_without_words_is_one_all_the_same(payload: bytes) -> None:
    told = message({":message-type": "exception", ":exception-type": "internalServerException"}, payload)
    with pytest.raises(ErrorFrame) as caught:
        decoded(told)
    assert (caught.value.error.type, caught.value.error.message) == ("internalServerException", None)


def test_an_unknown_type_of_message() -> None:
    with pytest.raises(ValueError, match="'rumour'"):
        decoded(message({":message-type": "rumour"}, b""))
    with pytest.raises(LookupError):
        decoded(message({":message-type": "event"}, b""))


def checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4)
