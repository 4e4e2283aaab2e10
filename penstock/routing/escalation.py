"""Cheap first, the next step when confidence is low: what to do after each answer of a route. Pure.

Whoever runs the route keeps every step's answer, cost and confidence, and asks here what comes next.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One answer given so far. `confidence` is from 0 to 1, None when no signal said anything; `cost` US dollars."""

    model: str
    confidence: float | None
    cost: float


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a job may escalate: answers in all, and US dollars in all (None: no limit)."""

    steps: int = 3
    budget: float | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """Either `accept` one of the answers (its place among the steps) or ask `model`; `reason` says why."""

    accept: int | None
    model: str | None
    reason: str


def after(
    done: Sequence[Step], route: Sequence[str], least: float, limits: Limits, next_cost: float | None = None
) -> Next:
    """What comes after these answers; `route` are the models in order, `next_cost` what the next is expected to cost.

    The last model's answer is accepted whatever its confidence: it is the strongest. When the limits stop the route
    earlier, the answer of the highest confidence is, and the later of equals. Unknown confidence is low.

    Raises:
        ValueError: no answer was given yet.
    """
    if not done:
        raise ValueError("there is no answer yet: the first model of the route is asked")
    last = done[-1]
    place = len(done) - 1
    sure = last.confidence if last.confidence is not None else 0.0
    if sure >= least:
        return Next(place, None, f"{last.model}: confidence {sure:.2f} is at least {least:.2f}")
    if len(done) >= len(route):
        return Next(place, None, f"{last.model} is the last of the route")
    best = max(range(len(done)), key=lambda n: (done[n].confidence or 0.0, n))
    if len(done) >= limits.steps:
        return Next(best, None, f"{limits.steps} steps were taken; {done[best].model} was surest")
    spent = sum(step.cost for step in done)
    if limits.budget is not None and (next_cost is None or spent + next_cost > limits.budget):
        return Next(best, None, f"the budget of ${limits.budget:.6f} does not cover another step")
    said = "unknown" if last.confidence is None else f"{sure:.2f}"
    return Next(None, route[len(done)], f"{last.model}: confidence {said} is below {least:.2f}")
