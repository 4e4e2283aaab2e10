"""What calibration hands to serving: one JSON document that says when the strong model is asked. No pickle, no code.

The store keeps versions of it and rolls back; here is only what one holds and what it decides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.errors import ConfigError
from penstock.routing.difficulty import LearnedScore, Prediction
from penstock.routing.features import Exchange

#: raised when a reader of the old form would decide otherwise
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the strong model is asked, and the figures behind it. `need` is compared with `threshold`."""

    escalate: bool
    need: float
    threshold: float | None
    prediction: Prediction

    def words(self) -> str:
        """The decision as a person reads it."""
        chances = (
            f"the cheap model is wrong with {self.prediction.cheap_wrong:.2f}, "
            f"the strong one with {self.prediction.strong_wrong:.2f}"
        )
        if self.threshold is None:
            model = "strong" if self.escalate else "cheap"
            return f"{model} always: calibration found no saving in choosing ({chances})"
        side = "at or above" if self.escalate else "below"
        return (
            f"{'strong' if self.escalate else 'cheap'}: need {self.need:.4g} is {side} {self.threshold:.4g} ({chances})"
        )


@dataclass(frozen=True, slots=True)
class Artefact:
    """A calibrated policy for one cheap and one strong model.

    `target` is the share of the strong model's quality it was calibrated for; `threshold` None means that choosing
    saves nothing, so everything goes to one model: `always`. `report` is what calibration measured.
    """

    target: float
    threshold: float | None
    weigh_strong: float
    cost_power: float
    score: LearnedScore
    report: Mapping[str, Any]
    always: Literal["cheap", "strong"] = "strong"

    def decide(self, exchange: Exchange) -> Verdict:
        """Cheap or strong; raises ValueError as `LearnedScore.predict` does."""
        prediction = self.score.predict(exchange)
        need = prediction.need(self.weigh_strong, self.cost_power)
        escalate = self.always == "strong" if self.threshold is None else need >= self.threshold
        return Verdict(escalate, need, self.threshold, prediction)

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "format": FORMAT,
            "target": self.target,
            "threshold": self.threshold,
            "always": self.always,
            "weigh_strong": self.weigh_strong,
            "cost_power": self.cost_power,
            "score": self.score.to_json(),
            "report": dict(self.report),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Artefact":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: it is not one, or one of another format.
        """
        if value.get("format") != FORMAT:
            raise ConfigError(f"not a routing artefact of format {FORMAT}")
        try:
            threshold = value["threshold"]
            target, weigh, power = (float(value[name]) for name in ("target", "weigh_strong", "cost_power"))
            if not all(map(math.isfinite, (target, weigh, power))) or (
                threshold is not None and not math.isfinite(threshold)
            ):
                raise ConfigError("a routing artefact holds finite numbers only")
            if value["always"] not in {"cheap", "strong"}:
                raise ConfigError("a routing artefact's `always` is cheap or strong")
            score = LearnedScore.from_json(value["score"])
            return cls(target, threshold, weigh, power, score, dict(value["report"]), value["always"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a routing artefact: {error!r}") from error
