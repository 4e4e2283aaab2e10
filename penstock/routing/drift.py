"""Whether what a route is asked, and what becomes of it, is still as it was at calibration.

Scores are compared by the population stability index over the tenths of calibration's own scores: the sum of
(share - 0.1) * ln(share / 0.1), less what chance makes of so many scores (9 / n, the mean of a chi-square of 9 degrees
of freedom over n). By common usage in credit scoring 0.1 is a small shift and 0.25 a large one (Siddiqi, Credit Risk
Scorecards, 2006). Rates are compared with calibration's; a difference counts where it is both large and
three standard errors wide.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["ok", "drifting", "unknown"]
STATES: tuple[State, ...] = ("ok", "drifting", "unknown")

LARGE_SHIFT = 0.25
#: differences of rates that are large; quality is looked at more closely
LARGE_DIFFERENCE, LARGE_LOSS = 0.1, 0.03
STANDARD_ERRORS = 3.0
#: answers, and compared samples, below which nothing is said
FEWEST_ANSWERS, FEWEST_SAMPLES = 100, 30
#: what is counted of a route, and scores by the tenth they fall in
ANSWERED, ESCALATED, COMPARED, AGREED, SCORED = "answered", "escalated", "compared", "agreed", "score:"
#: prompts unlike those of calibration, and the share of them that is many (see `penstock.routing.familiarity`)
STRANGE, MANY_STRANGE = "strange", 0.1


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of so many, and what it was at calibration (None where that is not known)."""

    count: float
    of: float
    expected: float | None

    @property
    def value(self) -> float | None:
        """The share."""
        return self.count / self.of if self.of else None

    def differs(self, large: float, fewest: int) -> bool:
        """Whether it differs from what was expected, by more than `large` and more than chance makes likely."""
        if self.expected is None or self.value is None or self.of < fewest:
            return False
        likely = max(self.expected * (1 - self.expected), 0.25 / self.of)
        return abs(self.value - self.expected) > max(large, STANDARD_ERRORS * math.sqrt(likely / self.of))

    def to_json(self) -> dict[str, Any]:
        """For whoever asks."""
        return {"value": self.value, "of": self.of, "at_calibration": self.expected}


@dataclass(frozen=True, slots=True)
class Drift:
    """The state of a route's calibration, why, and the figures behind it."""

    state: State
    reasons: tuple[str, ...]
    shift: float | None
    rates: Mapping[str, Rate]

    def to_json(self) -> dict[str, Any]:
        """For whoever asks."""
        rates = {name: rate.to_json() for name, rate in self.rates.items()}
        return {"state": self.state, "reasons": list(self.reasons), "score_shift": self.shift, **rates}


def edges(scores: Sequence[float]) -> list[float]:
    """The nine bounds between the tenths of calibration's scores."""
    ranked = sorted(scores)
    return [ranked[min(len(ranked) * tenth // 10, len(ranked) - 1)] for tenth in range(1, 10)]


def tenth(score: float, bounds: Sequence[float]) -> str:
    """The name under which a score is counted."""
    return f"{SCORED}{bisect_right(bounds, score)}"


def shift(counts: Mapping[str, float]) -> float | None:
    """How far scores lie from calibration's, 0 for not at all; None below `FEWEST_ANSWERS` scores."""
    found = [counts.get(f"{SCORED}{place}", 0.0) for place in range(10)]
    total = sum(found)
    if total < FEWEST_ANSWERS:
        return None
    # half a score in each tenth more: one that nobody fell into is not infinitely far away
    shares = [(count + 0.5) / (total + 5.0) for count in found]
    index = sum((share - 0.1) * math.log(share / 0.1) for share in shares)
    return max(index - 9 / total, 0.0)


def drift(
    baseline: Mapping[str, Any] | None, counts: Mapping[str, float], samples: tuple[int, int], problem: str | None
) -> Drift:
    """The state of a route.

    Args:
        baseline: what was normal at calibration (`escalated`, `agreed`, `same`, each a share or missing); None where
            nothing was learnt.
        counts: what was counted lately, by name.
        samples: shadow samples that were compared, and those of them that said the same.
        problem: why the learnt policy is not used, if it is not.
    """
    known = baseline or {}
    compared, same = samples
    rates = {
        "escalation": Rate(counts.get(ESCALATED, 0.0), counts.get(ANSWERED, 0.0), known.get("escalated")),
        "agreement": Rate(counts.get(AGREED, 0.0), counts.get(COMPARED, 0.0), known.get("agreed")),
        "shadow": Rate(float(same), float(compared), known.get("same")),
        "strange": Rate(counts.get(STRANGE, 0.0), _scores(counts), None),
    }
    found = shift(counts)
    if problem is not None or baseline is None:
        return Drift("unknown", (problem or "nothing was calibrated for this route",), found, rates)
    reasons = _reasons(found, rates)
    if reasons:
        return Drift("drifting", tuple(reasons), found, rates)
    answers = max(rates["escalation"].of, _scores(counts))
    if answers < FEWEST_ANSWERS:
        return Drift("unknown", (f"{answers:.0f} answers lately, and {FEWEST_ANSWERS} are needed",), found, rates)
    return Drift("ok", ("as at calibration",), found, rates)


def _scores(counts: Mapping[str, float]) -> float:
    return sum(counts.get(f"{SCORED}{place}", 0.0) for place in range(10))


def _reasons(found: float | None, rates: Mapping[str, Rate]) -> list[str]:
    reasons = []
    if found is not None and found >= LARGE_SHIFT:
        reasons.append(
            f"what is asked is unlike what was calibrated on: its scores are shifted by {found:.2f}"
            f" ({LARGE_SHIFT} is much)"
        )
    strange = rates["strange"]
    if strange.of >= FEWEST_ANSWERS and (strange.value or 0.0) > MANY_STRANGE:
        reasons.append(f"{strange.value:.0%} of the prompts are unlike those of calibration")
    for name, words in (("escalation", "escalated"), ("agreement", "agreed")):
        rate = rates[name]
        if rate.differs(LARGE_DIFFERENCE, FEWEST_ANSWERS):
            reasons.append(f"{rate.value:.0%} {words}, {rate.expected:.0%} at calibration")
    shadow = rates["shadow"]
    if shadow.differs(LARGE_LOSS, FEWEST_SAMPLES) and (shadow.value or 0.0) < (shadow.expected or 0.0):
        reasons.append(
            f"{shadow.value:.0%} of the cheap answers that were kept say the same as the strong model's,"
            f" {shadow.expected:.0%} at calibration"
        )
    return reasons
