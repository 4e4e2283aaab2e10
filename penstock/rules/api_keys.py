"""API keys of our own making: their form, what they may do, and what is kept of them.

A key is a prefix, by which secret scanners and people know it, and 256 random bits. So many bits cannot be guessed,
and a slow hash would only cost time. What is kept is an HMAC under a pepper (ADR 0017), so neither who reads the
database nor who writes to it has a key.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from typing import get_args

from penstock.configuration import Scope

PREFIX = "sk-penstock-"
#: `read`: GET; `write`: every other method; `admin`: the same on the operator's routes
SCOPES: tuple[Scope, ...] = get_args(Scope)

_RANDOM_BYTES = 32
_FORM = re.compile(PREFIX + r"[A-Za-z0-9_-]{43}")


def new_key() -> str:
    """A key that nobody has yet."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def well_formed(key: str) -> bool:
    """Whether `new_key` could have made it: what it could not need not be looked up."""
    return _FORM.fullmatch(key) is not None


def pepper(secret_key: str) -> bytes:
    """The pepper that follows from a key of the installation; another use of that key says nothing about it."""
    return hmac.digest(secret_key.encode(), b"penstock api key pepper", hashlib.sha256)


def digest(key: str, pepper: bytes) -> bytes:
    """What is kept of a key: 32 bytes."""
    return hmac.digest(pepper, key.encode(), hashlib.sha256)


def hint(key: str) -> str:
    """What a key may be recognised by: its prefix and last four characters, 24 of its 256 bits."""
    return f"{PREFIX}…{key[-4:]}"


def scope_of(method: str) -> Scope:
    """The scope that a request with this HTTP method needs."""
    return "read" if method in ("GET", "HEAD") else "write"


def ordered(scopes: Iterable[str]) -> list[str]:
    """Scopes in the order of `SCOPES`, each once."""
    given = set(scopes)
    return [scope for scope in SCOPES if scope in given]
