"""Sends what the outbox holds: at least once, the same id and body at every attempt.

A delivery is leased in a committed statement before it is sent, and only when its endpoint has a free slot, so a lease
never runs while the delivery waits. Every endpoint has slots of its own: a receiver that is slow or dead fills its own
and delays nobody else. Tenants' receivers have slots apart from the operator's, shared out by receiver and by tenant.
A process that dies between sending and recording leaves a lease that runs out, and the event is sent again. Order is
not promised.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import httpx
import structlog

from penstock import tasks
from penstock.configuration import WebhooksConfig
from penstock.errors import Unavailable
from penstock.http import AddressRefused
from penstock.store import webhooks as outbox
from penstock.store.database import Database
from penstock.store.webhook_leases import ManagedDelivery
from penstock.store.webhooks import Delivery
from penstock.webhooks import signature
from penstock.webhooks.endpoints import Endpoint, static_endpoints
from penstock.webhooks.receivers import ManagedReceivers
from penstock.webhooks.schedule import retry_delay

#: attempts under way, in all and to one endpoint
SLOTS = 128
SLOTS_PER_ENDPOINT = 16
#: events fanned out in one statement
FAN_OUT_LIMIT = 500
#: rings may be lost, and retries come due without one
POLL_SECONDS = 1.0
#: a lease outlives its attempt by this much, for the recording
LEASE_MARGIN_SECONDS = 30.0
#: waits before an outcome is recorded again, when the database is away; all within the margin
RECORD_PAUSES = (0.2, 1.0, 3.0, 6.0)
#: at a stop, how long attempts under way may take; what is left is sent again when its lease runs out
DRAIN_SECONDS = 5.0
#: how long nobody must have taken a delivery to an endpoint we do not know, and how often that is looked at
UNKNOWN_OVERDUE_SECONDS = 600.0
UNKNOWN_EVERY_SECONDS = 60.0
#: an answer is read this far, so that its connection can be used again
_ANSWER_BYTES = 65_536
_ERROR_CHARACTERS = 200

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt: the status answered, or None and the error; `final` when no retry would help."""

    status: int | None
    error: str | None
    final: bool = False

    @property
    def delivered(self) -> bool:
        """Whether the receiver took the event."""
        return self.status is not None and 200 <= self.status < 300


