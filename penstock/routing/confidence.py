"""How sure one may be of a cheap answer: signals that are read from it, each from 0 (surely wrong) to 1.

A signal is None where it says nothing (a vendor gave no log-probabilities); that is not the same as 0. Which signals
separate right from wrong depends on the task: agreement of two different models needs no training and was the strongest
on recorded data (docs/routing.md).
"""

import math
import re
from collections.abc import Sequence

#: words with which models decline, near the beginning of an answer
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am) (?:sorry|unable|not able)|I (?:can(?:no|')t|won't|will not) (?:help|assist|provide|answer|do"
    r"|comply|fulfil+|create|write|generate)|as an AI\b|I(?:'m| am) not (?:comfortable|permitted))",
    re.IGNORECASE,
)
_REFUSAL_WITHIN = 200
_STATED = re.compile(
    r"(?:confiden(?:ce|t)|certainty|probability)\W{0,6}(?:is|of|level|score|:|=|\s)*\W{0,4}"
    r"(\d{1,3}(?:\.\d+)?\s?%|0?\.\d+|[01](?:\.\d+)?)(?!\d)",
    re.IGNORECASE,
)


def token_probability(log_probabilities: Sequence[float]) -> float | None:
    """The geometric mean of the tokens' probabilities, from their natural logarithms; None without tokens."""
    return math.exp(min(sum(log_probabilities) / len(log_probabilities), 0.0)) if log_probabilities else None


def stated(answer: str) -> float | None:
    """The confidence that the answer itself states last, as `0.8`, `80%` or `"Confidence": 0.8`."""
    found = _STATED.findall(answer)
    if not found:
        return None
    value = float(found[-1].rstrip("% ")) / (100 if found[-1].endswith("%") else 1)
    return value if 0 <= value <= 1 else None


def willing(answer: str) -> float:
    """0 if the answer begins by declining, else 1."""
    return 0.0 if _REFUSAL.search(answer[:_REFUSAL_WITHIN]) else 1.0
