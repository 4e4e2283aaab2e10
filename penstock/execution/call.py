"""One answer from one deployment: reserve, call, stream, settle, and try again where that can help."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

from penstock.cache.policy import CachePolicy
from penstock.completion import (
    CompletionEvent,
    CompletionRequest,
    CompletionResult,
    EmbeddingRequest,
    EmbeddingResult,
    Finished,
    PartDelta,
    PartStarted,
    ResultBuilder,
)
from penstock.completion.characters import WholeCharacters
from penstock.completion.usage import Usage
from penstock.configuration import LaneRetries
from penstock.errors import (
    PenstockError,
    ProviderCircuitOpen,
    ProviderRateLimited,
    ProviderStreamBroken,
    TierLimitExceeded,
)
from penstock.execution.observed import Observed
from penstock.execution.record import CallRecord
from penstock.guard.masks import Mask, Unmasking
from penstock.limits.buckets import DeploymentLimits, TokenBucket, Tokens
from penstock.limits.quota import Outcome, Quota, Refused, Reservation
from penstock.providers.base import OnHeaders, Provider
from penstock.providers.deployments import Deployment
from penstock.routing.speeds import Speeds
from penstock.routing.statistics import Sample
from penstock.rules import prices, retries
from penstock.rules.estimates import Calibration, Estimate, plain_input
from penstock.store.finish import Attempt

Asked = TypeVar("Asked", CompletionRequest, EmbeddingRequest)
Answer = TypeVar("Answer", CompletionResult, EmbeddingResult)
#: makes the upstream call itself
_Ask = Callable[[Provider, OnHeaders | None], Awaitable[Answer]]
#: takes each chunk as it comes
Emit = Callable[[PartStarted | PartDelta], None]
#: a provider that answers 429 without saying for how long
DEFAULT_PAUSE_SECONDS = 1.0
#: a wait longer than this is not waited here, where it would hold a permit
_LONGEST_WAIT = 2.0


class Deferred(Exception):
    """Raised when queued work must wait longer than a worker holds it; `wait` is in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"put off for {wait:.1f} s")
        self.wait = wait


class NextDeployment(Exception):
    """Raised when another deployment is to be asked; `error` is why."""

    def __init__(self, error: PenstockError) -> None:
        super().__init__(error.message)
        self.error = error


