"""The vendor's batch object, from every state that a batch can be in."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from anthropic.types.messages import MessageBatch
from hypothesis import given
from hypothesis import strategies as st

from api.anthropic.batches import render, request_counts
from penstock.store.batches import Batch

AT = datetime(2026, 11, 23, 9, 0, 0, 120, tzinfo=UTC).astimezone(tz=None)


def batch(status: str = "in_progress", **changes: Any) -> Batch:
    values: dict[str, Any] = dict.fromkeys(Batch.__slots__)
    numbers = ("total", "completed", "failed", "finished", "ingested_to")
    values |= dict.fromkeys(numbers, 0) | {
        "id": uuid.UUID(int=1), "tenant_id": "t", "endpoint": "/v1/messages", "status": status, "cost": Decimal(0),
        "created_at": AT, "expires_at": AT + timedelta(days=1), "in_progress_at": AT, "total": 10,
    }  # fmt: skip
    return Batch(**(values | changes))


@pytest.mark.parametrize(
    ("row", "status", "counts"),
    [
        (batch(), "in_progress", {"processing": 10}),
        (batch(completed=4, failed=2), "in_progress", {"processing": 10}),
        (batch("finalizing", completed=10), "in_progress", {"processing": 10}),
        (batch("cancelling", ending="cancelled", cancelling_at=AT, completed=4), "canceling", {"processing": 10}),
        (batch(ending="expired", completed=4), "in_progress", {"processing": 10}),
        (batch("completed", completed=7, failed=3, completed_at=AT), "ended", {"succeeded": 7, "errored": 3}),
        (
            batch("cancelled", ending="cancelled", completed=4, failed=1, cancelling_at=AT, cancelled_at=AT),
            "ended",
            {"succeeded": 4, "errored": 1, "canceled": 5},
        ),
        (batch("expired", ending="expired", completed=4, expired_at=AT), "ended", {"succeeded": 4, "expired": 6}),
    ],
)
def test_every_state(row: Batch, status: str, counts: dict[str, int]):
    shown = render(row, "https://llm.example.com")
    read = MessageBatch.model_validate(shown)
    assert read.processing_status == status
    assert {name: count for name, count in shown["request_counts"].items() if count} == counts
    assert shown["created_at"] == "2026-11-23T09:00:00.000120Z"
    assert shown["expires_at"] == "2026-11-24T09:00:00.000120Z"
    assert shown["archived_at"] is None
    url = f"https://llm.example.com/v1/messages/batches/{shown['id']}/results"
    assert (shown["ended_at"] is not None, shown["results_url"]) == (
        (True, url) if status == "ended" else (False, None)
    )
    assert (shown["cancel_initiated_at"] is not None) == (row.ending == "cancelled")


@given(st.sampled_from(["completed", "cancelled", "expired", None]), st.integers(0, 5), st.integers(0, 5))
def test_the_counts_always_sum_to_the_total(ended: str | None, completed: int, failed: int):
    changes = {f"{ended}_at": AT, "ending": ended if ended != "completed" else None} if ended else {}
    total = completed + failed if ended == "completed" else 10
    row = batch(ended or "in_progress", total=total, completed=completed, failed=failed, **changes)
    assert sum(request_counts(row).values()) == total
