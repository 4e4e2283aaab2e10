"""`Idempotency-Key` (contract §15): a request that is sent again with the same key makes nothing new.

A route that makes an object asks for the `key_of` its request first. With a key it answers from what `made_before`
finds, and gives the key on to the transaction that makes the object. That raises `Repeated` where another request with
the key was quicker: the answer is then the object it names. Without the header every request is new.
"""

import hashlib
import json
from typing import Any
from uuid import UUID

from fastapi import Request

from api.auth import Principal
from api.services import Services
from penstock.errors import InvalidRequest
from penstock.store import idempotency
from penstock.store.idempotency import IdempotencyKey

_HEADER = "idempotency-key"
_LONGEST = 255


def has_key(request: Request) -> bool:
    """Whether a request brought a key."""
    return bool(request.headers.get(_HEADER, "").strip())


def key_of(
    request: Request, principal: Principal, route: str, body: Any, content: bytes = b""
) -> IdempotencyKey | None:
    """The key of a request to `route`, None where it has none.

    Two bodies are the same when they are equal as JSON; `content` is a digest of what came beside it.

    Raises:
        InvalidRequest: the key is too long, or not printable ASCII.
    """
    if not has_key(request):
        return None
    key = request.headers[_HEADER].strip()
    if len(key) > _LONGEST or not key.isascii() or not key.isprintable():
        message = f"The Idempotency-Key must be at most {_LONGEST} printable ASCII characters."
        raise InvalidRequest(message, param="Idempotency-Key", code="invalid_value")
    said = json.dumps(body, sort_keys=True).encode("ascii")
    return IdempotencyKey(principal.tenant_id, route, key, hashlib.sha256(said + content).digest())


async def made_before(services: Services, key: IdempotencyKey | None) -> UUID | None:
    """The object that an earlier request with this key has made.

    Raises:
        Conflict: that was a request with another body.
    """
    return None if key is None else await idempotency.find(services.database, key)
