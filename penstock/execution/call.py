"""One completion from one deployment: reserve, call, stream, settle, and try again where that can help."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from penstock.completion import CompletionRequest, CompletionResult, Finished, PartDelta, PartStarted, ResultBuilder
from penstock.completion.usage import Usage
from penstock.errors import PenstockError, ProviderError, ProviderRateLimited, ProviderStreamBroken
from penstock.limits.buckets import DeploymentLimits
from penstock.limits.quota import Quota, Reservation
from penstock.providers.base import Provider
from penstock.providers.deployments import Deployment
from penstock.rules import prices, retries
from penstock.rules.estimates import Calibration, plain_input
from penstock.store.finish import Attempt

#: takes each chunk as it comes
Emit = Callable[[PartStarted | PartDelta], None]
#: a provider that answers 429 without saying for how long
DEFAULT_PAUSE_SECONDS = 1.0


class Deferred(Exception):
    """Raised when the quota has no room within the reach of a reservation; `wait` is in seconds."""

    def __init__(self, wait: float) -> None:
        super().__init__(f"no quota for {wait:.1f} s")
        self.wait = wait


@dataclass(slots=True)
class CallRecord:
    """What one job's calls came to; filled while they happen, so that a cancelled job's share is known too."""

    job_id: UUID
    epoch: int
    attempts: list[Attempt] = field(default_factory=list)
    builder: ResultBuilder = field(default_factory=ResultBuilder)
    emitted: bool = False

    @property
    def usage(self) -> Usage:
        """Of the attempts together: failed ones may have cost tokens too."""
        return Usage(*map(sum, zip(*(attempt.usage.to_json() for attempt in self.attempts), strict=True)))

    @property
    def cost(self) -> Decimal | None:
        """The known costs together, None when none is known."""
        known = [attempt.cost for attempt in self.attempts if attempt.cost is not None]
        return sum(known, Decimal(0)) if known else None


class Caller:
    """Makes upstream calls within the quota."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        limits: Mapping[str, DeploymentLimits],
        quota: Quota,
        calibration: Calibration,
        max_attempts: int,
    ) -> None:
        self._providers = providers
        self._limits = limits
        self._quota = quota
        self._calibration = calibration
        self._max_attempts = max_attempts

    async def complete(
        self,
        request: CompletionRequest,
        deployment: Deployment,
        record: CallRecord,
        *,
        size: int,
        interactive: bool,
        emit: Emit | None,
    ) -> CompletionResult:
        """Call until there is an answer or trying again cannot help; `size` is the request's length in bytes.

        With `emit` the answer is streamed; once a chunk was emitted no further attempt is made, or text would repeat.

        Raises:
            Deferred: bulk work has to wait longer for its quota than a reservation reaches.
            PenstockError: why the last attempt failed.
        """
        while True:
            estimate = self._calibration.estimate(deployment.name, plain_input(size), request.max_tokens, request.n)
            reservation = await self._reserve(deployment, estimate.tokens, interactive)
            try:
                result = await self._attempt(request, deployment, record, reservation, emit)
            except PenstockError as error:
                if isinstance(error, ProviderRateLimited):
                    await self._quota.pause(reservation.limits, error.retry_after or DEFAULT_PAUSE_SECONDS)
                decision = retries.decide(error, len(record.attempts), self._max_attempts)
                if decision is None or record.emitted:
                    raise
                record.builder = ResultBuilder()
            else:
                self._calibration.learn(deployment.name, estimate, result.usage)
                return result
            await asyncio.sleep(decision.delay)

    async def _reserve(self, deployment: Deployment, tokens: int, interactive: bool) -> Reservation:
        deadline = time.monotonic() + deployment.provider_config.timeouts.total
        limits = self._limits[deployment.name]
        while True:
            answer = await self._quota.reserve(limits, tokens, interactive=interactive)
            if isinstance(answer, Reservation):
                break
            if not interactive:
                raise Deferred(answer.wait)
            if time.monotonic() + answer.wait > deadline:
                raise ProviderRateLimited(
                    f"The quota of model `{deployment.name}` has no room.", retry_after=answer.wait
                )
            await asyncio.sleep(min(answer.wait, 2.0))
        try:
            await asyncio.sleep(answer.wait)
        except asyncio.CancelledError:
            self._quota.release(answer)
            raise
        return answer

    async def _attempt(
        self,
        request: CompletionRequest,
        deployment: Deployment,
        record: CallRecord,
        reservation: Reservation,
        emit: Emit | None,
    ) -> CompletionResult:
        provider = self._providers[deployment.provider]
        started_at, started, first = datetime.now(UTC), time.monotonic(), None
        usage, failure, outcome = Usage(), None, "cancelled"
        try:
            if emit is None:
                result = await provider.complete(request, deployment.upstream_model)
            else:
                async for event in provider.stream(request, deployment.upstream_model):
                    first = first or time.monotonic()
                    record.builder.add(event)
                    if not isinstance(event, Finished):
                        record.emitted = True
                        emit(event)
                if not record.builder.finished:
                    raise ProviderStreamBroken("The provider ended the stream before the answer was whole.")
                result = record.builder.build()
            usage, outcome = result.usage, "succeeded"
            return result
        except PenstockError as error:
            failure, outcome = error, "failed"
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
                    latency_ms=int((time.monotonic() - started) * 1000),
                    first_token_ms=int((first - started) * 1000) if first else None,
                    usage=usage,
                    cost=self._cost(deployment, usage) if outcome == "succeeded" else None,
                    error_type=type(failure).__name__ if failure else None,
                    error=_storable(failure.message) if failure else None,
                )
            )
            self._settle(reservation, usage, outcome, failure)

    def _settle(self, reservation: Reservation, usage: Usage, outcome: str, failure: PenstockError | None) -> None:
        if outcome == "succeeded":
            self._quota.settle(reservation, usage.total_tokens)
        elif isinstance(failure, ProviderError) and failure.status < 500:
            # refused at the door: the provider charges no tokens for it
            self._quota.settle(reservation, 0)

    def _cost(self, deployment: Deployment, usage: Usage) -> Decimal | None:
        return prices.cost(usage, deployment.price, deployment.upstream_model, deployment.provider_config.base_url)


def _storable(text: str) -> str:
    """Postgres text knows no NUL, and lone surrogates are not UTF-8."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode("utf-8")[:2000]
