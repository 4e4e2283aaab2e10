"""Whether a prompt is like those a policy was calibrated on. A threshold does not carry over to other kinds of prompts.

Two marks: a plain number of the prompt (its length, its options, its digits …) far outside of all that was seen, and
more unknown terms than nearly any prompt of calibration had.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.routing.features import Features

#: how far beyond what was seen a number may lie, as a share of the span that was seen
BEYOND = 0.25
#: the share of unknown terms that this share of validated prompts stays below is still familiar
USUAL = 0.995


@dataclass(frozen=True, slots=True)
class Familiarity:
    """What was seen: (least, greatest) per number, and the greatest usual share of unknown terms.

    As it is made here, everything is familiar.
    """

    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    unknown: float = 1.0

    def strange(self, found: Features, known: Collection[str]) -> str | None:
        """Why this prompt is unlike those of calibration, in words; None where it is like them."""
        for name, (least, greatest) in self.spans.items():
            value, room = found.numbers.get(name, 0.0), BEYOND * (greatest - least)
            if not least - room <= value <= greatest + room:
                return f"{name} {value:.3g}, calibrated on {least:.3g} to {greatest:.3g}"
        words = found.words.get("prompt", [])
        unknown = sum(word not in known for word in words) / len(words) if words else 0.0
        if unknown > self.unknown:
            return f"{unknown:.0%} of its terms unknown, at calibration at most {self.unknown:.0%}"
        return None

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {"spans": {name: list(span) for name, span in self.spans.items()}, "unknown": self.unknown}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Familiarity":
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        spans = {str(name): (float(least), float(greatest)) for name, (least, greatest) in value["spans"].items()}
        unknown = float(value["unknown"])
        if not all(map(math.isfinite, [unknown, *(bound for span in spans.values() for bound in span)])):
            raise ValueError("what is familiar has finite bounds")
        return cls(spans, unknown)
