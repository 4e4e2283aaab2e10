"""Thresholds from pairs of questions, of which it is known whether one answer serves both.

A pair stands for a question and its nearest stored one. Pairs come from a file of labels, or from the notes of a
shadow, where the two answers themselves say whether they are the same. Rules without I/O.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.cache import gate
from penstock.cache.calibration import LEVELS, Calibration, Floats, choose
from penstock.cache.replay import Replayed
from penstock.store.semantic_answers import Shadow

#: answers whose vectors are this near say the same
SAME_ANSWER = 0.9


@dataclass(frozen=True, slots=True)
class Judged:
    """A question, by the score of its nearest stored one, and whether that one's answer would have been right.

    No score: nothing stored passes the gate.
    """

    score: float | None
    same: bool


def pair_scores(
    calibration: Calibration, asked: Sequence[str], stored: Sequence[str], vectors: Floats, others: Floats
) -> list[float | None]:
    """The score of each pair, None where the gate keeps it apart; both vectors turned, one row a pair."""
    return [
        float(calibration.scores([one], vectors[[row]], [other], others[[row]])[0, 0])
        if gate.disagreement(one, other) is None
        else None
        for row, (one, other) in enumerate(zip(asked, stored, strict=True))
    ]


def of_shadows(shadows: Iterable[Shadow]) -> list[Judged]:
    """What a shadow noted: its answers are the same where their vectors are nearly so."""
    return [Judged(one.score, one.agreement is not None and one.agreement >= SAME_ANSWER) for one in shadows]


def replay(judged: Sequence[Judged], threshold: float) -> Replayed:
    """Shares of all questions at one threshold."""
    served = [one for one in judged if one.score is not None and one.score >= threshold]
    wrong = sum(not one.same for one in served)
    return Replayed(threshold, len(served) / len(judged), wrong / len(judged))


def thresholds(judged: Sequence[Judged], margin: float, lowest: float = 0.0) -> dict[str, float]:
    """For each level the lowest threshold whose wrong answers stay within `margin` of what the level allows.

    None is below `lowest`: what was not looked at there is not known to be right.
    """
    return {
        level: max(choose(lambda at, _: replay(judged, at), [()], most * margin), lowest)
        for level, most in LEVELS.items()
    }
