"""A job's upstream calls, as its owner sees them."""

from collections.abc import Sequence
from typing import Any

from penstock.rules import prices
from penstock.store.attempts import AttemptRow


def render_attempts(rows: Sequence[AttemptRow]) -> dict[str, Any]:
    """The fields `cost` and `attempts` of a job. Money is in US dollars, null where no price is known."""
    cost = prices.together(rows)
    return {"cost": float(cost) if cost is not None else None, "attempts": [_attempt(row) for row in rows]}


def _attempt(row: AttemptRow) -> dict[str, Any]:
    return {
        "deployment": row.deployment,
        "started_at": row.started_at.timestamp(),
        "outcome": row.outcome,
        "error": {"type": row.error_type, "message": row.error} if row.error_type else None,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cached_tokens": row.cached_tokens,
        "cost": float(row.cost) if row.cost is not None else None,
        "latency_ms": row.latency_ms,
        "first_token_ms": row.first_token_ms,
    }
