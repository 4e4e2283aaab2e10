"""What is stored of a job's end: the answer, the error, or what there was of an answer when it was cut short."""

from dataclasses import dataclass
from typing import Any

from penstock.completion.embedding import EmbeddingResult
from penstock.completion.encoding import dumps, loads
from penstock.completion.result import CompletionResult


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is partial when there is an `error` (of `errors.error_to_json`'s form) or the job was cancelled.

    A job that asked for embeddings has these instead, all of them or none. `routing` says which policy chose what and
    why, for a job whose route had a choice.
    """

    result: CompletionResult | None = None
    error: dict[str, Any] | None = None
    embeddings: EmbeddingResult | None = None
    routing: dict[str, Any] | None = None
    cache: str | None = None

    def to_bytes(self) -> bytes:
        """ASCII JSON."""
        value: dict[str, Any] = {"result": self.result.to_json() if self.result else None, "error": self.error}
        if self.embeddings is not None:
            value["embeddings"] = self.embeddings.to_json()
        if self.routing is not None:
            value["routing"] = self.routing
        if self.cache is not None:
            value["cache"] = self.cache
        return dumps(value)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Outcome":
        """The inverse of `to_bytes`."""
        value = loads(data)
        result, embeddings = value["result"], value.get("embeddings")
        return cls(
            CompletionResult.from_json(result) if result else None,
            value["error"],
            EmbeddingResult.from_json(embeddings) if embeddings else None,
            value.get("routing"),
            value.get("cache"),
        )
