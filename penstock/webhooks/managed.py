"""Tenants' own receivers: their endpoints and secrets, and the callback address of a single object."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from penstock.configuration import WebhooksConfig
from penstock.errors import InvalidRequest, NotFound
from penstock.ids import new_id
from penstock.store import tenants, webhook_endpoints, webhook_leases
from penstock.store.database import Database
from penstock.store.webhook_endpoints import MAX_PER_TENANT, WebhookEndpoint
from penstock.webhooks.addresses import check_host, checked_url
from penstock.webhooks.endpoints import ALL_EVENT_TYPES
from penstock.webhooks.secrets import SecretKeys, hint, shown

#: how long an old secret signs beside the new one, where it is asked for
KEEP_OLD_SECONDS = 24 * 3600.0
DISABLED_BY_TENANT = "by the tenant"
_END_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class CallbackSecret:
    """What signs a tenant's callbacks; `previous_until`: until when the one before signs too."""

    secret: str
    hint: str
    previous_until: datetime | None


class ManagedWebhooks:
    """What the API does with tenants' receivers."""

    def __init__(self, database: Database, config: WebhooksConfig, keys: SecretKeys) -> None:
        self._database = database
        self._config = config
        self._keys = keys
        #: tenants that are known to have a callback secret: it is asked once a process, not once a job
        self._with_secret: set[str] = set()

    async def create(
        self, tenant_id: str, *, name: str, description: str | None, url: str, event_types: Sequence[str]
    ) -> tuple[WebhookEndpoint, str]:
        """A new endpoint and its secret, which is shown here only.

        Raises:
            NotFound: this installation has no secret key, and so no such endpoints.
            InvalidRequest: the address may not be sent to, an event type is unknown, or there are too many endpoints.
        """
        self._require_keys()
        address = await self._address(url, "url")
        reference, endpoint_id = self._keys.new_reference(), new_id()
        endpoint = await webhook_endpoints.insert(
            self._database,
            endpoint_id,
            tenant_id=tenant_id,
            name=name,
            description=description,
            url=address,
            event_types=_known(event_types),
            secret=reference,
        )
        if endpoint is None:
            raise InvalidRequest(f"There are {MAX_PER_TENANT} webhook endpoints already, which is the limit.")
        return endpoint, self._shown(endpoint)

    async def find(self, tenant_id: str, public: str, endpoint_id: UUID) -> WebhookEndpoint:
        """One endpoint of a tenant.

        Raises:
            NotFound: the tenant has none such.
        """
        endpoint = await webhook_endpoints.get(self._database, tenant_id, endpoint_id)
        return _found(endpoint, public)

    async def update(
        self,
        endpoint: WebhookEndpoint,
        *,
        name: str | None = None,
        description: str | None = None,
        url: str | None = None,
        event_types: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> WebhookEndpoint:
        """Change what is given. Disabling ends the deliveries that wait; enabling begins with a clean record.

        Raises:
            InvalidRequest: see `create`.
            NotFound: it was deleted meanwhile.
        """
        changed = await webhook_endpoints.update(
            self._database,
            endpoint.tenant_id,
            endpoint.id,
            name=name,
            description=description,
            url=await self._address(url, "url") if url is not None else None,
            event_types=_known(event_types) if event_types is not None else None,
            enabled=enabled,
            disabled_reason=DISABLED_BY_TENANT if enabled is False else None,
        )
        if enabled is False:
            await self._end_waiting()
        return _found(changed, endpoint.public_id)

    async def rotate(self, endpoint: WebhookEndpoint, *, keep_old: bool) -> tuple[WebhookEndpoint, str]:
        """A new secret; the old one signs beside it for a day, or not at all.

        Raises:
            NotFound: it was deleted meanwhile, or there is no secret key.
        """
        self._require_keys()
        rotated = await webhook_endpoints.rotate(
            self._database,
            endpoint.tenant_id,
            endpoint.id,
            self._keys.new_reference(),
            keep_seconds=KEEP_OLD_SECONDS if keep_old else 0.0,
        )
        rotated = _found(rotated, endpoint.public_id)
        return rotated, self._shown(rotated)

    async def delete(self, tenant_id: str, public: str, endpoint_id: UUID) -> None:
        """Remove an endpoint; what waits for it ends.

        Raises:
            NotFound: the tenant has none such.
        """
        if not await webhook_endpoints.delete(self._database, tenant_id, endpoint_id):
            raise _no_endpoint(public)
        await self._end_waiting()

    def hint(self, endpoint: WebhookEndpoint) -> str | None:
        """What the secret may be recognised by; None when its key is not here any more."""
        secret = self._keys.derive(endpoint.public_id, endpoint.secret)
        return hint(secret) if secret is not None else None

    async def callback_secret(self, tenant_id: str) -> CallbackSecret:
        """The secret of a tenant's callbacks, made when it is first asked for.

        Raises:
            NotFound: there is no secret key, or the one that made this secret is gone: rotate it.
        """
        self._require_keys()
        row = await tenants.callback_secret(self._database, tenant_id, self._keys.new_reference())
        secret = self._keys.derive(callback_owner(tenant_id), row.secret)
        if secret is None:
            raise NotFound("The key that made this secret is no longer in PENSTOCK_SECRET_KEY; rotate the secret.")
        return CallbackSecret(shown(secret), hint(secret), row.previous_until)

    async def rotate_callback_secret(self, tenant_id: str, *, keep_old: bool) -> CallbackSecret:
        """As `rotate`, for the secret of a tenant's callbacks."""
        self._require_keys()
        keep = KEEP_OLD_SECONDS if keep_old else 0.0
        await tenants.rotate_callback_secret(self._database, tenant_id, self._keys.new_reference(), keep_seconds=keep)
        return await self.callback_secret(tenant_id)

    async def callback_url(self, tenant_id: str, value: object) -> str | None:
        """The `callback_url` of a request, checked; None when it has none.

        Raises:
            InvalidRequest: it cannot be called back, or this installation has no secret key to sign with.
        """
        if value is None:
            return None
        if not isinstance(value, str):
            message = "Invalid type for 'callback_url': expected a string."
            raise InvalidRequest(message, param="callback_url", code="invalid_type")
        if not self._keys.names:
            message = "'callback_url' is not offered here: the operator has not set PENSTOCK_SECRET_KEY."
            raise InvalidRequest(message, param="callback_url", code="unsupported_parameter")
        address = await self._address(value, "callback_url")
        if tenant_id not in self._with_secret:
            await tenants.callback_secret(self._database, tenant_id, self._keys.new_reference())
            self._with_secret.add(tenant_id)
        return address

    async def _address(self, url: str, param: str) -> str:
        address = checked_url(url, param)
        await check_host(address, self._config.allow_networks, param)
        return str(address)

    async def _end_waiting(self) -> None:
        """At once, as far as one statement reaches; the sweep does the rest."""
        await webhook_leases.end_waiting(self._database, _END_AT_ONCE)

    def _shown(self, endpoint: WebhookEndpoint) -> str:
        secret = self._keys.derive(endpoint.public_id, endpoint.secret)
        assert secret is not None  # made a moment ago, with our first key
        return shown(secret)

    def _require_keys(self) -> None:
        if not self._keys.names:
            raise NotFound("Webhook endpoints are not offered here: the operator has not set PENSTOCK_SECRET_KEY.")


def callback_owner(tenant_id: str) -> str:
    """Whose secret signs callbacks; no endpoint has such a name."""
    return f"callbacks of {tenant_id}"


def _known(event_types: Sequence[str]) -> list[str]:
    for event_type in event_types:
        if event_type not in ALL_EVENT_TYPES:
            known = ", ".join(sorted(ALL_EVENT_TYPES))
            raise InvalidRequest(
                f"Invalid value for 'event_types': there is no '{event_type[:64]}' (known: {known}).",
                param="event_types",
                code="invalid_value",
            )
    return list(dict.fromkeys(event_types))


def _found(endpoint: WebhookEndpoint | None, public: str) -> WebhookEndpoint:
    if endpoint is None:
        raise _no_endpoint(public)
    return endpoint


def _no_endpoint(public: str) -> NotFound:
    return NotFound(f"No webhook endpoint found with id '{public}'.")
