"""How good a routing policy is on questions it has not seen, from recorded answers.

Learned policies are cross-fitted: the questions are parted, and each part is judged by an artefact calibrated on the
others alone (which splits those once more to choose its settings and threshold). Serving's own code decides, on what
it would see of a recorded answer; one part's artefact and decisions are kept for `load.routing_engine` to run.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from load.recorded import Task
from load.routing_pairs import Pair
from penstock.routing.artefact import Artefact
from penstock.routing.calibration import Goal, calibrate, calibrate_part, corpus_of
from penstock.routing.confidence import willing
from penstock.routing.curve import Curve, Floats, Outcomes, apgr, area_under_roc, curve, resamples
from penstock.routing.equivalence import RULES, equivalent
from penstock.routing.exchanges import signals_of
from penstock.routing.features import Exchange
from penstock.routing.learnt import Kind
from penstock.routing.training import Corpus

PARTS = 4
_RESAMPLES = 300
#: how the answers of a kind of question are compared; by their words where nothing else is said
KINDS = {"gsm": "numeric", "gsm8k": "numeric", "math-l5": "numeric", "crux": "literal", "boolq": "literal",
         "mmlu": "choice", "mmlupro": "choice", "sciq": "choice", "sat_en": "choice", "lsat_ar": "choice"}  # fmt: skip
#: of several kinds: what an answer marks as its result, to the letter
_MIXED = "literal"


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A learnt policy and what it decides of questions that it was not calibrated on.

    `asked` has the models that each of these is put to, in order, by its place in the task as the pair was asked it;
    `rule` and `signals` are as in a `LearntPolicy`.
    """

    pair: Pair
    kind: Kind
    artefact: Artefact
    rule: str
    signals: tuple[str, ...]
    asked: dict[int, tuple[str, ...]]


@dataclass(slots=True)
class Measured:
    """What one policy did on one pair. Qualities and costs are shares of the strong model's."""

    pair: str
    policy: str
    questions: int
    figures: dict[str, Any]
    curve: Curve | None = None
    held_out: HeldOut | None = None


def outcomes_of(task: Task, pair: Pair, *, paid_first: bool) -> Outcomes:
    """What the pair gave on every question; of several cheap models the last one's answer, and the cost of all."""
    return Outcomes(
        task.array(pair.cheap[-1], "right"),
        task.array(pair.strong, "right"),
        np.sum([task.array(name, "cost") for name in pair.cheap], axis=0),
        task.array(pair.strong, "cost"),
        paid_first,
    )


def rule_of(kinds: Iterable[str]) -> str:
    """The rule by which a route for questions of these kinds compares answers."""
    rules = {KINDS.get(kind, "text") for kind in kinds}
    return rules.pop() if len(rules) == 1 else _MIXED


@dataclass(slots=True)
class _Judged:
    """What artefacts say of every question of which they have learnt nothing, question by question."""

    part: NDArray[np.intp]
    rank: Floats
    wrong: Floats
    escalated: NDArray[np.bool_]
    unasked: NDArray[np.bool_]
    artefacts: list[Artefact] = field(default_factory=list)
    seconds: float = 0.0
    strange: int = 0


def learned(task: Task, pair: Pair, goal: Goal) -> Measured:
    """A learned policy: on the prompt alone, or on the cheap answer too when the goal says so."""
    task = task.asked((*pair.cheap, pair.strong))
    outcomes = outcomes_of(task, pair, paid_first=goal.sees_answer)
    model, rule = task.models[pair.cheap[0]], rule_of(task.kinds)
    exchanges = task.exchanges(pair.cheap[0] if goal.sees_answer else None, rule)
    answered = not goal.sees_answer and model.has_text
    teacher = corpus_of(task.exchanges(pair.cheap[0], rule), sees_answer=True) if answered else None
    judged = _cross_fitted(exchanges, outcomes, goal, teacher)
    if goal.sees_answer:
        judged.escalated |= [not usable(model.said(question)) for question in range(len(exchanges))]
    artefacts = judged.artefacts
    figures = _figures(judged.rank, judged.escalated, outcomes, goal, judged.unasked) | {
        "auc_cheap_right": area_under_roc(judged.wrong, outcomes.cheap < 0.5),
        "score_ms": 1000 * judged.seconds / len(exchanges),
        "unlike_calibration": judged.strange / len(exchanges),
        "verdicts": [artefact.report["verdict"] for artefact in artefacts],
        "saves_in_parts": sum(artefact.report["saves"] for artefact in artefacts),
        "settings": [artefact.report["settings"] for artefact in artefacts],
        "calibrated": [artefact.report["at_threshold"] for artefact in artefacts],
    }
    signals = signals_of(exchanges) if goal.sees_answer else ()
    held_out = _held_out(pair, judged, rule, signals, "verifier" if goal.sees_answer else "content")
    return Measured(str(pair), held_out.kind, len(exchanges), figures, curve(judged.rank, outcomes), held_out=held_out)


