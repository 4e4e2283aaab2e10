"""Messages of AWS's binary event stream, and the events that Bedrock sends in them."""

from collections.abc import Mapping
from string import ascii_letters
from zlib import crc32

import orjson

MEDIA_TYPE = "application/vnd.amazon.eventstream"

_STRING = b"\x07"
_LONGEST_PADDING = 40


def event(name: str, fields: Mapping[str, object]) -> bytes:
    """One event. It is padded, as the vendor's are, so that its length does not tell what is in it."""
    padding = ascii_letters[: 1 + len(orjson.dumps(dict(fields))) * 7 % _LONGEST_PADDING]
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, orjson.dumps({**fields, "p": padding}))


def exception(name: str, fields: Mapping[str, object]) -> bytes:
    """The end of a stream that failed."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, orjson.dumps(dict(fields)))


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Lengths and their checksum, headers, payload, and the checksum of all."""
    lines = bytearray()
    for name, value in headers.items():
        lines += bytes([len(name)]) + name.encode() + _STRING + len(value).to_bytes(2) + value.encode()
    lengths = (len(lines) + len(payload) + 16).to_bytes(4) + len(lines).to_bytes(4)
    begun = lengths + crc32(lengths).to_bytes(4) + bytes(lines) + payload
    return begun + crc32(begun).to_bytes(4)
