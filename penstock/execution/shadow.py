"""Which accepted cheap answers are also asked of the strong model, in the background, to see whether they hold.

The draw is the job's own: recovered and done again, a job is drawn again or is not, as before.
"""

import hashlib
from dataclasses import dataclass
from uuid import UUID

from penstock.completion import CompletionResult
from penstock.configuration import RouteConfig
from penstock.configuration.routes import EMBEDDING
from penstock.routing.learnt import LearntPolicy

#: how answers are compared where neither the route nor its learnt policy says so
DEFAULT_RULE = "text"


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer to be compared with that of the model `strong`, by a rule of `penstock.routing.equivalence`."""

    route: str
    version: int
    strong: str
    rule: str
    answer: str


def drawn(job_id: UUID, share: float) -> bool:
    """Whether a job is among this share of all jobs."""
    place = int.from_bytes(hashlib.sha256(job_id.bytes).digest()[:8], "big") / 2**64
    return place < share


def sample(
    job_id: UUID,
    name: str,
    route: RouteConfig,
    policy: LearntPolicy | None,
    deployment: str,
    result: CompletionResult,
) -> Sample | None:
    """The sample to be taken of an answer by `deployment`, if one is.

    An answer of the strong model itself is none, nor is one without text, such as a tool call.
    """
    strong = policy.strong if policy is not None else route.steps[-1]
    if not drawn(job_id, route.shadow) or deployment == strong or not result.text.strip():
        return None
    if any(part.kind == "tool_call" for part in result.parts):
        return None
    own = route.accept.agreement if route.accept.agreement != EMBEDDING else None
    rule = own or (policy.rule if policy is not None else None) or DEFAULT_RULE
    return Sample(name, policy.version if policy is not None else 0, strong, rule, result.text)
