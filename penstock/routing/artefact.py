"""What calibration hands to serving: one JSON document that says when the strong model is asked. No pickle, no code.

The store keeps versions of it and rolls back; here is only what one holds and what it decides.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from penstock.errors import ConfigError
from penstock.routing.difficulty import LearnedScore, Prediction
from penstock.routing.familiarity import Familiarity
from penstock.routing.features import Exchange

#: raised when a reader of the old form would decide otherwise
FORMAT = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the strong model is asked, and the figures behind it.

    `need` is compared with `threshold`, unless the prompt is `strange`: unlike those of calibration, and in what.
    """

    escalate: bool
    need: float
    threshold: float | None
    prediction: Prediction
    strange: str | None = None

    def words(self) -> str:
        """The decision as a person reads it."""
        chances = (
            f"the cheap model is wrong with {self.prediction.cheap_wrong:.2f}, "
            f"the strong one with {self.prediction.strong_wrong:.2f}"
        )
        if self.threshold is None:
            model = "strong" if self.escalate else "cheap"
            return f"{model} always: calibration found no saving in choosing ({chances})"
        if self.strange is not None:
            return f"strong: unlike the prompts of calibration ({self.strange})"
        side = "at or above" if self.escalate else "below"
        return (
            f"{'strong' if self.escalate else 'cheap'}: need {self.need:.4g} is {side} {self.threshold:.4g} ({chances})"
        )


@dataclass(frozen=True, slots=True)
class Artefact:
    """A calibrated policy for one cheap and one strong model.

    `target` is the share of the strong model's quality it was calibrated for; `threshold` None means that choosing
    saves nothing, so everything goes to one model: `always`. `report` is what calibration measured. A threshold means
    nothing for prompts that are not `familiar`: they go to the strong model.
    """

    target: float
    threshold: float | None
    weigh_strong: float
    cost_power: float
    score: LearnedScore
    report: Mapping[str, Any]
    always: Literal["cheap", "strong"] = "strong"
    familiar: Familiarity = field(default_factory=Familiarity)

    def decide(self, exchange: Exchange) -> Verdict:
        """Cheap or strong; raises ValueError as `LearnedScore.predict` does."""
        found = self.score.look(exchange)
        prediction = self.score.weigh(found)
        need = prediction.need(self.weigh_strong, self.cost_power)
        if self.threshold is None:
            return Verdict(self.always == "strong", need, None, prediction)
        strange = self.familiar.strange(found, self.score.terms.get("prompt", {}))
        return Verdict(strange is not None or need >= self.threshold, need, self.threshold, prediction, strange)

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
            "familiar": self.familiar.to_json(),
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
            familiar = Familiarity.from_json(value["familiar"])
            return cls(target, threshold, weigh, power, score, dict(value["report"]), value["always"], familiar)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"not a routing artefact: {error!r}") from error
