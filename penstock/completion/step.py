"""An answer on the way along a route: asked of one model, judged, and perhaps not the last."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from penstock.completion.result import CompletionResult
from penstock.completion.usage import Usage


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is thought of an answer: `confidence` is 0 to 1, None where no signal had anything to say.

    `signals` holds what each signal that was asked had to say, by its name; `need`, where a verifier was asked, is its
    score, which its threshold is compared with and which is no chance, `artefact` its version, and `strange` 1 where
    the prompt is unlike those of calibration.
    """

    accepted: bool
    confidence: float | None
    reason: str
    signals: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RouteStep:
    """What one step of a route answered, and what was thought of it.

    `confidence` is 0 to 1, None where no signal had anything to say; `reason` says in a few words what decided.
    `usage` and `cost` (US dollars, None where the price is unknown) are of all its upstream calls, those of a judge
    included. `signals` are as in `Verdict`.
    """

    deployment: str
    result: CompletionResult
    accepted: bool
    confidence: float | None
    reason: str
    usage: Usage
    cost: Decimal | None
    signals: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        """As an upstream call's: it was answered."""
        return "succeeded"

    def explain(self) -> dict[str, Any]:
        """What the owner of a job is told of it; money as a number."""
        return {
            "deployment": self.deployment,
            "accepted": self.accepted,
            "confidence": self.confidence,
            "reason": self.reason,
            "cost": float(self.cost) if self.cost is not None else None,
            "signals": dict(self.signals),
        }
