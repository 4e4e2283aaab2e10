"""Whether two answers say the same, by the kind of task: free text needs a rule for that."""

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal

Equivalence = Literal["exact", "text", "numeric", "choice", "json"]

_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*)?\.?\d+(?:[eE][-+]?\d+)?")
_CHOICE = re.compile(r"(?:answer|option|choice)\b[^A-Za-z0-9]{0,8}(?:is\b)?[^A-Za-z0-9]{0,8}([A-Z])\b")
_LETTER = re.compile(r"(?<![A-Za-z])([A-Z])(?![A-Za-z])")
_FENCED = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL)


def canonical(kind: Equivalence, answer: str) -> str | None:
    """What counts of an answer: two are equivalent when this is equal. None when it holds nothing of that kind."""
    return _KINDS[kind](answer)


def same(kind: Equivalence, one: str, other: str) -> bool:
    """Whether two answers are equivalent. Answers that hold nothing of the kind are equivalent to none."""
    found = canonical(kind, one)
    return found is not None and found == canonical(kind, other)


def _exact(answer: str) -> str | None:
    return answer.strip() or None


def _text(answer: str) -> str | None:
    """Words alone: case, punctuation and space say nothing."""
    return " ".join(re.findall(r"\w+", answer.casefold())) or None


def _numeric(answer: str) -> str | None:
    """The last number: reasoning comes before it."""
    found = _NUMBER.findall(answer)
    if not found:
        return None
    try:
        return str(Decimal(found[-1].replace(",", "")).normalize())
    except InvalidOperation:
        return None


def _choice(answer: str) -> str | None:
    """The letter that is named as the answer, else the last letter that stands alone."""
    found = _CHOICE.findall(answer) or _LETTER.findall(answer)
    return found[-1] if found else None


def _json(answer: str) -> str | None:
    """The document, whatever its spaces and the order of its keys, also where it stands in a fenced block."""
    fenced = _FENCED.search(answer)
    try:
        return json.dumps(json.loads(fenced[1] if fenced else answer), sort_keys=True)
    except ValueError:
        return None


_KINDS: Mapping[Equivalence, Callable[[str], str | None]] = {
    "exact": _exact,
    "text": _text,
    "numeric": _numeric,
    "choice": _choice,
    "json": _json,
}
