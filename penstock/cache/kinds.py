"""Kinds of questions that a calibration knows, and how clearly a question is of one of them.

A cosine says how alike two questions are. Where labelled questions taught kinds, more is known: a question that lies
clearly nearer to one kind than to any other is seldom mistaken for another one, and one between two kinds often is.
Each kind is the mean of its turned vectors.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
#: a plain score below which nothing is said by kinds: two questions of one kind may differ in what they ask for
FLOOR = 0.9


@dataclass(frozen=True, slots=True)
class Placed:
    """Questions among the kinds: the cosine with the nearest kind, and how much nearer that is than the second."""

    nearest: Floats
    clear: Floats


@dataclass(frozen=True, slots=True)
class Weighing:
    """What a score is made of where both questions are of known kinds.

    `least` is the cosine with the nearest kind from which on a question is of a known one; the rest are the weights of
    the cosine, of the length bonus (`replay.length_bonus`) and of the less clear one's clearness, and what is added.
    `strange` is added where either is of no known kind: there the turn says less than where it was learnt.
    """

    least: float
    cosine: float
    length: float
    clear: float
    offset: float
    strange: float


class Kinds:
    """Centres of the known kinds, in turned space, of length 1, a row each; and how they are weighed."""

    def __init__(self, centres: Floats, weighing: Weighing) -> None:
        self.centres = centres
        self.weighing = weighing

    def place(self, turned: Floats) -> Placed:
        """Where questions stand; `turned` has their vectors, a row each."""
        ranked = np.partition(turned @ self.centres.T, -2, axis=1)
        return Placed(ranked[:, -1], ranked[:, -1] - ranked[:, -2])

    def scores(self, plain: Floats, cosines: Floats, bonus: Floats, asked: Placed, stored: Placed) -> Floats:
        """The scores of questions (rows) with stored ones (columns), near `plain` where either is of no known kind.

        `bonus` is what `replay.length_bonus` says of each pair.
        """
        weigh = self.weighing
        clear = np.minimum(asked.clear[:, None], stored.clear[None])
        weighed = weigh.cosine * cosines + weigh.length * bonus + weigh.clear * clear + weigh.offset
        known = np.minimum(asked.nearest[:, None], stored.nearest[None]) >= weigh.least
        found: Floats = np.where(known & (plain >= FLOOR), weighed, plain + weigh.strange).astype(np.float32)
        return found

    def numbers(self) -> NDArray[np.float64]:
        """The weighing, in the order of its fields."""
        return np.array(astuple(self.weighing))


def centres_of(turned: Floats, labels: Sequence[str], known: frozenset[str]) -> Floats:
    """The centre of each label in `known`, in their order."""
    names = np.asarray(labels)
    means = np.stack([turned[names == name].mean(0) for name in sorted(known)])
    scaled: Floats = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)
    return scaled
