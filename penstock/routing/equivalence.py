"""When two answers say the same. One rule per kind of task; free text needs one to be compared at all.

A rule is a canonical form: two answers are equivalent when both have one and the forms are equal. So every rule but the
embedding's is symmetric and transitive by construction, and an answer without a form (no number where one was asked
for) agrees with nothing, itself neither: silence is no agreement.
"""

import ast
import json
import math
import re
import unicodedata
from collections.abc import Callable, Hashable, Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction

Canonical = Callable[[str], Hashable | None]

_NUMBER = re.compile(r"[-+−]?(?:\d[\d,_]*\d|\d)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?%?|[-+−]?\.\d+%?")
_FRACTION = re.compile(r"([-+−]?)\s*(?:\\[dt]?frac\{\s*(\d+)\s*\}\{\s*(\d+)\s*\}|(\d+)\s*/\s*(\d+))")
_LETTER = re.compile(r"\(?([A-Za-z])[).:]?")
_NAMED_LETTER = re.compile(r"(?i:answer|option|choice)\s*(?i:is|:)?\s*\**\(?([A-J])\b")
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]*\})*)\}")
_MARKED_LINE = re.compile(r"(?m)^####(.+)$")
_FIELD = re.compile(r'"(?:final[ _])?answer"\s*:\s*', re.IGNORECASE)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def exact(answer: str) -> Hashable | None:
    """The text itself, without white space around it."""
    return answer.strip() or None


def text(answer: str) -> Hashable | None:
    """Words only: case, punctuation, accents' encoding, articles and spacing do not count."""
    words = re.sub(r"[^\w\s]", " ", unicodedata.normalize("NFKC", answer).casefold())
    return " ".join(_ARTICLES.sub(" ", words).split()) or None


def final_answer(answer: str) -> str | None:
    r"""What an answer marks as its result; None where nothing is marked.

    A JSON field `answer`, also where the JSON around it is broken or stands after other text, `\boxed{…}`, or a line
    that begins with `####`; the last of its kind, in this order.
    """
    for found in reversed(list(_FIELD.finditer(answer))):
        try:
            value, _ = json.JSONDecoder().raw_decode(answer, found.end())
        except (ValueError, RecursionError):
            return re.split(r"[,}\n]", answer[found.end() :], maxsplit=1)[0].strip().strip('"')
        return value if isinstance(value, str) else json.dumps(value)
    marked = _BOXED.findall(answer) or _MARKED_LINE.findall(answer)
    return marked[-1].strip() if marked else None


def numeric(answer: str) -> Hashable | None:
    r"""The number, as an exact fraction: `$1,234.50` and `\frac{2469}{2}` are one. A per cent is 1/100.

    All numbers of a marked result (`2\sqrt{3}` is not `5\sqrt{3}`), and its words where it has none; the last number of
    an answer that marks nothing.
    """
    marked = final_answer(answer)
    found = _numbers(answer if marked is None else marked)
    if marked is None:
        return found[-1] if found else None
    if not found:
        return text(marked)
    return found[0] if len(found) == 1 else tuple(found)


def choice(answer: str) -> Hashable | None:
    """The letter of a multiple choice: the whole answer, or the last one that is named as the answer."""
    whole = _LETTER.fullmatch(answer.strip())
    if whole:
        return whole.group(1).upper()
    marked = final_answer(answer)
    named = _NAMED_LETTER.findall(answer) if marked is None else [marked]
    if not named:
        return None
    last = _LETTER.fullmatch(named[-1].strip())
    return last.group(1).upper() if last else None


def json_value(answer: str) -> Hashable | None:
    """The JSON value, whatever the order of its keys and however it is fenced; 1 and 1.0 are one."""
    try:
        return _frozen(json.loads(_unfenced(answer)))
    except (ValueError, RecursionError):
        return None


def literal(answer: str) -> Hashable | None:
    """A Python literal, whatever its quotes and the order of its keys; what is none is taken for an unquoted string.

    The marked result where there is one; that may be the empty string, with or without quotes.
    """
    marked = final_answer(answer)
    plain = _unfenced(answer if marked is None else marked)
    if not plain:
        return None if marked is None else ""
    try:
        value = ast.literal_eval(plain)
        return _frozen(value) if isinstance(value, list | tuple | dict | set) else str(value)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return plain


RULES: dict[str, Canonical] = {
    "exact": exact,
    "numeric": numeric,
    "choice": choice,
    "json": json_value,
    "literal": literal,
    "text": text,
}


def equivalent(rule: Canonical, first: str | None, second: str | None) -> bool:
    """Whether two answers say the same under a rule; None is no answer."""
    if first is None or second is None:
        return False
    form = rule(first)
    return form is not None and form == rule(second)


def by_embedding(first: Sequence[float], second: Sequence[float], least: float = 0.9) -> bool:
    """Whether two answers' vectors, from whatever model made them, are at least this similar (cosine, -1 to 1).

    Symmetric, not transitive. The threshold depends on the model: calibrate it.
    """
    product = math.sqrt(sum(x * x for x in first)) * math.sqrt(sum(y * y for y in second))
    return product > 0 and sum(x * y for x, y in zip(first, second, strict=True)) / product >= least


def _numbers(source: str) -> list[Fraction]:
    """All numbers and fractions of a text, in order."""
    fractions = [found for found in _FRACTION.finditer(source) if int(found.group(3) or found.group(5))]
    inside = [found.span() for found in fractions]
    numbers = [(found.start(), _ratio(found)) for found in fractions]
    for found in _NUMBER.finditer(source):
        if not any(start < found.end() and found.start() < end for start, end in inside):
            value = _fraction(found.group())
            numbers += [] if value is None else [(found.start(), value)]
    return [value for _, value in sorted(numbers)]


def _ratio(found: re.Match[str]) -> Fraction:
    sign, *parts = found.groups()
    top, bottom = [int(part) for part in parts if part is not None]
    return Fraction(-top if sign in {"-", "−"} else top, bottom)


def _fraction(written: str) -> Fraction | None:
    plain = re.sub(r"[,_]", "", written).replace("−", "-")
    try:
        value = Decimal(plain.rstrip("%"))
    except InvalidOperation:
        return None
    return Fraction(value) / (100 if plain.endswith("%") else 1)


def _unfenced(answer: str) -> str:
    fenced = re.fullmatch(r"\s*```\w*\n(.*?)\n?```\s*", answer, re.DOTALL)
    return (fenced.group(1) if fenced else answer).strip()


def _frozen(value: object) -> Hashable:
    """Types are part of the form: inside a value, the string "1" is not the number 1, and True is not 1."""
    if isinstance(value, dict):
        return ("object", frozenset((_frozen(key), _frozen(item)) for key, item in value.items()))
    if isinstance(value, list | tuple):
        return (type(value).__name__, tuple(_frozen(item) for item in value))
    if isinstance(value, set):
        return ("set", frozenset(_frozen(item) for item in value))
    if isinstance(value, bool) or value is None:
        return ("word", value)
    if isinstance(value, int | float):
        return ("number", value)
    return ("string", str(value))
