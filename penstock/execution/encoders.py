"""Where the vectors of the semantic cache come from: a model in this process, or a configured one."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from penstock.cache.minilm import SentenceEncoder
from penstock.completion import CompletionRequest, EmbeddingRequest
from penstock.execution.call import Caller, Order
from penstock.execution.record import CallRecord, aside
from penstock.providers.deployments import Deployment


class Encoder(Protocol):
    """Makes the vectors; what that costs goes into the record."""

    async def embed(
        self, texts: Sequence[str], order: Order[CompletionRequest], record: CallRecord
    ) -> list[Sequence[float]]:
        """A vector for each text.

        Raises:
            PenstockError: there is none now.
        """
        ...


class LocalEncoder:
    """A sentence encoder in this process, on a thread of its own, so that the event loop goes on."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder

    async def embed(
        self,
        texts: Sequence[str],
        order: Order[CompletionRequest],  # noqa: ARG002 — see Encoder
        record: CallRecord,  # noqa: ARG002
    ) -> list[Sequence[float]]:
        """See `Encoder`."""
        return list((await asyncio.to_thread(self._encoder.embed, texts)).tolist())


class ModelEncoder:
    """A configured embedding model, called within its quota for the tenant who asks."""

    def __init__(self, caller: Caller, deployment: Deployment) -> None:
        self._caller = caller
        self._deployment = deployment

    async def embed(
        self, texts: Sequence[str], order: Order[CompletionRequest], record: CallRecord
    ) -> list[Sequence[float]]:
        """See `Encoder`."""
        request = EmbeddingRequest(model=self._deployment.name, inputs=tuple(texts))
        size = sum(map(len, texts))
        own = Order(request, self._deployment, size, order.interactive, order.age, order.tier, tenant=order.tenant)
        with aside(record) as calls:
            result = await self._caller.embed(own, calls)
        return list(result.vectors)
