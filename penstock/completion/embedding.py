"""Embeddings: texts become vectors. Independent of any vendor's wire format."""

from dataclasses import dataclass, field
from typing import Any

from penstock.completion.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """Texts to embed, or prompts that are tokens already. `None` means: the provider's own default."""

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    user: str | None = None
    #: fields of the caller's own dialect; forwarded where the wire format is the same
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """One vector for each input, in the same order. Usage has input tokens only."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage
    upstream_model: str | None = None
