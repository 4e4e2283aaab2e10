"""An escalating route in one process: its stages one after the other, without a queue between them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from penstock.completion import CompletionRequest, CompletionResult, Usage
from penstock.completion.step import RouteStep
from penstock.errors import PenstockError
from penstock.execution.accept import Candidate, Escalation
from penstock.execution.call import Emit
from penstock.rules import prices
from penstock.store.finish import Attempt


@dataclass(frozen=True, slots=True)
class Tried:
    """What one model answered, and the calls that took."""

    result: CompletionResult
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vectors that one model made, and the calls that took."""

    vectors: Sequence[Sequence[float]]
    attempts: tuple[Attempt, ...]


class Try(Protocol):
    """Asks one model."""

    async def __call__(self, deployment: str, request: CompletionRequest, emit: Emit | None) -> Tried:
        """Its answer, streamed with `emit`.

        Raises:
            PenstockError: why there is none.
        """
        ...


class Embed(Protocol):
    """Asks one embedding model."""

    async def __call__(self, deployment: str, texts: Sequence[str]) -> Embedded:
        """A vector for each text. Raises as `Try`."""
        ...


@dataclass(frozen=True, slots=True)
class Asks:
    """What a route may ask of models."""

    attempt: Try
    embed: Embed


@dataclass(frozen=True, slots=True)
class Climbed:
    """The answer that was accepted, whose it is, and how it came to that (as a job's `routing`)."""

    deployment: str
    result: CompletionResult
    routing: dict[str, Any]


async def climb(
    escalation: Escalation,
    request: CompletionRequest,
    names: Sequence[str],
    spare: Sequence[str],
    fallback_on: frozenset[str],
    asks: Asks,
    emit: Emit | None,
    tenant: str,
) -> Climbed:
    """Ask the models `names` of a route until an answer is accepted. Only the last one's is streamed as it comes.

    Where they all fail for a reason in `fallback_on`, the `spare` ones are asked.

    Raises:
        PenstockError: why no model answered.
    """
    left, steps = list(names), list[RouteStep]()
    while True:
        better = escalation.pointless(left[0])
        if better is not None and better in left:
            left = left[left.index(better) :]
        count = escalation.parallel if not steps else 1
        now, left = left[:count], left[count:]
        live = emit if not left and len(now) == 1 else None
        answered, error = await _stage(escalation, request, now, asks, live, last=not left)
        if error is not None and not answered:
            if steps:
                result, routing = escalation.best(request, steps, now[0], error)
                return _shown(Climbed(routing["answered_by"], result, routing), emit)
            left, spare = (left, spare) if left else (list(spare), ())
            if left and error.fallback_reason in fallback_on:
                continue
            raise error
        new, chosen = await escalation.judged(request, answered, steps, last=not left, tenant=tenant)
        steps += new
        if chosen is not None:
            result = escalation.as_asked(request, chosen.result)
            found = Climbed(chosen.deployment, result, escalation.explain(steps, chosen))
            return found if live is not None else _shown(found, emit)


async def _stage(
    escalation: Escalation,
    request: CompletionRequest,
    names: Sequence[str],
    asks: Asks,
    emit: Emit | None,
    *,
    last: bool,
) -> tuple[list[Candidate], PenstockError | None]:
    """The answers of models that are asked at once, and the first error, if any."""

    async def one(name: str) -> Candidate | PenstockError:
        asked = request if last and len(names) == 1 else escalation.asking(request, name)
        try:
            tried = await asks.attempt(name, asked, emit)
        except PenstockError as error:
            return error
        return _candidate(name, tried, asks)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(name)) for name in names]
    found = [task.result() for task in tasks]
    errors = [each for each in found if isinstance(each, PenstockError)]
    return [each for each in found if isinstance(each, Candidate)], next(iter(errors), None)


class _Asking:
    """Asks one more model for the sake of an answer, and notes the calls that takes."""

    def __init__(self, asks: Asks, calls: list[Attempt]) -> None:
        self._asks = asks
        self._calls = calls

    async def __call__(self, deployment: str, request: CompletionRequest) -> CompletionResult:
        more = await self._asks.attempt(deployment, request, None)
        self._calls.extend(more.attempts)
        return more.result

    async def embed(self, deployment: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        more = await self._asks.embed(deployment, texts)
        self._calls.extend(more.attempts)
        return more.vectors


def _candidate(name: str, tried: Tried, asks: Asks) -> Candidate:
    calls = list(tried.attempts)

    def spent() -> tuple[Usage, Decimal | None]:
        return Usage.together(call.usage for call in calls), prices.together(calls) if calls else Decimal(0)

    return Candidate(name, tried.result, spent, _Asking(asks, calls))


def _shown(found: Climbed, emit: Emit | None) -> Climbed:
    """Stream an answer that was withheld until it was accepted."""
    if emit is not None:
        for event in found.result.events():
            emit(event)
    return found
