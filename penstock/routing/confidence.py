"""How sure one may be of a cheap answer: signals, each from 0 (surely wrong) to 1, and how several become one.

A signal is None where it says nothing (a vendor gave no log-probabilities); that is not the same as 0. Which signals
separate right from wrong depends on the task: agreement of two different models needs no training and was the strongest
on recorded data (docs/routing.md).
"""

import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal

from penstock.routing.equivalence import Canonical

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
#: ends of an answer that the vendors call complete
_COMPLETE = frozenset({"stop", "tool_calls", "end_turn", "stop_sequence", "tool_use"})


def token_probability(log_probabilities: Sequence[float]) -> float | None:
    """The geometric mean of the tokens' probabilities, from their natural logarithms; None without tokens."""
    return math.exp(min(sum(log_probabilities) / len(log_probabilities), 0.0)) if log_probabilities else None


def agreement(answers: Sequence[str | None], rule: Canonical) -> float | None:
    """The share of the other answers that say the same as the first; None if there is no other.

    For two models that is 1 or 0; for samples of one model, how often it repeats itself. An answer in which the rule
    finds nothing agrees with none.
    """
    if len(answers) < 2:
        return None
    forms = [_form(answer, rule) for answer in answers]
    return sum(form is not None and form == forms[0] for form in forms[1:]) / (len(forms) - 1)


def most_agreed(answers: Sequence[str | None], rule: Canonical) -> tuple[int, float]:
    """The place of the answer that most repeat, and the share that says so; (0, 0.0) if none says anything."""
    forms = [_form(answer, rule) for answer in answers]
    counts = Counter(form for form in forms if form is not None)
    if not counts:
        return 0, 0.0
    best, count = max(counts.items(), key=lambda item: item[1])
    return forms.index(best), count / len(forms)


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


def complete(finish_reason: str | None) -> float | None:
    """1 if the vendor says that the answer is whole, 0 if it was cut off or filtered, None if it says nothing."""
    return None if finish_reason is None else float(finish_reason in _COMPLETE)


def combined(
    signals: Mapping[str, float | None],
    how: Literal["least", "mean"] = "least",
    weights: Mapping[str, float] | None = None,
) -> float | None:
    """One confidence of those that say something: the least of them, or their weighted mean; None if none does.

    Checks that must hold (a schema, a refusal) belong under `least`; a learned verifier weighs signals by labels.
    """
    known = {name: value for name, value in signals.items() if value is not None}
    if not known:
        return None
    if how == "least":
        return min(known.values())
    weighed = [(1.0 if weights is None else weights.get(name, 0.0), value) for name, value in known.items()]
    total = sum(weight for weight, _ in weighed)
    return sum(weight * value for weight, value in weighed) / total if total else None


def spoken(signals: Mapping[str, float | None]) -> Iterable[str]:
    """Each signal as a person reads it."""
    return [f"{name} {'unknown' if value is None else format(value, '.2f')}" for name, value in signals.items()]


def _form(answer: str | None, rule: Canonical) -> Hashable | None:
    return None if answer is None else rule(answer)
