"""The steps that may answer an order in the caller's place, or change what it is asked."""

from typing import Protocol

from penstock.completion import CompletionRequest, CompletionResult, EmbeddingRequest, EmbeddingResult
from penstock.execution.call import Emit, Order
from penstock.execution.record import CallRecord


class Completes(Protocol):
    """The caller, or a step before it."""

    async def complete(
        self, order: Order[CompletionRequest], record: CallRecord, emit: Emit | None
    ) -> CompletionResult:
        """See `Caller.complete`."""
        ...


class Embeds(Protocol):
    """The caller of embedding models."""

    async def embed(self, order: Order[EmbeddingRequest], record: CallRecord) -> EmbeddingResult:
        """See `Caller.embed`."""
        ...
