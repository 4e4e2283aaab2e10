"""AWS's binary event stream (`application/vnd.amazon.eventstream`) out of bytes.

A message is a prelude (its length, the length of its headers, and a checksum of these two), headers, a payload, and a
checksum of everything before it; numbers are big-endian, checksums CRC-32. After the Smithy specification "Amazon Event
Stream".
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from penstock.completion.encoding import loads
from penstock.providers.failures import ErrorFrame, VendorError
from penstock.providers.framing import EventTooLong, WireEvent
from penstock.providers.sse import MAX_EVENT_BYTES

STREAM_TYPE = "application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_SHORTEST = _PRELUDE.size + _CHECKSUM.size
#: header types that are numbers of a fixed form; 0 and 1 are the two truth values and have no bytes
_NUMBERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_BYTES, _STRING, _TIMESTAMP, _UUID = 6, 7, 8, 9
_UUID_BYTES = 16


class EventStreamDecoder:
    """A `Decoder`. An event's name is its `:event-type`, its data the payload.

    A message that tells of an exception or error is raised as an `ErrorFrame`, its kind as the vendor names it.
    """

    def __init__(self, max_message_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_message_bytes
        self._held = bytearray()
        self._lengths: tuple[int, int] | None = None  # of the message that has not ended yet

    def feed(self, chunk: bytes) -> Iterator[WireEvent]:
        """The events that end in this chunk. Exhaust it before the next call.

        Raises:
            ValueError: the bytes are no event stream, or damaged.
            EventTooLong: a message is longer than the decoder may hold; the ones before it have been given.
            ErrorFrame: the vendor says that the answer failed; likewise.
        """
        self._held += chunk
        while True:
            if self._lengths is None:
                if len(self._held) < _PRELUDE.size:
                    return
                self._lengths = self._read_prelude()
            total, header_bytes = self._lengths
            if len(self._held) < total:
                return
            message = bytes(memoryview(self._held)[:total])
            del self._held[:total]
            self._lengths = None
            yield _event(message, header_bytes)

    def finish(self) -> WireEvent | None:
        """Nothing is left open where a stream ends.

        Raises:
            ValueError: it ended inside a message.
        """
        if self._held:
            raise ValueError("it ended inside a message")
        return None

    def _read_prelude(self) -> tuple[int, int]:
        """Checked first: a wrong length would have the decoder wait for bytes that never come."""
        total, header_bytes, checksum = _PRELUDE.unpack_from(self._held)
        if zlib.crc32(memoryview(self._held)[: _PRELUDE.size - _CHECKSUM.size]) != checksum:
            raise ValueError("the checksum of a message's prelude is wrong")
        if header_bytes > total - _SHORTEST:
            raise ValueError("a message is shorter than its headers")
        if total > self._max:
            raise EventTooLong(f"an event is longer than {self._max} bytes")
        return total, header_bytes


def _event(message: bytes, header_bytes: int) -> WireEvent:
    (checksum,) = _CHECKSUM.unpack_from(message, len(message) - _CHECKSUM.size)
    if zlib.crc32(memoryview(message)[: -_CHECKSUM.size]) != checksum:
        raise ValueError("the checksum of a message is wrong")
    payload_at = _PRELUDE.size + header_bytes
    headers = read_headers(message[_PRELUDE.size : payload_at])
    payload = message[payload_at : -_CHECKSUM.size]
    match headers.get(":message-type"):
        case "event":
            return WireEvent(str(headers[":event-type"]), payload)
        case "exception":
            raise ErrorFrame(VendorError.of(_said(payload) | {"type": headers.get(":exception-type")}))
        case "error":
            told = {"message": headers.get(":error-message"), "type": headers.get(":error-code")}
            raise ErrorFrame(VendorError.of(told))
        case unknown:
            raise ValueError(f"a message is of the unknown type {unknown!r}")


def _said(payload: bytes) -> dict[str, Any]:
    """The message of an exception; what is not the JSON object it should be still is an exception."""
    try:
        value = loads(payload)
    except ValueError:
        return {}
    return {"message": value.get("message")} if isinstance(value, dict) else {}


def read_headers(data: bytes) -> dict[str, Any]:
    """The headers of a message: each a name, a type and a value. A timestamp is milliseconds since the epoch.

    Raises:
        ValueError: they are damaged, or of an unknown type.
    """
    headers: dict[str, Any] = {}
    at = 0
    try:
        while at < len(data):
            name_ends = at + 1 + data[at]
            name, kind = data[at + 1 : name_ends].decode(), data[name_ends]
            headers[name], at = _header_value(data, name_ends + 1, kind)
    except (IndexError, struct.error) as error:
        raise ValueError("the headers of a message are cut") from error
    if at > len(data):
        raise ValueError("the headers of a message are cut")
    return headers


def _header_value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """One value, and where it ends."""
    if kind in {0, 1}:
        return kind == 0, at
    if kind in _NUMBERS:
        return _NUMBERS[kind].unpack_from(data, at)[0], at + _NUMBERS[kind].size
    if kind == _TIMESTAMP:
        return _NUMBERS[5].unpack_from(data, at)[0], at + _NUMBERS[5].size
    if kind == _UUID:
        return data[at : at + _UUID_BYTES], at + _UUID_BYTES
    if kind in {_BYTES, _STRING}:
        start = at + _LENGTH.size
        end = start + _LENGTH.unpack_from(data, at)[0]
        value = data[start:end]
        return value.decode() if kind == _STRING else value, end
    raise ValueError(f"a header of a message has the unknown type {kind}")
