"""A job on its way through a worker, and the ways in which it goes on elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.cache.policy import Wish
from penstock.completion import CompletionRequest, EmbeddingRequest
from penstock.completion.step import RouteStep
from penstock.execution.call import Emit
from penstock.execution.record import CallRecord
from penstock.store.jobs import ClaimedJob


class Hop(Exception):
    """Raised when a job goes on at another deployment, with what it may fall back to after that.

    `steps` are what was answered here, when that is why.
    """

    def __init__(self, deployment: str, fallback: list[str], steps: Sequence[RouteStep] = ()) -> None:
        super().__init__(f"on to {deployment}")
        self.deployment = deployment
        self.fallback = fallback
        self.steps = tuple(steps)


@dataclass(frozen=True, slots=True)
class Work:
    """A call to be made for a job: what is asked of which `deployment`, and what it wishes of the cache.

    `size` is the request's length in bytes, `fallback_on` after which failures another deployment is asked. One that is
    to be answered `at_once` does not wait for its quota. `residency` is where the job's data must stay:
    what is asked for the sake of its answer keeps to it too.
    """

    job: ClaimedJob
    request: CompletionRequest | EmbeddingRequest
    wish: Wish
    record: CallRecord
    emit: Emit | None
    deployment: str
    size: int
    fallback_on: frozenset[str] = frozenset()
    at_once: bool = False
    residency: str | None = None