class Interrupted(Exception):
    """Raised when an answer stopped after chunks of it were published: going on would glue two answers together.

    `error` is why; `falls_back` says whether another deployment would be asked.
    """

    def __init__(self, error: PenstockError, *, falls_back: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.falls_back = falls_back


@dataclass(frozen=True, slots=True)
class Order(Generic[Asked]):
    """One answer to be had from one deployment.

    `size` is the request's length in bytes, `tier` what its tenant's tier draws from, `age` the seconds since the job
    was accepted. `fallback_on` names the failures after which another deployment is asked; empty when there is none.
    `mask` knows what is hidden in the request: what is emitted of its answer has it back. `cache` says whether the
    answer may come from the cache of `tenant`; None: it is not asked. One that is wanted `at_once` waits for no quota.
    `residency` is where its data must stay: steps that show it to further models look at it.
    """

    request: Asked
    deployment: Deployment
    size: int
    interactive: bool
    age: float = 0.0
    tier: tuple[TokenBucket, ...] = ()
    fallback_on: frozenset[str] = frozenset()
    mask: Mask | None = None
    tenant: str = ""
    cache: CachePolicy | None = None
    at_once: bool = False
    residency: str | None = None


class Caller:
    """Makes upstream calls within the quota."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        limits: Mapping[str, DeploymentLimits],
        quota: Quota,
        calibration: Calibration,
        policies: Mapping[bool, LaneRetries],
        speeds: Speeds,
    ) -> None:
        """`policies` has the retries of interactive work (True) and of all else (False); `speeds` hears of each."""
        self._providers = providers
        self._limits = limits
        self._quota = quota
        self._calibration = calibration
        self._policies = policies
        self._speeds = speeds

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """Call until there is an answer or calling again cannot help. With `emit` the answer is streamed.

        What is emitted, and the record's builder, have what the order's mask hides; the answer returned has its names.

        Raises:
            Deferred: queued work, or one wanted at once, has to wait for its quota, its tier, a place or the breaker.
            NextDeployment: this one failed, and there is another to ask.
            Interrupted: it failed in a way that may be repeated, but chunks of its answer are out.
            PenstockError: why the last attempt failed.
        """
        request, model = order.request, order.deployment.upstream_model

        async def ask(provider: Provider, on_headers: OnHeaders | None) -> CompletionResult:
            if emit is None:
                return await provider.complete(request, model, on_headers=on_headers)
            events = provider.stream(request, model, on_headers=on_headers)
            return await _streamed(events, record, emit, order.mask)

        def guess() -> Estimate:
            size = plain_input(order.size)
            return self._calibration.estimate(order.deployment.name, size, request.max_tokens, request.n)

        return await self._until_answered(order, record, ask, guess, streamed=emit is not None)

    async def embed(self, order: Order[EmbeddingRequest], record: CallRecord) -> EmbeddingResult:
        """As `complete`, for embeddings, which are never streamed and take no output tokens."""
        request, model = order.request, order.deployment.upstream_model

        async def ask(provider: Provider, on_headers: OnHeaders | None) -> EmbeddingResult:
            return await provider.embed(request, model, on_headers=on_headers)

        def guess() -> Estimate:
            return self._calibration.estimate(order.deployment.name, plain_input(order.size), 0)

        return await self._until_answered(order, record, ask, guess, streamed=False)

    async def _until_answered(
        self,
        order: Order[Any],
        record: CallRecord,
        ask: _Ask[Answer],
        estimate: Callable[[], Estimate],
        *,
        streamed: bool,
    ) -> Answer:
        started = time.monotonic()
        while True:
            guess = estimate()
            reservation = await self._reserve(order, Tokens(guess.input, guess.output))
            try:
                result = await self._attempt(order, record, reservation, ask, streamed=streamed)
            except PenstockError as error:
                elapsed = order.age + time.monotonic() - started
                delay = await self._after(error, order, record, reservation, elapsed)
            else:
                self._calibration.learn(order.deployment.name, guess, result.usage)
                return result
            await asyncio.sleep(delay)

    def shut_for(self, deployment: str) -> float:
        """For how many seconds a deployment's breaker is open, as far as this process has heard."""
        return self._quota.shut_for(self._limits[deployment])

    async def _after(
        self, error: PenstockError, order: Order[Any], record: CallRecord, reservation: Reservation, elapsed: float
    ) -> float:
        """What follows a failed attempt: the seconds to wait before the next one, or an exception that says what else.

        A provider that is away fails no queued job: what a probe or a refusal for quota came to is not counted there.
        """
        limited = isinstance(error, ProviderRateLimited)
        if not (reservation.probe or (limited and not order.interactive)):
            record.failures += 1
        policy = self._policies[order.interactive]
        decision = retries.decide(
            error, max(record.failures, 1), policy, elapsed=elapsed, fallback_on=order.fallback_on
        )
        if isinstance(decision, retries.GiveUp):
            raise error
        if record.emitted:
            raise Interrupted(error, falls_back=isinstance(decision, retries.FallBack)) from error
        if isinstance(decision, retries.FallBack):
            raise NextDeployment(error) from error
        record.builder = ResultBuilder()
        if decision.delay > _LONGEST_WAIT and not order.interactive:
            raise Deferred(decision.delay) from error
        return decision.delay

    async def _reserve(self, order: Order[Any], tokens: Tokens) -> Reservation:
        deadline = time.monotonic() + self._policies[order.interactive].max_seconds - order.age
        limits = self._limits[order.deployment.name]
        while True:
            answer = await self._quota.reserve(limits, tokens, interactive=order.interactive, tier=order.tier)
            if isinstance(answer, Refused):
                await self._wait(answer, order, deadline)
                continue
            try:
                await asyncio.sleep(answer.wait)
            except asyncio.CancelledError:
                self._quota.release(answer)
                raise
            if answer.wait and not answer.probe and self._quota.shut_for(limits):
                # The breaker opened while this call waited for its moment.
                self._quota.release(answer)
                continue
            return answer

    async def _wait(self, refused: Refused, order: Order[Any], deadline: float) -> None:
        """Wait a moment for what was refused.

        Raises:
            Deferred: queued work waits in the backlog, and so does what others are asked beside.
            NextDeployment: another deployment is asked at once.
            PenstockError: a client is waiting, and longer than it should.
        """
        if order.at_once:
            raise Deferred(refused.wait)
        error = _refusal(refused, order)
        if error.fallback_reason in order.fallback_on and (order.interactive or refused.why == "breaker"):
            raise NextDeployment(error)
        if not order.interactive:
            raise Deferred(refused.wait)
        if refused.why in ("tier", "breaker") or time.monotonic() + refused.wait > deadline:
            raise error
        await asyncio.sleep(min(refused.wait, _LONGEST_WAIT))

    async def _attempt(
        self, order: Order[Any], record: CallRecord, reservation: Reservation, ask: _Ask[Answer], *, streamed: bool
    ) -> Answer:
        deployment = order.deployment
        observed = Observed(self._quota, reservation.limits, streamed=streamed)
        started_at, record.first = datetime.now(UTC), None
        usage, failure, outcome = Usage(), None, "cancelled"
        reservation.begin()
        try:
            result = await ask(self._providers[deployment.provider], observed.on_headers)
            usage, outcome = result.usage, "succeeded"
            return result
        except PenstockError as error:
            failure, outcome = error, "failed"
            if record.emitted:
                usage = record.read_so_far(reservation.tokens.input)
            if isinstance(error, ProviderRateLimited):
                pause = error.retry_after or DEFAULT_PAUSE_SECONDS
                await self._quota.pause(reservation.limits, pause, blind=not observed.left)
            raise
        except asyncio.CancelledError:
            usage = record.read_so_far(reservation.tokens.input)
            raise
        finally:
            record.attempts.append(
                Attempt(
                    job_id=record.job_id,
                    epoch=record.epoch,
                    step=len(record.attempts),
                    deployment=deployment.name,
                    started_at=started_at,
                    outcome=outcome,
                    latency_ms=int((time.monotonic() - reservation.began) * 1000),
                    first_token_ms=record.first_token_ms(reservation.began),
                    usage=usage,
                    cost=self._cost(deployment, usage) if outcome == "succeeded" or usage.total_tokens else None,
                    error_type=type(failure).__name__ if failure else None,
                    error=_storable(failure.message) if failure else None,
                )
            )
            self._tell_speed(record.attempts[-1], failure)
            used, seen = _used(reservation, usage, outcome, failure)
            self._quota.settle(reservation, used, seen, observed.left)

    def _tell_speed(self, attempt: Attempt, failure: PenstockError | None) -> None:
        """Add a call to the live statistics, if it says something of the deployment."""
        failed = failure is not None and (failure.provider_fault or isinstance(failure, ProviderRateLimited))
        if not failed and attempt.outcome != "succeeded":
            return
        first = None if attempt.first_token_ms is None else attempt.first_token_ms / 1000
        tokens = attempt.usage.output_tokens
        self._speeds.add(attempt.deployment, Sample(attempt.latency_ms / 1000, tokens, first, failed))

    def _cost(self, deployment: Deployment, usage: Usage) -> Decimal | None:
        return prices.cost(
            usage,
            deployment.price,
            deployment.upstream_model,
            deployment.provider_config.base_url,
            discount=deployment.model_config.discount,
        )


async def _streamed(
    events: AsyncIterator[CompletionEvent], record: CallRecord, emit: Emit, mask: Mask | None
) -> CompletionResult:
    """Pass an answer on as it comes."""
    characters = WholeCharacters()
    unmasking, masked = (Unmasking(mask), ResultBuilder()) if mask else (None, record.builder)
    async for read in events:
        record.first = record.first or time.monotonic()
        for event in characters.read(read):
            if unmasking is not None:
                masked.add(event)
            for shown in unmasking.read(event) if unmasking is not None else (event,):
                record.builder.add(shown)
                if not isinstance(shown, Finished):
                    record.emitted = True
                    emit(shown)
    if not record.builder.finished:
        raise ProviderStreamBroken("The provider ended the stream before the answer was whole.")
    return masked.build()


def _used(
    reservation: Reservation, usage: Usage, outcome: str, failure: PenstockError | None
) -> tuple[Tokens, Outcome]:
    """What a call used, as far as anybody knows, and what it says of the provider."""
    if outcome == "succeeded":
        cached = 0 if reservation.limits.counts_cached_input else usage.cached_tokens
        return Tokens(usage.input_tokens - cached, usage.output_tokens), "answered"
    if isinstance(failure, ProviderRateLimited):
        return Tokens(0, 0), "refused"
    if failure is not None and not failure.provider_fault:
        return Tokens(0, 0), "answered"  # refused at the door: the provider charges no tokens for it
    return reservation.tokens, "failed" if failure is not None else "unseen"


def _refusal(refused: Refused, order: Order[Any]) -> PenstockError:
    """The error that a caller is told when what was refused cannot be waited for."""
    name = order.deployment.name
    if refused.why == "tier":
        return TierLimitExceeded("The limit of your tier is reached.", retry_after=refused.wait)
    if refused.why == "breaker":
        return ProviderCircuitOpen(
            f"The model `{name}` is not asked at the moment: its provider has failed too often.",
            retry_after=refused.wait,
        )
    what = "place for another call" if refused.why == "concurrency" else "quota"
    return ProviderRateLimited(f"There is no {what} left for model `{name}`.", retry_after=refused.wait)


def _storable(text: str) -> str:
    """Postgres text knows no NUL, and lone surrogates are not UTF-8."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")[:2000]
