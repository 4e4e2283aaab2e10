"""What was decided of a job when it was submitted: on which escalating route it is, and whom it may ask."""

from dataclasses import dataclass

from penstock.completion.encoding import loads
from penstock.store.jobs import ClaimedJob


@dataclass(frozen=True, slots=True)
class Ahead:
    """The escalating route that a job is on, and the models of each step after its deployment's.

    Of a step the first is asked; its others are for failures, and asked after it. `route` is None for a job that is on
    no such route.
    """

    route: str | None
    steps: tuple[tuple[str, ...], ...] = ()


def ahead_of(job: ClaimedJob) -> Ahead:
    """What a job has ahead of it."""
    left = list(job.fallback or ())
    if job.routing is None:
        # it was submitted when nothing was stored of a decision: its name says what it is on
        return Ahead(job.model, tuple((name,) for name in left))
    decision = loads(job.routing)
    stages: list[list[str]] | None = decision.get("stages")
    if stages is None:
        return Ahead(None)
    place = next((number for number, stage in enumerate(stages) if job.deployment in stage), len(stages))
    later = (tuple(name for name in stage if name in left) for stage in stages[place + 1 :])
    return Ahead(decision["escalation"], tuple(stage for stage in later if stage))


def may_see(job: ClaimedJob, deployment: str) -> bool:
    """Whether a deployment may be asked for the sake of an answer of a job: one that may serve it, or judge it."""
    return allows(job, deployment) or (job.routing is not None and deployment in loads(job.routing).get("judges", ()))


def allows(job: ClaimedJob, deployment: str) -> bool:
    """Whether a deployment was found fit for a job; for one of which nothing was stored, any is.

    A route whose jobs are given away late may have got another step since this one was submitted.
    """
    return job.routing is None or deployment in loads(job.routing)["order"]
