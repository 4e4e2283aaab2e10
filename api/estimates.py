"""What is told of a batch's end before it came."""

from datetime import datetime

from penstock.store.batches import TERMINAL, Batch

_LATE = (
    "At the present rate this batch will not be finished when its completion window closes: what is not answered by"
    " then will expire."
)


def expected_end(batch: Batch) -> datetime | None:
    """When a batch is expected to end; None as long as nothing is known, and after its end."""
    return None if batch.status in TERMINAL else batch.estimated_completion_at


def warning(batch: Batch) -> str | None:
    """What its owner should know now: that it cannot meet its window."""
    return _LATE if batch.late and expected_end(batch) is not None else None
