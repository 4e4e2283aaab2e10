"""The states of a job and the moves between them; docs/job-lifecycle.md shows the same table, and a test says so."""

from typing import Final, Literal

JobState = Literal["pending", "queued", "running", "succeeded", "failed", "cancelled", "expired"]

#: a job that ended; nothing moves it again
TERMINAL: Final[frozenset[JobState]] = frozenset({"succeeded", "failed", "cancelled", "expired"})

#: every move that may be made, with what makes it
TRANSITIONS: Final[dict[tuple[JobState, JobState], str]] = {
    ("pending", "queued"): "the dispatcher takes it from the backlog",
    ("queued", "pending"): "its doorbell was lost or could not be rung",
    ("queued", "running"): "a worker claims it; the epoch rises",
    ("running", "pending"): "deferral until quota is free, another deployment, or recovery from a dead worker",
    ("running", "queued"): "another deployment, with a client waiting",
    ("running", "succeeded"): "the answer is committed",
    ("running", "failed"): "the error is committed",
    ("pending", "succeeded"): "the answer of a worker that was given up for dead arrives",
    ("queued", "succeeded"): "the answer of a worker that was given up for dead arrives",
    ("pending", "failed"): "the error of a worker that was given up for dead arrives, or too many recoveries",
    ("queued", "failed"): "the error of a worker that was given up for dead arrives",
    ("pending", "cancelled"): "cancelled before it ran",
    ("queued", "cancelled"): "cancelled before it ran",
    ("running", "cancelled"): "cancelled while it ran",
    ("pending", "expired"): "its completion window closed",
    ("queued", "expired"): "its completion window closed",
    ("running", "expired"): "its completion window closed",
}


def may_move(before: JobState, after: JobState) -> bool:
    """Whether the table allows the move."""
    return (before, after) in TRANSITIONS
