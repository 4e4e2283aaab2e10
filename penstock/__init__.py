"""The engine: what a completion is and how one gets done. No web framework; Celery only in `broker`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock.gateway import CompletionResponse, CompletionStream, EmbeddingResponse, LLMGateway

__all__ = ["CompletionResponse", "CompletionStream", "EmbeddingResponse", "LLMGateway"]


def __getattr__(name: str) -> Any:
    """Load the library's names when they are asked for: a role that needs none of them starts a second sooner."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from penstock import gateway

    return getattr(gateway, name)
