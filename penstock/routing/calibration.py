"""Learns when to ask the strong model from labelled work, and says what that saves, also when it saves nothing.

Every example is validated by a model that did not learn from it (cross-fitting): the same predictions choose the
penalty, the weights and the threshold. The threshold aims a margin above the target, since one that is read off a
curve misses it on new work. Intervals are of 95 %, by resampling the examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.routing.artefact import Artefact
from penstock.routing.curve import Curve, Floats, Outcomes, apgr, curve, resamples
from penstock.routing.features import Exchange, features
from penstock.routing.training import (
    Corpus,
    Encoder,
    Places,
    familiarity,
    fit_weights,
    forest_of,
    grow_trees,
    learned_score,
    unknown_share,
)

PENALTIES = (3.0, 10.0)
#: what the trees count beside the linear score
TREE_SHARES = (0.0, 0.4)
#: how much the strong model's errors weigh
WEIGHS = (0.75, 1.0)
#: of the cost of asking it. Not chosen in validation: the curve is flat about it, and a choice among noise costs more
COST_POWER = 0.75
#: what a teacher's predictions count beside the labels, and the penalty it is learnt with
TAUGHT = 0.5
TEACHER_PENALTY = 8.0
#: less than this share of the strong model's cost is not called a saving, whatever the interval
LEAST_SAVING = 0.05
#: a curve is smoothed over this part of its points on either side
SMOOTHED = 40
#: examples below which nothing is learnt
FEWEST = 100


@dataclass(frozen=True, slots=True)
class Goal:
    """What to calibrate for.

    `target` and `margin` are shares of the strong model's quality; `sees_answer` says that the cheap model is asked
    first and its answer judged.
    """

    sees_answer: bool = False
    target: float = 0.99
    margin: float = 0.005
    folds: int = 5
    resamples: int = 300
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The settings that did best in validation, and what the validated predictions need under them."""

    penalty: float
    tree_share: float
    weigh_strong: float
    cost_power: float
    need: Floats


@dataclass(frozen=True, slots=True)
class _Validated:
    """Of every example, by models that have not seen it: predictions by (penalty, tree share), unknown terms."""

    predictions: dict[tuple[float, float], Floats]
    unknown: Floats


@dataclass(frozen=True, slots=True)
class Calibrated:
    """An artefact, and what it was chosen by: each example's need as a model that has not seen it predicts it."""

    artefact: Artefact
    need: Floats


def calibrate(exchanges: Sequence[Exchange], outcomes: Outcomes, goal: Goal) -> Artefact:
    """Learn from the examples.

    A policy that decides before the cheap model is asked learns from the answers too, where all examples have one: a
    score that sees them teaches the one that does not. Whether an answer looks wrong says more of its prompt than
    whether it happened to be right.

    Raises:
        ValueError: there are too few of them, or some lack an answer that should be judged.
    """
    return calibrated(exchanges, outcomes, goal).artefact


def calibrated(exchanges: Sequence[Exchange], outcomes: Outcomes, goal: Goal) -> Calibrated:
    """As `calibrate`, with the validated predictions. Raises as it does."""
    if goal.sees_answer and any(exchange.answer is None for exchange in exchanges):
        raise ValueError("every example needs the cheap model's answer to learn from answers")
    corpus = corpus_of(exchanges, goal.sees_answer)
    answered = not goal.sees_answer and all(exchange.answer is not None for exchange in exchanges)
    teacher = corpus_of(exchanges, sees_answer=True) if answered else None
    return _calibrated_part(corpus, np.arange(len(exchanges)), outcomes, goal, teacher)


def corpus_of(exchanges: Sequence[Exchange], sees_answer: bool) -> Corpus:
    """The examples as a corpus, with or without the answers."""
    plain = exchanges if sees_answer else [Exchange(exchange.prompt) for exchange in exchanges]
    return Corpus.of([features(exchange) for exchange in plain])


def calibrate_part(
    corpus: Corpus, part: Places, outcomes: Outcomes, goal: Goal, teacher: Corpus | None = None
) -> Artefact:
    """As `calibrate`, from some examples of a corpus; `outcomes` are theirs, `teacher` has the same with answers."""
    return _calibrated_part(corpus, part, outcomes, goal, teacher).artefact


