"""Who is asking: an API key becomes a principal. Keys are compared as hashes and never repeated to anybody."""

import hmac
import time
from dataclasses import dataclass

from fastapi import Request

from api.services import DEFAULT_TENANT, Services
from penstock.errors import Forbidden, Unauthorized
from penstock.store import tenants

#: seconds a good key is remembered, and so the longest a revoked one still works
_REMEMBER_SECONDS = 5.0
_REMEMBER_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """The tenant on whose behalf a request is made. An admin may do everything."""

    tenant_id: str
    tier: str
    admin: bool = False


class Keys:
    """Knows the static keys, and asks the database for the others."""

    def __init__(self, services: Services) -> None:
        self._services = services
        admin_key = services.settings.admin_key
        self._admin = tenants.key_hash(admin_key.get_secret_value()) if admin_key else None
        self._static = {
            tenants.key_hash(row.key.get_secret_value()): Principal(row.tenant, row.tier)
            for row in services.settings.config.keys
        }
        self._remembered: dict[bytes, tuple[float, Principal]] = {}

    async def principal(self, key: str) -> Principal:
        """The principal of a key.

        Raises:
            Unauthorized: the key is not good.
        """
        digest = tenants.key_hash(key)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            return Principal(DEFAULT_TENANT, "unlimited", admin=True)
        static = self._static.get(digest)
        if static is not None:
            return static
        known = self._remembered.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        found = await tenants.find_key(self._services.database, key)
        if found is None:
            raise Unauthorized("Incorrect API key provided.")
        if len(self._remembered) >= _REMEMBER_KEYS:
            self._remembered.clear()
        principal = Principal(*found)
        self._remembered[digest] = (time.monotonic() + _REMEMBER_SECONDS, principal)
        return principal


async def authenticate(request: Request) -> Principal:
    """The principal of a request, from `Authorization: Bearer` or `x-api-key`.

    Raises:
        Unauthorized: there is no key, or it is not good.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        key = request.headers.get("x-api-key", "")
    if not key.strip():
        raise Unauthorized("You did not provide an API key. Send it as `Authorization: Bearer KEY`.")
    keys: Keys = request.app.state.keys
    return await keys.principal(key.strip())


async def authenticate_admin(request: Request) -> Principal:
    """As `authenticate`, for the admin key only.

    Raises:
        Unauthorized: see `authenticate`.
        Forbidden: the key is good, but not the admin key.
    """
    principal = await authenticate(request)
    if not principal.admin:
        raise Forbidden("This needs the admin key.")
    return principal