def _cross_fitted(exchanges: list[Exchange], outcomes: Outcomes, goal: Goal, teacher: Corpus | None) -> _Judged:
    corpus = corpus_of(exchanges, goal.sees_answer)
    size = len(exchanges)
    part = np.random.default_rng(1000 + goal.seed).permutation(size) % PARTS
    no = np.zeros(size, dtype=np.bool_)
    found = _Judged(part, np.zeros(size), np.zeros(size), no, no.copy())
    for number in range(PARTS):
        learn, judge = np.flatnonzero(part != number), np.flatnonzero(part == number)
        artefact = calibrate_part(corpus, learn, outcomes.take(learn), goal, teacher)
        begun = time.process_time()
        verdicts = [artefact.decide(exchanges[n]) for n in judge.tolist()]
        found.seconds += time.process_time() - begun
        # Artefacts differ in scale: what is comparable between them is the place in a part's own order.
        found.rank[judge] = np.argsort(np.argsort([verdict.need for verdict in verdicts], kind="stable")) / len(judge)
        found.wrong[judge] = [verdict.prediction.cheap_wrong for verdict in verdicts]
        found.escalated[judge] = [verdict.escalate for verdict in verdicts]
        found.strange += sum(verdict.strange is not None for verdict in verdicts)
        # Whoever always asks the strong model has no reason to look at the cheap answer first.
        found.unasked[judge] = artefact.threshold is None and artefact.always == "strong"
        found.artefacts.append(artefact)
    return found


def _held_out(pair: Pair, judged: _Judged, rule: str, signals: tuple[str, ...], kind: Kind) -> HeldOut:
    """What the first part's artefact decides of that part."""
    asked = {}
    for question in np.flatnonzero(judged.part == 0).tolist():
        if not judged.escalated[question]:
            asked[question] = pair.cheap
        elif kind == "content" or judged.unasked[question]:
            asked[question] = (pair.strong,)
        else:
            asked[question] = (*pair.cheap, pair.strong)
    return HeldOut(pair, kind, judged.artefacts[0], rule, signals, asked)


def signal(task: Task, pair: Pair, name: str, goal: Goal) -> Measured:
    """Escalation on one recorded probability alone, which needs no training; unknown counts as 0."""
    task = task.asked((*pair.cheap, pair.strong))
    values = np.array([given.get(name) or 0.0 for given in task.models[pair.cheap[0]].signals])
    outcomes = outcomes_of(task, pair, paid_first=True)
    figures = _figures(-values, None, outcomes, goal) | {
        "auc_cheap_right": area_under_roc(-values, outcomes.cheap < 0.5)
    }
    return Measured(str(pair), name, len(values), figures, curve(-values, outcomes))


def usable(answer: str) -> bool:
    """Whether an escalating route looks at an answer at all: one that says nothing or declines is never kept."""
    return bool(answer.strip()) and willing(answer) > 0


def trusted(kind: str, first: str, second: str) -> bool:
    """Whether the second cheap answer is kept, as an escalating route with `agreement` keeps it."""
    return usable(second) and equivalent(RULES[rule_of([kind])], first, second)


