"""Tokens one completion used."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider reported them.

    `input_tokens` counts the whole prompt, `cached_tokens` (read from the provider's prompt cache) and
    `cache_write_tokens` included; `output_tokens` includes `reasoning_tokens`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and answer together."""
        return self.input_tokens + self.output_tokens

    @classmethod
    def together(cls, usages: "Iterable[Usage]") -> "Usage":
        """The sum of several, each count by itself."""
        return cls(*map(sum, zip(cls().to_json(), *(usage.to_json() for usage in usages), strict=True)))

    def to_json(self) -> list[int]:
        """The five counts, in the order of the fields."""
        return [
            self.input_tokens,
            self.output_tokens,
            self.cached_tokens,
            self.cache_write_tokens,
            self.reasoning_tokens,
        ]

    @classmethod
    def from_json(cls, value: list[Any]) -> "Usage":
        """The inverse of `to_json`."""
        return cls(*value)
