"""Tenants' receivers from the deliverer's side: who may be sent to now, how it is signed, and how each one fares."""

from collections import Counter
from collections.abc import Sequence

import httpx
import structlog

from penstock.configuration import WebhooksConfig
from penstock.http import make_client
from penstock.ids import parse_id
from penstock.store import webhook_endpoints, webhook_leases
from penstock.store.database import Database
from penstock.store.webhook_endpoints import PREFIX
from penstock.store.webhook_leases import ManagedDelivery, Slots
from penstock.webhooks.addresses import refusal
from penstock.webhooks.endpoints import Endpoint
from penstock.webhooks.managed import callback_owner
from penstock.webhooks.secrets import SecretKeys

#: attempts under way to tenants' receivers: in all, to one receiver, to all receivers of one tenant
SLOTS = 256
SLOTS_PER_ENDPOINT = 8
SLOTS_PER_TENANT = 64
#: an endpoint is not disabled for the first failures of a delivery, however long ago the last success was
DISABLE_FROM_TRIES = 3
GONE = 410

_log = structlog.get_logger(__name__)


def receivers_client(config: WebhooksConfig) -> httpx.AsyncClient:
    """The client for addresses that tenants chose: it connects to none that may not be sent to."""
    return make_client(
        config.timeout, connections=SLOTS, refusal=lambda address: refusal(address, config.allow_networks)
    )


class ManagedReceivers:
    """Leases deliveries to tenants' receivers. One for each deliverer: it counts that one's attempts under way."""

    def __init__(self, database: Database, config: WebhooksConfig, client: httpx.AsyncClient, keys: SecretKeys) -> None:
        self.client = client
        self._database = database
        self._disable_after = config.disable_after
        self._keys = keys
        self._busy: Counter[str] = Counter()
        self._busy_tenants: Counter[str] = Counter()

    async def lease(self, lease_seconds: float) -> list[tuple[ManagedDelivery, Endpoint]]:
        """Deliveries that are due and have a slot, each with where it goes; `done` gives the slot back.

        Raises:
            Unavailable: the database cannot be reached.
        """
        free = SLOTS - self._busy.total()
        if free <= 0 or not self._keys.names:
            return []
        slots = Slots(free, SLOTS_PER_ENDPOINT, SLOTS_PER_TENANT, self._busy, self._busy_tenants)
        leased = await webhook_leases.lease(self._database, slots, self._keys.names, lease_seconds=lease_seconds)
        for delivery in leased:
            self._busy[delivery.endpoint] += 1
            self._busy_tenants[delivery.tenant_id] += 1
        return [(delivery, self._endpoint(delivery)) for delivery in leased]

    def done(self, delivery: ManagedDelivery) -> None:
        """An attempt is over."""
        for counter, key in ((self._busy, delivery.endpoint), (self._busy_tenants, delivery.tenant_id)):
            counter[key] -= 1
            if counter[key] <= 0:
                del counter[key]

    async def note(self, delivery: ManagedDelivery, *, delivered: bool, status: int | None) -> None:
        """Keep an endpoint's record, and disable one that is gone or has taken nothing for long.

        Raises:
            Unavailable: the database cannot be reached.
        """
        if not delivery.endpoint.startswith(PREFIX) or (delivered and not delivery.failing):
            return
        endpoint_id = parse_id(PREFIX, delivery.endpoint, "webhook endpoint")
        if delivered:
            await webhook_endpoints.note_success(self._database, endpoint_id)
            return
        if delivery.test:
            return
        after: float | None = None
        reason = f"nothing was taken for {_days(self._disable_after)}"
        if status == GONE:
            after, reason = 0.0, "the receiver answered 410 Gone"
        elif delivery.tries >= DISABLE_FROM_TRIES:
            after = self._disable_after
        if await webhook_endpoints.note_failure(self._database, endpoint_id, after_seconds=after, reason=reason):
            _log.warning("webhook_endpoint_disabled", endpoint=delivery.endpoint, reason=reason)
            await self.end_waiting()

    async def end_waiting(self) -> None:
        """End deliveries that wait for an endpoint which is disabled or gone, some at a time.

        Raises:
            Unavailable: the database cannot be reached.
        """
        ended = await webhook_leases.end_waiting(self._database, 1000)
        if ended:
            _log.info("webhooks_of_closed_endpoints_ended", deliveries=ended)

    async def tell_unsigned(self) -> None:
        """Say so when there are endpoints that cannot be signed for here.

        Raises:
            Unavailable: the database cannot be reached.
        """
        endpoints = await webhook_leases.unsigned(self._database, self._keys.names)
        if endpoints:
            _log.error("webhooks_wait_for_a_secret_key", endpoints=endpoints, variable="PENSTOCK_SECRET_KEY")

    def _endpoint(self, delivery: ManagedDelivery) -> Endpoint:
        managed = delivery.endpoint.startswith(PREFIX)
        owner = delivery.endpoint if managed else callback_owner(delivery.tenant_id)
        url = httpx.URL(delivery.url)
        return Endpoint(
            id=delivery.endpoint,
            url=delivery.url,
            origin=f"{url.scheme}://{url.netloc.decode()}",
            keys=self._secrets(owner, (delivery.secret, delivery.previous_secret)),
            tenant=delivery.tenant_id,
        )

    def _secrets(self, owner: str, references: Sequence[str | None]) -> tuple[bytes, ...]:
        found = (self._keys.derive(owner, reference) for reference in references if reference is not None)
        return tuple(secret for secret in found if secret is not None)


def _days(seconds: float) -> str:
    return f"{seconds / 86400:g} days" if seconds >= 86400 else f"{seconds:g} seconds"
