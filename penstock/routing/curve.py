"""Quality against cost: what a ranking of requests is worth beside cheap only, strong only, a random mix and an oracle.

Quality and cost are shares of what the strong model alone reaches and costs. APGR is the average performance gap
recovered: the mean over all shares of strong calls of (quality - cheap) / (strong - cheap), as RouteLLM defines it
(arXiv 2406.18665); a random mix has 0.5.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What each request gave and would have given, in US dollars and from 0 (wrong) to 1 (right).

    `paid_first` says that the cheap answer is paid for also where the strong model is asked, since it was looked at.
    """

    cheap: Floats
    strong: Floats
    cheap_cost: Floats
    strong_cost: Floats
    paid_first: bool = False

    def take(self, chosen: NDArray[np.intp]) -> "Outcomes":
        """Those of some requests."""
        return Outcomes(
            self.cheap[chosen],
            self.strong[chosen],
            self.cheap_cost[chosen],
            self.strong_cost[chosen],
            self.paid_first,
        )

    @property
    def extra_cost(self) -> Floats:
        """What asking the strong model adds."""
        return self.strong_cost if self.paid_first else self.strong_cost - self.cheap_cost

    def mixed(self, escalated: NDArray[np.bool_]) -> tuple[float, float]:
        """Quality and cost, as shares of the strong model's, when these requests go to the strong model."""
        quality = float(np.where(escalated, self.strong, self.cheap).sum() / self.strong.sum())
        paid = self.cheap_cost.sum() + self.extra_cost[escalated].sum()
        return quality, float(paid / self.strong_cost.sum())

    def random_cost(self, quality: float) -> float:
        """The cost at which a random mix, which looks at nothing, has this quality; the strong model's at most."""
        start = float(self.cheap.sum() / self.strong.sum())
        first = float(self.cheap_cost.sum() / self.strong_cost.sum())
        if quality <= start:
            return first
        return min(first + (1 - first) * (quality - start) / (1 - start), 1.0) if start < 1 else 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Points from cheap only to strong only, by how many of the most needy requests the strong model gets."""

    quality: Floats
    cost: Floats
    calls: Floats

    def at(self, quality: float) -> tuple[float, float]:
        """The least (cost, share of strong calls) at which this quality is first reached."""
        reached = np.flatnonzero(self.quality >= quality - 1e-12)
        best = reached[np.argmin(self.cost[reached])] if len(reached) else len(self.quality) - 1
        return float(self.cost[best]), float(self.calls[best])


def curve(need: Floats, outcomes: Outcomes) -> Curve:
    """The curve of a ranking, the neediest first."""
    order = np.argsort(-need, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum((outcomes.strong - outcomes.cheap)[order])])
    paid = np.concatenate([[0.0], np.cumsum(outcomes.extra_cost[order])])
    calls = np.arange(len(need) + 1) / len(need)
    quality = (outcomes.cheap.sum() + gained) / outcomes.strong.sum()
    return Curve(quality, (outcomes.cheap_cost.sum() + paid) / outcomes.strong_cost.sum(), calls)


def apgr(need: Floats, outcomes: Outcomes, by_cost: bool = False) -> float:
    """The average performance gap recovered over shares of strong calls, or of what those cost.

    Raises:
        ValueError: the strong model is no better, so there is no gap.
    """
    gap = float((outcomes.strong - outcomes.cheap).sum())
    if gap <= 0:
        raise ValueError("the strong model is no better than the cheap one: there is no gap to recover")
    order = np.argsort(-need, kind="stable")
    recovered = np.concatenate([[0.0], np.cumsum((outcomes.strong - outcomes.cheap)[order])]) / gap
    steps = outcomes.extra_cost[order] if by_cost else np.ones(len(order))
    total = float(steps.sum())
    return float(((recovered[1:] + recovered[:-1]) / 2 * steps).sum() / total)


def area_under_roc(score: Floats, positive: NDArray[np.bool_]) -> float:
    """The chance that a positive has the higher score, ties half: the Mann-Whitney statistic."""
    _, places, counts = np.unique(score, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[places]
    yes, no = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def resamples(size: int, times: int, seed: int) -> list[NDArray[np.intp]]:
    """Draws with replacement, the same for the same seed."""
    draw = np.random.default_rng(seed)
    return [draw.integers(0, size, size) for _ in range(times)]
