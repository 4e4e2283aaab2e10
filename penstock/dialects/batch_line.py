"""One line of a batch's output or error file (contract §3.5)."""

import uuid
from dataclasses import dataclass
from typing import Any

from penstock.completion.encoding import dumps
from penstock.dialects import registry
from penstock.dialects.facts import JobFacts

#: why a request got no response
_UNEXECUTED = {
    "cancelled": ("batch_cancelled", "This request was not executed because its batch was cancelled."),
    "expired": ("batch_expired", "This request could not be executed before its batch's completion window closed."),
}


@dataclass(frozen=True, slots=True)
class LineFacts:
    """What a line tells. `status_code` is None for a request that got no response; `dialect` is the job's."""

    custom_id: str
    status_code: int | None
    dialect: str
    job: JobFacts

    @classmethod
    def unexecuted(cls, job_id: uuid.UUID, custom_id: str, state: str) -> "LineFacts":
        """The line of a request whose job ended `cancelled` or `expired`; nothing else of the job is shown."""
        job = JobFacts(
            id=job_id,
            created_at=0,
            finished_at=None,
            state=state,
            started=False,
            background=False,
            model="",
            body={},
            result=None,
            error=None,
        )
        return cls(custom_id=custom_id, status_code=None, dialect="", job=job)


def render_line(line: LineFacts, number: int | None = None) -> bytes:
    """The line: ASCII JSON and a line feed; with its place in finishing order, if that is given.

    Raises:
        KeyError: a job without a status code that is neither cancelled nor expired, or a dialect nobody knows.
    """
    job, response, error = line.job, None, None
    if line.status_code is None:
        code, message = _UNEXECUTED[job.state]
        error = {"code": code, "message": message}
    else:
        dialect = registry.get(line.dialect)
        good = line.status_code == 200
        response = {
            "status_code": line.status_code,
            "request_id": "req_" + job.id.hex,
            "body": dialect.render(job) if good else dialect.render_error(job.failure),
        }
    value: dict[str, Any] = {
        "id": "batch_req_" + job.id.hex,
        "custom_id": line.custom_id,
        "response": response,
        "error": error,
    }
    if number is not None:
        value["number"] = number
    return dumps(value) + b"\n"