def _calibrated_part(
    corpus: Corpus, part: Places, outcomes: Outcomes, goal: Goal, teacher: Corpus | None
) -> Calibrated:
    if len(part) < FEWEST:
        raise ValueError(f"{len(part)} labelled examples are too few to learn from: at least {FEWEST}")
    targets = _targets(outcomes)
    validated = _cross_fit(corpus, part, targets, goal, teacher)
    choice = _choose(validated.predictions, outcomes)
    taught = _taught(teacher, part, targets, goal)
    encoder = Encoder.fit(corpus, part)
    weights = fit_weights(encoder.rows(corpus, part), taught, choice.penalty)
    share = choice.tree_share
    forest = forest_of(corpus, grow_trees(corpus, part, taught), share) if share else None
    drawn = curve(choice.need, outcomes)
    threshold = _threshold(drawn, choice.need, goal)
    report = _report(choice, outcomes, drawn, threshold, goal)
    artefact = Artefact(
        target=goal.target,
        threshold=threshold if report["saves"] else None,
        weigh_strong=choice.weigh_strong,
        cost_power=choice.cost_power,
        score=learned_score(corpus, encoder, weights, goal.sees_answer, forest),
        report=report,
        always=report["always"],
        familiar=familiarity(corpus, part, validated.unknown),
    )
    return Calibrated(artefact, choice.need)


def need(predictions: Floats, weigh_strong: float, cost_power: float) -> Floats:
    """`Prediction.need` for many: one row of `OUTPUTS` each."""
    gain = predictions[:, 0] - weigh_strong * predictions[:, 1]
    return np.asarray(gain / np.exp(cost_power * np.minimum(predictions[:, 2], 50.0)), dtype=np.float64)


def _targets(outcomes: Outcomes) -> Floats:
    """A strong call that costs less than the cheap one counts as nearly free."""
    extra = outcomes.extra_cost
    positive = extra[extra > 0]
    least = float(np.median(positive)) / 20 if len(positive) else 1e-9
    return np.column_stack([1 - outcomes.cheap, 1 - outcomes.strong, np.log(np.maximum(extra, least))])


def _taught(teacher: Corpus | None, part: Places, targets: Floats, goal: Goal) -> Floats:
    """The targets, drawn to what a score that sees the answers predicts of examples it has not seen.

    In validation each fold has teachers of its own. One for all of them would tell a fold what it is judged by: a
    threshold for 99.5 % then kept 98.2 % (MMLU-Pro, 2026-11-29).
    """
    if teacher is None:
        return targets
    soft = np.zeros_like(targets)
    fold = np.random.default_rng(goal.seed + 1).permutation(len(part)) % goal.folds
    for number in range(goal.folds):
        learn, judge = fold != number, fold == number
        encoder = Encoder.fit(teacher, part[learn])
        weights = fit_weights(encoder.rows(teacher, part[learn]), targets[learn], TEACHER_PENALTY)
        soft[judge] = weights.predict(encoder.rows(teacher, part[judge]))
    soft[:, :2] = np.clip(soft[:, :2], 0.0, 1.0)
    return (1 - TAUGHT) * targets + TAUGHT * soft


def _cross_fit(corpus: Corpus, part: Places, targets: Floats, goal: Goal, teacher: Corpus | None) -> _Validated:
    """Predictions of every example, by settings, each by a model that has not seen it."""
    fold = np.random.default_rng(goal.seed).permutation(len(part)) % goal.folds
    predicted = {(penalty, share): np.zeros_like(targets) for penalty in PENALTIES for share in TREE_SHARES}
    unknown = np.zeros(len(part))
    for number in range(goal.folds):
        learn, judge = fold != number, fold == number
        encoder = Encoder.fit(corpus, part[learn])
        rows, others = encoder.rows(corpus, part[learn]), encoder.rows(corpus, part[judge])
        taught = _taught(teacher, part[learn], targets[learn], goal)
        grown = grow_trees(corpus, part[learn], taught)
        trees = np.column_stack([model.predict(corpus.numbers[part[judge]]) for model in grown])
        for penalty in PENALTIES:
            linear = fit_weights(rows, taught, penalty).predict(others)
            for share in TREE_SHARES:
                predicted[penalty, share][judge] = (1 - share) * linear + share * trees
        unknown[judge] = unknown_share(corpus, encoder, part[judge])
    return _Validated(predicted, unknown)


def _choose(validated: dict[tuple[float, float], Floats], outcomes: Outcomes) -> Choice:
    """The settings with the greatest share of the gap recovered per cost."""
    choices = [
        Choice(penalty, share, weigh, COST_POWER, need(predictions, weigh, COST_POWER))
        for (penalty, share), predictions in validated.items()
        for weigh in WEIGHS
    ]
    if outcomes.strong.sum() <= outcomes.cheap.sum():
        return choices[0]
    return max(choices, key=lambda choice: apgr(choice.need, outcomes, by_cost=True))


