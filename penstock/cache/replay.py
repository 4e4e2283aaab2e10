"""What a semantic cache would have done with a stream of questions whose right answers are known.

Each question in turn looks among the earlier ones that missed, which is what the cache would hold. A hit is wrong when
the stored question has another label. All shares are of all queries, not of the hits: that is what a user meets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from penstock.cache import gate

Floats = NDArray[np.float32]
#: how many neighbours are looked at before a question counts as new
NEIGHBOURS = 12
#: scores below are looked at only where a threshold is as low
_FLOOR = 0.7
#: a longer question says no more about which answer it wants
_LONGEST = 25


@dataclass(frozen=True, slots=True)
class Replayed:
    """Shares of all queries at one threshold."""

    threshold: float
    hits: float
    wrong: float


def length_bonus(asked: Sequence[str], stored: Sequence[str]) -> Floats:
    """How much there is to compare: the logarithm of the words of the shorter one; a row for each that is asked.

    Short questions are ambiguous: at one cosine, hits of 5 words were wrong six times as often as hits of 15 words
    (Banking77).
    """
    ours, theirs = (np.array([len(gate.words(text)) for text in texts], np.float32) for texts in (asked, stored))
    found: Floats = np.log(np.clip(np.minimum(ours[:, None], theirs[None]), 1, _LONGEST))
    return found


class Stream:
    """A labelled stream, in the order of its questions."""

    def __init__(self, texts: Sequence[str], labels: Sequence[str], scores: Floats, *, gated: bool = True) -> None:
        """`scores` are those of each question with each other, a row a question (`Calibration.scores`)."""
        self._labels = np.unique(np.asarray(labels), return_inverse=True)[1]
        self._scores = scores
        self._floor = np.inf
        self._near: list[NDArray[np.int64]] = []
        check = lru_cache(maxsize=None)(lambda asked, stored: gate.disagreement(texts[asked], texts[stored]) is None)
        self._passes = check if gated else lambda _asked, _stored: True

    def replay(self, threshold: float, order: Sequence[int]) -> Replayed:
        """Ask all questions of `order`, numbers of the stream's texts."""
        if threshold < self._floor:
            self._look_around(min(threshold, _FLOOR))
        stored = np.zeros(len(self._labels), np.bool_)
        hits = wrong = 0
        for asked in order:
            found = self._find(asked, stored, threshold)
            if found is None:
                stored[asked] = True
            else:
                hits += 1
                wrong += int(self._labels[found] != self._labels[asked])
        return Replayed(threshold, hits / len(order), wrong / len(order))

    def _look_around(self, floor: float) -> None:
        """Find what is near each question once, the nearest first: replays at many thresholds have it in common."""
        self._floor, self._near = floor, []
        for scores in self._scores:
            near = np.flatnonzero(scores >= floor)
            self._near.append(near[np.argsort(-scores[near])])

    def _find(self, asked: int, stored: NDArray[np.bool_], threshold: float) -> int | None:
        near = self._near[asked]
        for other in near[stored[near]][:NEIGHBOURS].tolist():
            if self._scores[asked, other] < threshold:
                return None
            if self._passes(asked, other):
                return int(other)
        return None
