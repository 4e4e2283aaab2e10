"""What was decided of a job when it was submitted: on which escalating route it is, and whom it may ask."""

from penstock.completion.encoding import loads
from penstock.store.jobs import ClaimedJob


def escalation_of(job: ClaimedJob) -> tuple[str | None, list[str]]:
    """The escalating route that a job is on, and the models that are asked when its answer is not trusted.

    None where it is on no such route. Its other models are for failures only.
    """
    left = list(job.fallback or ())
    if job.routing is None:
        # it was submitted when nothing was stored of a decision: its name says what it is on
        return job.model, left
    decision = loads(job.routing)
    stages: list[list[str]] | None = decision.get("stages")
    if stages is None:
        return None, []
    place = next((number for number, stage in enumerate(stages) if job.deployment in stage), len(stages))
    later = {name for stage in stages[place + 1 :] for name in stage}
    return decision["escalation"], [name for name in left if name in later]


def may_serve(job: ClaimedJob) -> bool:
    """Whether its deployment is one of those that were found fit for it.

    A route whose jobs are given away late may have got another step since this one was submitted.
    """
    return job.routing is None or job.deployment in loads(job.routing)["order"]