def agreement(task: Task, pair: Pair, goal: Goal) -> Measured:
    """Two cheap models must agree, by the task's own rule; nothing is learnt and no threshold is chosen."""
    beaten = beaten_of(task, pair)
    task = task.asked((*pair.cheap, pair.strong))
    first, second = (task.models[name] for name in pair.cheap)
    agreed = np.array([trusted(kind, first.said(n), second.said(n)) for n, kind in enumerate(task.kinds)])
    outcomes = outcomes_of(task, pair, paid_first=True)
    figures = _figures((~agreed).astype(np.float64), ~agreed, outcomes, goal)
    figures["agreed"] = float(agreed.mean())
    figures["right_when_agreed"] = float(outcomes.cheap[agreed].mean())
    return Measured(str(pair), "agreement", len(agreed), figures | {"beaten": beaten})


def beaten_of(task: Task, pair: Pair) -> list[str]:
    """The cheap models of a pair that another recorded one beats at a lower cost: nobody would choose them."""
    known = [(model.mean("cost"), model.mean("right")) for model in task.models.values() if model.priced]
    return [
        name
        for name in pair.cheap
        if any(
            cost < task.models[name].mean("cost") and right > task.models[name].mean("right") for cost, right in known
        )
    ]


def _figures(
    need: Floats,
    escalated: NDArray[np.bool_] | None,
    outcomes: Outcomes,
    goal: Goal,
    unasked: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    everything = np.ones(len(need), dtype=np.bool_)
    cheap = outcomes.mixed(~everything)
    free = Outcomes(outcomes.cheap, outcomes.strong, outcomes.cheap_cost, outcomes.strong_cost)
    gain = (outcomes.strong - outcomes.cheap) / np.maximum(free.extra_cost, 1e-12)
    drawn, oracle = curve(need, outcomes), curve(gain, free)
    figures: dict[str, Any] = {
        "accuracy": {"cheap": float(outcomes.cheap.mean()), "strong": float(outcomes.strong.mean())},
        "cheap_only": {"quality": cheap[0], "cost": cheap[1]},
        "read_off_curve": {
            f"{target:.0%}": {
                "cost": drawn.at(target)[0],
                "strong_calls": drawn.at(target)[1],
                "random_mix_cost": outcomes.random_cost(target),
                "oracle_cost": oracle.at(target)[0],
            }
            for target in sorted({0.95, 0.99, goal.target})
        },
    }
    draws = resamples(len(need), _RESAMPLES, goal.seed)
    if outcomes.strong.sum() > outcomes.cheap.sum():
        again = [apgr(need[draw], outcomes.take(draw)) for draw in draws
                 if outcomes.strong[draw].sum() > outcomes.cheap[draw].sum()]  # fmt: skip
        figures["apgr"] = apgr(need, outcomes)
        figures["apgr_interval"] = np.quantile(again, [0.025, 0.975]).tolist()
    if escalated is not None:
        free_cheap = np.zeros(len(need)) if unasked is None else np.where(unasked, outcomes.cheap_cost, 0.0)
        paid = replace(outcomes, cheap_cost=outcomes.cheap_cost - free_cheap)
        again_mixed = np.array([paid.take(draw).mixed(escalated[draw]) for draw in draws])
        quality, cost = paid.mixed(escalated)
        low, high = np.quantile(again_mixed, [0.025, 0.975], axis=0)
        figures["as_decided"] = {
            "quality": quality,
            "quality_interval": [float(low[0]), float(high[0])],
            "cost": cost,
            "cost_interval": [float(low[1]), float(high[1])],
            "strong_calls": float(escalated.mean()),
            "random_mix_cost": outcomes.random_cost(quality),
        }
    return figures


def other_domain(source: Task, task: Task, pair: Pair, goal: Goal) -> Measured:
    """A policy calibrated on another task's questions and used here as serving would: it sees no label of this task."""
    known = source.asked((*pair.cheap, pair.strong))
    artefact = calibrate(known.exchanges(None), outcomes_of(known, pair, paid_first=False), goal)
    task = task.asked((*pair.cheap, pair.strong))
    outcomes = outcomes_of(task, pair, paid_first=False)
    verdicts = [artefact.decide(exchange) for exchange in task.exchanges(None)]
    need = np.array([verdict.need for verdict in verdicts])
    escalated = np.array([verdict.escalate for verdict in verdicts])
    figures = _figures(need, escalated, outcomes, goal)
    figures["unlike_calibration"] = float(np.mean([verdict.strange is not None for verdict in verdicts]))
    return Measured(str(pair), f"content, learnt on {source.name}", len(need), figures, curve(need, outcomes))
