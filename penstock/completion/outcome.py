"""What is stored of a job's end: the answer, the error, or what there was of an answer when it was cut short."""

from dataclasses import dataclass
from typing import Any

from penstock.completion.encoding import dumps, loads
from penstock.completion.result import CompletionResult


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result` is partial when there is an `error` (of `errors.error_to_json`'s form) or the job was cancelled."""

    result: CompletionResult | None = None
    error: dict[str, Any] | None = None

    def to_bytes(self) -> bytes:
        """ASCII JSON."""
        return dumps({"result": self.result.to_json() if self.result else None, "error": self.error})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Outcome":
        """The inverse of `to_bytes`."""
        value = loads(data)
        result = value["result"]
        return cls(CompletionResult.from_json(result) if result else None, value["error"])