class Deliverer:
    """Delivers the outbox to the endpoints of the configuration, and with `managed` to those of tenants.

    Several may run at once, in any processes.

    Raises:
        ConfigError: an endpoint cannot be used.
    """

    def __init__(
        self,
        database: Database,
        config: WebhooksConfig,
        client: httpx.AsyncClient,
        managed: ManagedReceivers | None = None,
    ) -> None:
        self._database = database
        self._client = client
        self._managed = managed
        self._schedule = config.retry_schedule
        self._timeout = config.timeout
        self._endpoints = {endpoint.id: endpoint for endpoint in static_endpoints(config)}
        self._subscriptions = [wish for endpoint in self._endpoints.values() for wish in endpoint.subscriptions()]
        # Shares of the whole, not first come first served: dead receivers together must not take every slot.
        self._share = max(1, min(SLOTS_PER_ENDPOINT, SLOTS // max(1, len(self._endpoints))))
        self._busy: Counter[str] = Counter()
        self._full: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._more = asyncio.Event()
        self._unknown_due = 0.0

    async def run_once(self) -> int:
        """Fan out, lease what is due and has a slot, send it, and wait for the outcomes.

        Returns:
            How many attempts were made.

        Raises:
            Unavailable: the database cannot be reached.
        """
        tasks = await self._start_due()
        await asyncio.gather(*tasks)
        return len(tasks)

    async def run(self, stop: asyncio.Event, ring: asyncio.Event | None = None) -> None:
        """Deliver until `stop` is set; `ring` says that there are new events, and is cleared here.

        Attempts under way at the stop get a few seconds to end.
        """
        try:
            while not stop.is_set():
                try:
                    await self._start_due()
                except Unavailable as error:
                    _log.warning("webhooks_wait_for_database", error=error.message)
                await self._pause(stop, ring)
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        finally:
            await tasks.end(*self._tasks)

    async def _start_due(self) -> list[asyncio.Task[None]]:
        await self._sweep()
        if await outbox.fan_out(self._database, self._subscriptions, limit=FAN_OUT_LIMIT) == FAN_OUT_LIMIT:
            self._more.set()
        lease_seconds = self._timeout + LEASE_MARGIN_SECONDS
        started = []
        free = {id_: self._share - self._busy[id_] for id_ in self._endpoints if self._busy[id_] < self._share}
        if free:
            leased = await outbox.lease_due(self._database, free, lease_seconds=lease_seconds)
            started += [self._start(delivery) for delivery in leased]
        if self._managed is not None:
            pairs = await self._managed.lease(lease_seconds)
            started += [self._start_managed(self._managed, delivery, endpoint) for delivery, endpoint in pairs]
        return started

    def _start(self, delivery: Delivery) -> asyncio.Task[None]:
        endpoint = self._endpoints[delivery.endpoint]
        self._busy[endpoint.id] += 1
        if self._busy[endpoint.id] == self._share:
            self._full.add(endpoint.id)
        return self._track(self._deliver(delivery, endpoint, self._client), lambda: self._give_slot(endpoint.id))

    def _give_slot(self, endpoint_id: str) -> None:
        self._busy[endpoint_id] -= 1
        if endpoint_id in self._full:
            # More may have been due than there were slots.
            self._full.discard(endpoint_id)
            self._more.set()

    def _start_managed(
        self, managed: ManagedReceivers, delivery: ManagedDelivery, endpoint: Endpoint
    ) -> asyncio.Task[None]:
        async def deliver() -> None:
            outcome = await self._deliver(delivery, endpoint, managed.client, once=delivery.test)
            try:
                await managed.note(delivery, delivered=outcome.delivered, status=outcome.status)
            except Unavailable as error:
                _log.warning("webhook_endpoint_not_noted", endpoint=endpoint.id, error=error.message)

        def done() -> None:
            managed.done(delivery)
            self._more.set()

        return self._track(deliver(), done)

    def _track(self, work: Coroutine[Any, Any, object], done: Callable[[], None]) -> asyncio.Task[None]:
        async def attempt() -> None:
            await work

        def ended(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            work.close()  # a task that is cancelled before it began leaves it untouched
            done()
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("webhook_delivery_broke", error=type(error).__name__)

        task = asyncio.create_task(attempt())
        self._tasks.add(task)
        task.add_done_callback(ended)
        return task

    async def _deliver(
        self, delivery: Delivery, endpoint: Endpoint, client: httpx.AsyncClient, *, once: bool = False
    ) -> Outcome:
        outcome = await self._post(delivery, endpoint, client)
        message_id = signature.webhook_id(delivery.event_id)
        log = _log.bind(webhook_id=message_id, endpoint=endpoint.id, origin=endpoint.origin, attempt=delivery.attempts)
        if outcome.delivered:
            status = outcome.status or 0
            await self._record(lambda: outbox.mark_delivered(self._database, delivery, status=status), log)
            log.debug("webhook_delivered", status=status)
            return outcome
        error = outcome.error or f"the receiver answered {outcome.status}"
        delay = retry_delay(self._schedule, delivery.tries, random.random())  # noqa: S311 - jitter, not a secret
        if delay is None or outcome.final or once:
            reason = error if outcome.final or once else f"gave up after {delivery.tries} attempts; the last: {error}"
            log.warning("webhook_given_up", status=outcome.status, error=error)
            await self._record(
                lambda: outbox.give_up(self._database, delivery, status=outcome.status, error=reason), log
            )
            return outcome
        log.info("webhook_failed", status=outcome.status, error=error, retry_in=round(delay, 1))
        await self._record(
            lambda: outbox.mark_retry(self._database, delivery, delay=delay, status=outcome.status, error=error), log
        )
        return outcome

    async def _post(self, delivery: Delivery, endpoint: Endpoint, client: httpx.AsyncClient) -> Outcome:
        """One attempt. The status counts as soon as it is there, whatever happens to the rest of the answer."""
        body = signature.payload(delivery.event_id, delivery.type, delivery.created_at, delivery.object_id)
        message_id = signature.webhook_id(delivery.event_id)
        headers = signature.headers(endpoint.keys, message_id, int(time.time()), body)
        status: int | None = None
        error: str | None = None
        try:
            async with (
                asyncio.timeout(self._timeout),
                client.stream(
                    "POST",
                    endpoint.url,
                    content=body,
                    headers=headers,
                    auth=endpoint.auth,
                    timeout=None,
                    follow_redirects=False,
                ) as response,
            ):
                status = response.status_code
                await _drain(response)
        except AddressRefused as refused:
            return Outcome(None, f"{refused}, and webhooks go to public addresses only", final=True)
        except Exception as caught:  # noqa: BLE001 - whatever a receiver provokes in the client is a failed attempt
            error = None if status is not None else self._explain(caught)
        return Outcome(status, error)

    def _explain(self, error: Exception) -> str:
        """A class and a short text. Only the system's own words are kept: others may quote the answer."""
        if isinstance(error, TimeoutError):
            return f"Timeout: no answer within {self._timeout:g} s"
        # The cause says more: the transport's table calls a refused or dropped connection a ConnectTimeout.
        cause = error.__cause__ or error
        name = type(cause).__name__
        if isinstance(cause, OSError):
            words = "".join(c if c.isprintable() else " " for c in str(cause))
            return f"{name}: {words[:_ERROR_CHARACTERS]}"
        return f"{name}: the connection broke, or the answer was not HTTP"

    async def _record(self, mark: Callable[[], Awaitable[None]], log: structlog.typing.FilteringBoundLogger) -> None:
        """Record an outcome, insisting for some seconds: one that is lost means that the event is sent again."""
        for pause in (*RECORD_PAUSES, None):
            try:
                return await mark()
            except Unavailable as error:
                if pause is None:
                    log.error("webhook_outcome_not_recorded", error=error.message)  # noqa: TRY400 - says it all
                    return None
            await asyncio.sleep(pause)
        return None

    async def _sweep(self) -> None:
        """An endpoint that was taken out of the configuration, disabled or deleted ends its deliveries."""
        now = time.monotonic()
        if now < self._unknown_due:
            return
        self._unknown_due = now + UNKNOWN_EVERY_SECONDS
        reason = "the endpoint is no longer configured"
        known = list(self._endpoints)
        ended = await outbox.end_unknown(self._database, known, overdue_seconds=UNKNOWN_OVERDUE_SECONDS, reason=reason)
        if ended:
            _log.warning("webhooks_of_unknown_endpoints_ended", deliveries=ended)
        if self._managed is not None:
            await self._managed.end_waiting()
            await self._managed.tell_unsigned()

    async def _pause(self, stop: asyncio.Event, ring: asyncio.Event | None) -> None:
        events = [stop, self._more] + ([ring] if ring else [])
        waits = [asyncio.create_task(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        # Cleared before the outbox is looked at: a ring in between is seen by that look.
        self._more.clear()
        if ring:
            ring.clear()


async def _drain(response: httpx.Response) -> None:
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read > _ANSWER_BYTES:
            return