def _threshold(drawn: Curve, needs: Floats, goal: Goal) -> float:
    """The least costly one whose quality in validation is the target and the margin, or the best the curve has.

    The curve is smoothed first: the first of many places at which a noisy one touches a quality is a lucky one.
    """
    quality = _smooth(drawn.quality)
    wanted = min(goal.target + goal.margin, float(quality.max()))
    reached = np.flatnonzero(quality >= wanted - 1e-12)
    escalated = int(reached[np.argmin(drawn.cost[reached])])
    ranked = np.sort(needs)[::-1]
    if escalated == 0:
        return float(ranked[0]) + 1.0
    return float(ranked[escalated - 1])


def _smooth(values: Floats) -> Floats:
    """The mean over the neighbours on both sides, as many on one as on the other: the ends stay as they are."""
    size = len(values)
    place = np.arange(size)
    reach = np.minimum(np.minimum(place, size - 1 - place), size // SMOOTHED)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray((sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1), dtype=np.float64)


def _report(choice: Choice, outcomes: Outcomes, drawn: Curve, threshold: float, goal: Goal) -> dict[str, Any]:
    escalated = choice.need >= threshold
    quality, cost = outcomes.mixed(escalated)
    draws = resamples(len(escalated), goal.resamples, goal.seed)
    again = [_resampled(choice.need, escalated, outcomes, draw) for draw in draws]
    saving = outcomes.random_cost(quality) - cost
    better = outcomes.strong.sum() > outcomes.cheap.sum()
    interval = _interval([row["saving"] for row in again])
    saves = bool(better and saving >= LEAST_SAVING and interval[0] > 0)
    cheap_quality, cheap_cost = outcomes.mixed(np.zeros(len(escalated), dtype=np.bool_))
    oracle = curve(_oracle(outcomes), outcomes).at(min(goal.target, float(drawn.quality.max())))
    return {
        "examples": len(escalated),
        "saves": saves,
        "always": "cheap" if not better or not escalated.any() else "strong",
        "verdict": _verdict(saves, better, bool(escalated.any()), saving),
        "at_threshold": {
            "quality": quality,
            "quality_interval": _interval([row["quality"] for row in again]),
            "cost": cost,
            "cost_interval": _interval([row["cost"] for row in again]),
            "strong_calls": float(escalated.mean()),
        },
        "saving_to_random_mix": saving,
        "saving_interval": interval,
        "apgr": apgr(choice.need, outcomes) if better else None,
        "apgr_interval": _interval([row["apgr"] for row in again if row["apgr"] is not None]) if better else None,
        "cheap_only": {"quality": cheap_quality, "cost": cheap_cost},
        "strong_only": {"quality": 1.0, "cost": 1.0},
        "random_mix": {"quality": quality, "cost": outcomes.random_cost(quality)},
        "oracle": {"quality": goal.target, "cost": oracle[0]},
        "settings": {
            "penalty": choice.penalty,
            "tree_share": choice.tree_share,
            "weigh_strong": choice.weigh_strong,
            "cost_power": choice.cost_power,
            "margin": goal.margin,
        },
    }


def _verdict(saves: bool, better: bool, any_escalated: bool, saving: float) -> str:
    if not better:
        return "no saving here: the strong model is no better on these examples, so use the cheap one"
    if not any_escalated:
        return "no saving here by choosing: the cheap model alone keeps the target"
    if not saves:
        return "no saving here: a random mix of both models is as good"
    return f"saves {saving:.1%} of the strong model's cost beside a random mix of the same quality"


def _resampled(
    needs: Floats, escalated: NDArray[np.bool_], outcomes: Outcomes, draw: NDArray[np.intp]
) -> dict[str, float | None]:
    part = outcomes.take(draw)
    quality, cost = part.mixed(escalated[draw])
    better = part.strong.sum() > part.cheap.sum()
    return {
        "quality": quality,
        "cost": cost,
        "saving": part.random_cost(quality) - cost,
        "apgr": apgr(needs[draw], part) if better else None,
    }


def _oracle(outcomes: Outcomes) -> Floats:
    """Who knows both answers asks the strong model where it helps, least costly first."""
    gain = outcomes.strong - outcomes.cheap
    return np.asarray(gain / np.maximum(outcomes.extra_cost, 1e-12), dtype=np.float64)


def _interval(values: Sequence[float | None]) -> list[float]:
    low, high = np.quantile(np.array(values, dtype=np.float64), [0.025, 0.975])
    return [float(low), float(high)]
