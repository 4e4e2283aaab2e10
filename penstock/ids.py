"""Identifiers: UUIDs of version 7, shown with a prefix that says what they name.

Version 7 sorts by time of creation (RFC 9562), so an id is also an age.
"""

import os
import re
import time
import uuid
from collections.abc import Iterator

from penstock.errors import NotFound

_DIGITS = re.compile("[0-9a-f]{32}")


def new_id() -> uuid.UUID:
    """One new id."""
    return next(new_ids(1))


def new_ids(count: int) -> Iterator[uuid.UUID]:
    """`count` ids in ascending order, even within one millisecond.

    The 12 bits after the time and the first 20 random bits count upwards from a random start.
    """
    now = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    start = random & 0x7FF_FFFFF
    tail = random >> 32
    for offset in range(count):
        counter = start + offset
        value = now << 80 | 7 << 76 | (counter >> 20 & 0xFFF) << 64 | 2 << 62
        value |= (counter & 0xFFFFF) << 42 | (tail ^ offset * 0x9E3779B97F4A7C15) & (1 << 42) - 1
        yield uuid.UUID(int=value)


def public_id(prefix: str, value: uuid.UUID) -> str:
    """`resp_` and 0190… make `resp_0190…` (32 hexadecimal digits)."""
    return prefix + value.hex


def parse_id(prefix: str, text: str, noun: str) -> uuid.UUID:
    """The inverse of `public_id`.

    Raises:
        NotFound: the text is not such an id, and so names nothing.
    """
    digits = text.removeprefix(prefix)
    if text.startswith(prefix) and _DIGITS.fullmatch(digits):
        return uuid.UUID(hex=digits)
    raise NotFound(f"No {noun} found with id '{text}'.")
