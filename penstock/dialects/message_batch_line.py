"""One line of the results of an Anthropic batch (contract §14.3)."""

from typing import Any

from penstock.completion.encoding import dumps
from penstock.dialects import anthropic_messages
from penstock.dialects.facts import JobFacts

#: the only types of errors that clients know inside results (contract §11)
ERROR_TYPES = frozenset(
    {
        "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
        "rate_limit_error", "timeout_error", "api_error", "overloaded_error",
    }
)  # fmt: skip


def render_line(custom_id: str, job: JobFacts) -> bytes:
    """The line of a job that ended: ASCII JSON and a line feed.

    Raises:
        ValueError: the job has not ended.
    """
    if not job.ended:
        raise ValueError("only a job that ended has a result")
    return dumps({"custom_id": custom_id, "result": _result(job)}) + b"\n"


def _result(job: JobFacts) -> dict[str, Any]:
    if job.state == "succeeded":
        return {"type": "succeeded", "message": anthropic_messages.render(job)}
    if job.state == "failed":
        return {"type": "errored", "error": _error(job)}
    return {"type": "canceled" if job.state == "cancelled" else "expired"}


def _error(job: JobFacts) -> dict[str, Any]:
    envelope = anthropic_messages.render_error(job.failure, "req_" + job.id.hex)
    if envelope["error"]["type"] not in ERROR_TYPES:
        # too large a request: what is left of the statuses that have a word of their own
        envelope["error"]["type"] = "invalid_request_error"
    return envelope
