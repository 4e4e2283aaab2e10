"""From evaluated work of a route's models to its learnt policy: what is learnt from, and what was normal then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from penstock.errors import InvalidRequest
from penstock.routing.artefact import Artefact
from penstock.routing.calibration import FEWEST, Calibrated, Goal, calibrated
from penstock.routing.curve import Curve, Outcomes, curve
from penstock.routing.drift import edges
from penstock.routing.equivalence import RULES, equivalent
from penstock.routing.evaluated import Evaluated, Plan
from penstock.routing.exchanges import answered, signals_of
from penstock.routing.features import Exchange
from penstock.routing.learnt import LearntPolicy


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learnt, from how many questions (`used`); `left_out` says how many others lacked what."""

    policy: LearntPolicy
    curve: Curve
    used: int
    left_out: Mapping[str, int]
    strong_cost: float

    @property
    def saves(self) -> bool:
        """Whether choosing saves anything."""
        return bool(self.policy.artefact.report["saves"])


def learn(questions: Sequence[Evaluated], plan: Plan, goal: Goal) -> Lesson:
    """Calibrate a policy; `goal.sees_answer` follows from the plan's kind.

    Raises:
        InvalidRequest: there are too few questions that have everything that is needed; the message says what lacks.
    """
    used, left_out = _usable(questions, plan)
    if len(used) < FEWEST:
        lacking = "; ".join(f"{count} have no {what}" for what, count in left_out.items())
        raise InvalidRequest(
            f"{len(used)} questions can be learnt from, and at least {FEWEST} are needed"
            + (f" ({lacking})" if lacking else "")
        )
    sees_answer = plan.kind == "verifier"
    # a policy that decides on the prompt learns from the answers too, where all of them are there
    exchanges = _exchanges(used, plan)
    outcomes = Outcomes(
        np.array([question.right[plan.cheap] for question in used], dtype=np.float64),
        np.array([question.right[plan.strong] for question in used], dtype=np.float64),
        np.array([question.costs[plan.cheap] for question in used], dtype=np.float64),
        np.array([question.costs[plan.strong] for question in used], dtype=np.float64),
        paid_first=sees_answer,
    )
    if not outcomes.strong.sum() or not outcomes.strong_cost.sum():
        raise InvalidRequest(f"{plan.strong} was never right, or cost nothing: there is nothing to keep or to save")
    found = calibrated(exchanges, outcomes, replace(goal, sees_answer=sees_answer))
    policy = LearntPolicy(
        plan.kind,
        plan.cheap,
        plan.strong,
        found.artefact,
        plan.rule,
        signals_of(exchanges) if sees_answer else (),
        _baseline(used, found, plan),
    )
    return Lesson(policy, curve(found.need, outcomes), len(used), left_out, float(outcomes.strong_cost.mean()))


def _usable(questions: Sequence[Evaluated], plan: Plan) -> tuple[list[Evaluated], dict[str, int]]:
    used, left_out = [], dict[str, int]()
    for question in questions:
        lacks = _lacking(question, plan)
        if lacks is None:
            used.append(question)
        else:
            left_out[lacks] = left_out.get(lacks, 0) + 1
    return used, left_out


def _lacking(question: Evaluated, plan: Plan) -> str | None:
    if question.prompt is None:
        return "prompt"
    for model in (plan.cheap, plan.strong):
        if model not in question.right:
            return f"label for {model}"
        if model not in question.costs:
            return f"cost of {model}"
    return f"answer of {plan.cheap}" if plan.kind == "verifier" and plan.cheap not in question.answers else None


def _exchanges(used: Sequence[Evaluated], plan: Plan) -> list[Exchange]:
    if any(plan.cheap not in question.answers for question in used):
        return [Exchange(question.prompt or "") for question in used]
    return [
        answered(question.prompt or "", question.answers[plan.cheap], question.probabilities.get(plan.cheap), plan.rule)
        for question in used
    ]


def _baseline(used: Sequence[Evaluated], found: Calibrated, plan: Plan) -> dict[str, object]:
    """What was normal: how scores lay, how often the strong model was asked, how often answers said the same."""
    escalated = _escalated(found.artefact, found)
    kept = [question for question, asked in zip(used, escalated, strict=True) if not asked]
    baseline: dict[str, object] = {
        "need_edges": edges(found.need.tolist()),
        "escalated": float(np.mean(escalated)),
    }
    if plan.rule is not None:
        baseline |= _same("same", kept, plan.cheap, plan.strong, plan.rule)
        if plan.beside is not None:
            baseline |= _same("agreed", used, plan.cheap, plan.beside, plan.rule)
    return baseline


def _escalated(artefact: Artefact, found: Calibrated) -> list[bool]:
    if artefact.threshold is None:
        return [artefact.always == "strong"] * len(found.need)
    return [bool(need >= artefact.threshold) for need in found.need]


def _same(name: str, questions: Sequence[Evaluated], first: str, second: str, rule: str) -> dict[str, object]:
    """How many of the answers that both gave say the same; nothing where none is known."""
    both = [question for question in questions if first in question.answers and second in question.answers]
    if not both:
        return {}
    form = RULES[rule]
    return {name: sum(equivalent(form, one.answers[first], one.answers[second]) for one in both) / len(both)}
