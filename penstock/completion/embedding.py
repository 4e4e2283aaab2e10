"""Embeddings: texts become vectors. Independent of any vendor's wire format."""

import base64
import binascii
import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.completion.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """Texts to embed, or prompts that are tokens already. `None` means: the provider's own default."""

    model: str
    inputs: tuple[str | tuple[int, ...], ...]
    dimensions: int | None = None
    user: str | None = None
    #: models to ask, in this order, when the one asked for fails
    fallback: tuple[str, ...] = ()
    #: the tag of where its data must stay; only models of that tag are asked
    residency: str | None = None
    #: US dollars that it may cost; a model that is expected to cost more is not asked
    max_cost: float | None = None
    #: fields of the caller's own dialect; forwarded where the wire format is the same
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """One vector for each input, in the same order. Usage has input tokens only."""

    vectors: tuple[Sequence[float], ...]
    usage: Usage
    upstream_model: str | None = None

    def rounded(self) -> "EmbeddingResult":
        """The same with numbers that 32 bits can hold: what is stored, and so what is shown, wherever it is shown.

        Raises:
            ValueError: a vector is empty, or holds what is no such number.
            TypeError: it is no vector.
        """
        return replace(self, vectors=tuple(_rounded(vector) for vector in self.vectors))

    def to_json(self) -> dict[str, Any]:
        """A JSON object; see `from_json`. Vectors are base64: a quarter of the length of their numbers in words."""
        return {
            "vectors": [to_base64(vector) for vector in self.vectors],
            "usage": self.usage.to_json(),
            "upstream_model": self.upstream_model,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "EmbeddingResult":
        """The inverse of `to_json`, for a result whose numbers are rounded."""
        return cls(
            vectors=tuple(from_base64(vector) for vector in value["vectors"]),
            usage=Usage.from_json(value["usage"]),
            upstream_model=value["upstream_model"],
        )


def to_base64(vector: Sequence[float]) -> str:
    """A vector as clients want it: base64 of little-endian 32-bit floats."""
    return binascii.b2a_base64(_little_endian(array("f", vector)).tobytes(), newline=False).decode("ascii")


def from_base64(text: str) -> "array[float]":
    """The inverse of `to_base64`.

    Raises:
        ValueError: it is not that.
    """
    numbers = array("f")
    numbers.frombytes(base64.b64decode(text, validate=True))
    return _little_endian(numbers)


def _little_endian(numbers: "array[float]") -> "array[float]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _rounded(vector: Sequence[float]) -> "array[float]":
    try:
        numbers = array("f", vector)
    except OverflowError as error:
        raise ValueError("an embedding holds a number out of range") from error
    if not numbers or not all(map(math.isfinite, numbers)):
        raise ValueError("an embedding is not made of numbers")
    return numbers
