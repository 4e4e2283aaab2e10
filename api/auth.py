"""Who is asking: an API key becomes a principal. Keys are compared as digests and never repeated to anybody."""

import secrets
import time
from dataclasses import dataclass

from fastapi import Request

from api.services import DEFAULT_TENANT, Services
from penstock.configuration import Scope
from penstock.errors import Forbidden, InvalidRequest, Unauthorized
from penstock.rules.api_keys import SCOPES, digest, pepper, scope_of, well_formed
from penstock.store import api_keys

#: seconds a good key is remembered, and so the longest a revoked one still works
_REMEMBER_SECONDS = 5.0
_REMEMBER_KEYS = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """The tenant on whose behalf a request is made, what the key may do, and where its data must stay."""

    tenant_id: str
    tier: str
    scopes: frozenset[str]
    residency: str | None = None

    def require(self, scope: Scope) -> None:
        """See that the key has a scope.

        Raises:
            Forbidden: it has not. The code is that of RFC 6750 §3.1.
        """
        if scope not in self.scopes:
            raise Forbidden(f"This API key does not have the scope '{scope}'.", code="insufficient_scope")


class Keys:
    """Knows the static keys, and asks the database for the others."""

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._peppers = [pepper(key.get_secret_value()) for key in settings.secret_keys]
        # what is only remembered here has a pepper that only this process knows
        self._own = secrets.token_bytes(32)
        self._static = {
            digest(row.key.get_secret_value(), self._own): Principal(row.tenant, row.tier, row.scopes, row.residency)
            for row in settings.config.keys
        }
        if settings.admin_key is not None:
            operator = Principal(DEFAULT_TENANT, "unlimited", frozenset(SCOPES))
            self._static[digest(settings.admin_key.get_secret_value(), self._own)] = operator
        self._remembered: dict[bytes, tuple[float, Principal]] = {}

    async def principal(self, key: str) -> Principal:
        """The principal of a key.

        Raises:
            Unauthorized: the key is not good.
        """
        ours = digest(key, self._own)
        static = self._static.get(ours)
        if static is not None:
            return static
        known = self._remembered.get(ours)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        principal = await self._find(key)
        if len(self._remembered) >= _REMEMBER_KEYS:
            self._remembered.clear()
        self._remembered[ours] = (time.monotonic() + _REMEMBER_SECONDS, principal)
        return principal

    def digest(self, key: str) -> bytes:
        """What is to be kept of a new key.

        Raises:
            InvalidRequest: this installation has no secret key.
        """
        if not self._peppers:
            message = "Keys cannot be made here: the operator has not set PENSTOCK_SECRET_KEY."
            raise InvalidRequest(message, code="no_secret_key")
        return digest(key, self._peppers[0])

    async def _find(self, key: str) -> Principal:
        digests = [digest(key, one) for one in self._peppers] if well_formed(key) else []
        database = self._services.database
        found = await api_keys.find(database, digests) if digests else None
        if found is None:
            raise Unauthorized("Incorrect API key provided.")
        if found.digest != digests[0]:
            # made under a secret key that is on its way out
            await api_keys.keep_as(database, found.id, digests[0])
        return Principal(found.tenant_id, found.tier, frozenset(found.scopes), found.residency)


async def authenticate(request: Request) -> Principal:
    """The principal of a request, from `Authorization: Bearer` or `x-api-key`.

    Its key has the scope that the request's method needs, so that no route can forget to ask.

    Raises:
        Unauthorized: there is no key, or it is not good.
        Forbidden: the key lacks the scope.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        key = request.headers.get("x-api-key", "")
    if not key.strip():
        raise Unauthorized("You did not provide an API key. Send it as `Authorization: Bearer KEY`.")
    keys: Keys = request.app.state.keys
    principal = await keys.principal(key.strip())
    principal.require(scope_of(request.method))
    return principal


async def authenticate_admin(request: Request) -> Principal:
    """As `authenticate`, for the operator's routes.

    Raises:
        Unauthorized: see `authenticate`.
        Forbidden: the key is good, but lacks the scope `admin` or the one of the method.
    """
    principal = await authenticate(request)
    principal.require("admin")
    return principal
