"""What the library's callers get: an answer, and what it took."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from penstock.completion import CompletionResult, EmbeddingResult, PartDelta, PartStarted, ToolCall, Usage
from penstock.guard.findings import Finding
from penstock.store.finish import Attempt


@dataclass(frozen=True, slots=True)
class CompletionResponse:
    """One answer, and what it took.

    `model` is the configured model that answered; `cost` is in US dollars, None where no price is known; `attempts` are
    the upstream calls, failed ones included; `findings` are the guard's. `cached` is what the cache came to (`hit`,
    `coalesced`, `miss`), None where it was not asked. `routing` says how a route chose, None where a model was named:
    its policy, reason and order, what was out and why, and what an escalating one asked (docs/routing.md).
    """

    model: str
    result: CompletionResult
    cost: Decimal | None
    attempts: tuple[Attempt, ...]
    findings: tuple[Finding, ...] = ()
    cached: str | None = None
    routing: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return self.result.text

    @property
    def usage(self) -> Usage:
        """Tokens as the provider counted them."""
        return self.result.usage

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.result.finish_reasons[0] if self.result.finish_reasons else None

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that the first choice asks for."""
        parts = (part for part in self.result.parts if part.kind == "tool_call" and part.choice == 0)
        return tuple(ToolCall(part.id or "", part.name or "", part.text, part.signature) for part in parts)


@dataclass(frozen=True, slots=True)
class EmbeddingResponse:
    """Vectors, one for each input in the inputs' order, and what they took; see `CompletionResponse`."""

    model: str
    result: EmbeddingResult
    cost: Decimal | None
    attempts: tuple[Attempt, ...]
    cached: str | None = None

    @property
    def vectors(self) -> tuple[Sequence[float], ...]:
        """The vectors."""
        return self.result.vectors

    @property
    def usage(self) -> Usage:
        """Tokens as the provider counted them."""
        return self.result.usage


#: what a stream is told of; None is its end
StreamEvent = PartStarted | PartDelta | None


class CompletionStream:
    """An answer as it is made: iterate over its parts and deltas once, then ask for the `response`.

    Leaving it early, with `aclose`, closes the call.
    """

    def __init__(self, work: "asyncio.Task[CompletionResponse]", events: "asyncio.Queue[StreamEvent]") -> None:
        self._work = work
        self._events = events

    async def __aiter__(self) -> AsyncIterator[PartStarted | PartDelta]:
        """The events of the answer.

        Raises:
            PenstockError: it failed.
        """
        while True:
            event = await self._events.get()
            if event is None:
                break
            yield event
        await self._work

    async def text(self) -> AsyncIterator[str]:
        """The text of the first choice alone, as it grows. Raises as iterating does."""
        shown: set[int] = set()
        async for event in self:
            if isinstance(event, PartStarted):
                if event.kind == "text" and event.choice == 0:
                    shown.add(event.part)
            elif event.part in shown:
                yield event.text

    async def response(self) -> CompletionResponse:
        """The whole answer, when it is there. Raises as iterating does."""
        return await self._work

    async def aclose(self) -> None:
        """Close the call, if it still runs."""
        self._work.cancel()
        await asyncio.wait([self._work])
