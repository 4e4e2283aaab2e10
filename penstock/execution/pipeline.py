"""The steps of one job, in order: parse, plan, call, finish."""

import time

import structlog

from penstock.completion import CompletionRequest, CompletionResult
from penstock.completion.encoding import loads
from penstock.completion.outcome import Outcome
from penstock.dialects import openai_responses, registry
from penstock.dialects.batch_line import LineFacts, render_line
from penstock.dialects.facts import JobFacts
from penstock.errors import ModelNotFound, PenstockError, error_to_json
from penstock.execution.call import Caller, CallRecord, Deferred, Emit
from penstock.ids import public_id
from penstock.providers.deployments import Deployments
from penstock.rules.context import require_fit
from penstock.rules.lifecycle import JobState
from penstock.store.finish import FinishedJob
from penstock.store.jobs import ClaimedJob

_log = structlog.get_logger()


class Pipeline:
    """Turns claimed jobs into finished ones."""

    def __init__(self, deployments: Deployments, caller: Caller) -> None:
        self._deployments = deployments
        self._caller = caller

    async def run(self, job: ClaimedJob, record: CallRecord, emit: Emit | None) -> FinishedJob:
        """Do the work of a job. What goes wrong with it becomes its stored error.

        Raises:
            Deferred: it must go back to the backlog until there is quota.
        """
        try:
            result = await self._complete(job, record, emit)
        except Deferred:
            raise
        except PenstockError as error:
            return failed(job, record, error)
        except Exception as error:  # noqa: BLE001 — a fault of ours must end this job alone, and be seen
            _log.exception("a job met a fault of Penstock's own", job=job.id.hex)
            return failed(job, record, PenstockError(f"Internal error ({type(error).__name__})."))
        return _finished(job, record, "succeeded", 200, Outcome(result=result))

    async def _complete(self, job: ClaimedJob, record: CallRecord, emit: Emit | None) -> CompletionResult:
        request = parse_body(job)
        deployment = self._deployments.get(job.deployment)
        if deployment is None:
            raise ModelNotFound(job.model)
        require_fit(request, deployment.context)
        return await self._caller.complete(
            request, deployment, record, size=len(job.body), interactive=job.lane == "interactive", emit=emit
        )


def parse_body(job: ClaimedJob) -> CompletionRequest:
    """The request of a job, read by its dialect.

    Raises:
        InvalidRequest: the body is not a request of that dialect.
    """
    return registry.get(job.dialect).parse(loads(job.body))


def failed(job: ClaimedJob, record: CallRecord, error: PenstockError) -> FinishedJob:
    """The end of a job that could not be done; what was already streamed of it is kept."""
    partial = record.builder.build() if record.emitted else None
    return _finished(job, record, "failed", error.status, Outcome(result=partial, error=error_to_json(error)))


def cancelled(job: ClaimedJob, record: CallRecord, state: JobState) -> FinishedJob:
    """The end of a running job that was `cancelled` or `expired`; what was already streamed of it is kept."""
    partial = record.builder.build() if record.emitted else None
    return _finished(job, record, state, None, Outcome(result=partial))


def _finished(
    job: ClaimedJob, record: CallRecord, state: JobState, status_code: int | None, outcome: Outcome
) -> FinishedJob:
    body = outcome.to_bytes()
    has_line = job.batch_id is not None and status_code is not None
    return FinishedJob(
        id=job.id,
        epoch=job.epoch,
        state=state,
        status_code=status_code,
        body=body,
        line_bytes=len(_line(job, state, status_code, outcome)) if has_line else None,
        usage=record.usage,
        cost=record.cost,
        event_type=_event_type(job, state, outcome),
        object_id=public_id("resp_", job.id),
        attempts=tuple(record.attempts),
    )


def _line(job: ClaimedJob, state: JobState, status_code: int | None, outcome: Outcome) -> bytes:
    """The line this job will have in a result file: its length is counted once, here, and stored."""
    facts = _facts(job, state, outcome)
    return render_line(
        LineFacts(custom_id=job.custom_id or "", status_code=status_code, dialect=job.dialect, job=facts)
    )


def _facts(job: ClaimedJob, state: JobState, outcome: Outcome) -> JobFacts:
    return JobFacts(
        id=job.id,
        created_at=int(job.created_at.timestamp()),
        finished_at=int(time.time()),
        state=state,
        started=True,
        background=job.background,
        model=job.model,
        body=loads(job.body),
        result=outcome.result,
        error=outcome.error,
    )


def _event_type(job: ClaimedJob, state: JobState, outcome: Outcome) -> str | None:
    """Background responses announce their end (contract §10.1)."""
    if not job.background or job.dialect != "openai.responses":
        return None
    return f"response.{openai_responses.status(_facts(job, state, outcome))}"
