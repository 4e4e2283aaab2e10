"""Submitting single jobs: a call with a client waiting is rung at once, all else joins the backlog."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from penstock.broker import Doorbell
from penstock.cache.policy import FIELD, TAGS_FIELD, read_tags, read_wish
from penstock.completion import CompletionRequest, EmbeddingRequest
from penstock.completion.encoding import dumps
from penstock.dialects import openai_responses, registry
from penstock.dialects.fields import kept_in
from penstock.errors import ContextTooLong, InvalidRequest, Unavailable
from penstock.ids import new_id
from penstock.redis import Redis
from penstock.routing.router import Routed, Router
from penstock.rules.estimates import prompt_tokens
from penstock.store import flows, idempotency, jobs
from penstock.store.database import Database
from penstock.store.idempotency import IdempotencyKey
from penstock.store.jobs import NewJob
from penstock.submission import continuation
from penstock.submission.continuation import Continuations
from penstock.submission.doorbells import wake_dispatcher
from penstock.submission.flow_ids import FlowIds
from penstock.submission.plan import request_tokens

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that was accepted but not yet stored: `store` makes it real. Subscribe to its stream between the two."""

    job: NewJob
    provider: str


class Submission:
    """Takes single jobs in."""

    def __init__(self, database: Database, redis: Redis, doorbell: Doorbell, router: Router) -> None:
        self._database = database
        self._redis = redis
        self._doorbell = doorbell
        self._router = router
        self._flow_ids = FlowIds(database)
        self._continuations = Continuations(database)

    async def prepare(
        self,
        tenant_id: str,
        dialect: str,
        body: dict[str, Any],
        *,
        interactive: bool,
        stream: bool,
        callback_url: str | None = None,
        priority: int = 0,
        window_seconds: int | None = None,
        residency: str | None = None,
    ) -> Submitted:
        """Check a request and plan its job; nothing is stored yet. `callback_url` was checked by whoever gives it.

        The lowest `priority` of a tenant goes first; what is not done `window_seconds` after it was stored expires.
        `residency` is where its data must stay, whatever it says itself.

        Raises:
            InvalidRequest: the body is wrong, its model unknown, no model may serve it, its prompt too long for each,
                what it continues cannot be continued, or it demands another place than `residency`.
        """
        body = await self._continuations.attach(tenant_id, dialect, kept_in(body, residency))
        spoken = registry.get(dialect)
        request = spoken.parse(body)
        read_wish(body.get(FIELD))
        read_tags(body.get(TAGS_FIELD))
        routed = await self._route(tenant_id, request, body, spoken.prompt)
        deployment = routed.order[0]
        try:
            raw = dumps(body)
        except ValueError:
            raise InvalidRequest("The request holds a number that is out of range.") from None
        lane = "interactive" if interactive else "bulk"
        job = NewJob(
            id=new_id(),
            tenant_id=tenant_id,
            dialect=dialect,
            model=request.model,
            lane=lane,
            flow_id=await self._flow_ids.of(routed.pool(request.model, queued=not interactive), lane, tenant_id),
            deployment=deployment,
            tokens=request_tokens(body, len(raw), answered=spoken.answered),
            body=raw,
            state="queued" if interactive else "pending",
            background=not interactive,
            stream=stream,
            fallback=list(routed.order[1:]) or None,
            routing=routed.stored(queued=not interactive),
            callback_url=callback_url,
            priority=priority,
            window_seconds=window_seconds,
        )
        return Submitted(job, self._provider(deployment))

    async def route(self, tenant_id: str, dialect: str, body: dict[str, Any], residency: str | None = None) -> Routed:
        """Where a request would go now; nothing is stored.

        Raises:
            InvalidRequest: see `prepare`.
        """
        body = await self._continuations.attach(tenant_id, dialect, kept_in(body, residency))
        spoken = registry.get(dialect)
        return await self._route(tenant_id, spoken.parse(body), body, spoken.prompt)

    async def _route(
        self, tenant_id: str, request: CompletionRequest | EmbeddingRequest, body: dict[str, Any], prompt: str
    ) -> Routed:
        try:
            return await self._router.route(request, tenant_id, prompt=prompt)
        except ContextTooLong as error:
            if error.param not in body:
                error.param = "input"
            raise

    def _provider(self, name: str) -> str:
        deployment = self._router.deployments.get(name)
        assert deployment is not None  # decisions name configured ones only
        return deployment.provider

    async def count_tokens(self, tenant_id: str, body: dict[str, Any]) -> int:
        """About how many tokens the prompt of a response has, with what it continues; no provider is asked.

        Raises:
            InvalidRequest: see `prepare`; a prompt that is too long is counted.
        """
        body = await self._continuations.attach(tenant_id, continuation.DIALECT, body)
        request = openai_responses.parse(body)
        self._router.deployments.of(request.model, tenant_id)
        return prompt_tokens(request)

    async def store(self, submitted: Submitted, key: IdempotencyKey | None = None) -> datetime:
        """Commit the job and ring for it; returns its `created_at`. Once this returned, the job is never lost.

        Once it is committed nothing that fails is told: a client that heard of a refusal would send it again.

        Raises:
            Repeated: the key has made a job before; this one is not stored.
            Conflict: the key came with another request before.
        """
        job = submitted.job
        if key is None and job.state == "queued":
            # one statement is its own transaction: a client waits for each round trip
            async with self._database.connection() as connection:
                created_at = await jobs.insert(connection, job)
        else:
            async with self._database.transaction() as connection:
                if key is not None:
                    await idempotency.claim(connection, key, job.id)
                created_at = await jobs.insert(connection, job)
                if job.state == "pending":
                    await flows.wake(connection, {job.flow_id: (job.priority, job.id)})
        if job.state == "pending":
            await wake_dispatcher(self._redis)
            return created_at
        try:
            await self._doorbell.ring(job.lane, submitted.provider, job.deployment, [job.id])
        except Unavailable:
            _log.warning("the broker is away: a call goes through the backlog", job=job.id.hex)
            await self._hand_back(job.id)
        return created_at

    async def _hand_back(self, job_id: UUID) -> None:
        try:
            await jobs.hand_back(self._database, None, [job_id])
        except Unavailable:
            _log.warning("the database is away too: the sweep will find the call", job=job_id.hex)
