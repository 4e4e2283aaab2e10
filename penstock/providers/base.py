"""The port to a provider: what an adapter of any wire format offers."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping

from penstock.completion import (
    CompletionEvent,
    CompletionRequest,
    CompletionResult,
    EmbeddingRequest,
    EmbeddingResult,
)

#: is told the status and headers of every upstream answer; the names of headers are found in any case
OnHeaders = Callable[[int, Mapping[str, str]], None]


class Provider(ABC):
    """One upstream account. Calls may run concurrently, on one event loop."""

    name: str

    @abstractmethod
    async def complete(
        self, request: CompletionRequest, upstream_model: str, *, on_headers: OnHeaders | None = None
    ) -> CompletionResult:
        """Make the completion and return it whole.

        Raises:
            InvalidRequest: the wire format cannot say what the request asks for; `param` names the field.
            ProviderError: the call failed; the class says how.
        """

    @abstractmethod
    def stream(
        self, request: CompletionRequest, upstream_model: str, *, on_headers: OnHeaders | None = None
    ) -> AsyncGenerator[CompletionEvent, None]:
        """Make the completion and give its events as they come; `Finished` is the last.

        Closing the iterator (`aclose`, or cancelling the task that waits for it) closes the upstream connection at
        once, which is how a provider learns that nobody wants the answer any more.

        Raises:
            InvalidRequest: see `complete`.
            ProviderError: the call failed, before the first event or after any.
        """

    @abstractmethod
    async def embed(
        self, request: EmbeddingRequest, upstream_model: str, *, on_headers: OnHeaders | None = None
    ) -> EmbeddingResult:
        """Turn texts into vectors, one for each input.

        Raises:
            InvalidRequest: the provider has no embeddings, or its wire format cannot say what is asked for.
            ProviderError: see `complete`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Close the connections."""
