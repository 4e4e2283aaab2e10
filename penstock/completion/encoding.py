"""JSON bodies as bytes: ASCII only, compressed when long.

Stored bodies are bytes, never `jsonb`: one NUL or lone surrogate makes jsonb refuse a whole statement. ASCII keeps
result files safe for clients that cut lines at U+2028 and its kin.
"""

import json
import zlib
from typing import Any, NoReturn

import orjson

#: below this many bytes compression costs more than it saves
COMPRESS_FROM = 1024
#: Python's own encoder and everything recursive gives up near a thousand frames, wherever that may be
MAX_DEPTH = 256
_ZLIB_FIRST_BYTE = 0x78


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def loads(data: bytes | str) -> Any:
    """Parse JSON text.

    orjson first; what it refuses but JSON's grammar allows (lone surrogates, integers over 64 bits) goes to the
    standard library.

    Raises:
        ValueError: the text is not JSON or not UTF-8.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            # given bytes, json would guess at UTF-16 too
            text = data if isinstance(data, str) else data.decode("utf-8")
            return json.loads(text, parse_constant=_no_constant)
        except RecursionError as error:
            raise ValueError("the JSON is nested too deeply") from error


def check_depth(value: Any) -> None:
    """See that a value read from JSON can be handled by everything that walks it.

    Raises:
        ValueError: objects and arrays stand more than `MAX_DEPTH` deep in one another.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"the JSON is nested more than {MAX_DEPTH} levels deep")


def loads_input(data: bytes) -> Any:
    """As `loads`, for what comes from a client: nesting that could be read but not written again is refused.

    Raises:
        ValueError: the text is not JSON or not UTF-8, or is nested more than `MAX_DEPTH` deep.
    """
    value = loads(data)
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        check_depth(value)
    return value


def dumps(value: Any) -> bytes:
    """Compact ASCII JSON.

    Raises:
        ValueError: a number that JSON does not know (NaN, infinity).
    """
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii")


def pack(body: bytes) -> bytes:
    """The stored form of a JSON body: as it is when short, zlib when long."""
    return zlib.compress(body, 1) if len(body) >= COMPRESS_FROM else body


def unpack(stored: bytes | memoryview) -> bytes:
    """The inverse of `pack`; told apart by the first byte, which no JSON text shares with zlib."""
    data = bytes(stored)
    return zlib.decompress(data) if data[:1] == bytes([_ZLIB_FIRST_BYTE]) else data
