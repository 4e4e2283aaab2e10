"""What a dialect is told of a job in order to show it."""

import uuid
from dataclasses import dataclass
from typing import Any

from penstock.completion import CompletionResult, EmbeddingResult
from penstock.errors import JobCancelled, JobExpired, PenstockError, error_to_json

_ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class JobFacts:
    """One job at one moment. Times are whole Unix seconds.

    `id`, `created_at`, `background`, `model` and `body` never change; streams are rendered from these and the events.
    `started` says whether a worker ever began: a job that went back to the backlog keeps it. `result` may hold part of
    an answer when the job failed, was cancelled or expired; `embeddings` stand in its place where the job asked for
    these. `error` has the form of `errors.error_to_json`. `routing` is as in `Outcome`.
    """

    id: uuid.UUID
    created_at: int
    finished_at: int | None
    state: str
    started: bool
    background: bool
    model: str
    body: dict[str, Any]
    result: CompletionResult | None
    error: dict[str, Any] | None
    embeddings: EmbeddingResult | None = None
    routing: dict[str, Any] | None = None
    #: what the cache came to: `hit`, `coalesced`, `miss`; None where it was not asked
    cache: str | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in _ENDED

    @property
    def failure(self) -> dict[str, Any]:
        """The error to show for a job without an answer, also where none was stored because its state says it all."""
        if self.error is not None:
            return self.error
        if self.state == "cancelled":
            return error_to_json(JobCancelled("The request was cancelled."))
        if self.state == "expired":
            return error_to_json(JobExpired("The request was not done before its completion window closed."))
        return error_to_json(PenstockError("There is no answer to this request."))

    def call_id(self, part: int, given: str | None) -> str:
        """The id of the tool call that is part `part`: the provider's own, or one made from the job's."""
        return given or f"call_{self.id.hex}_{part}"
