"""Worked answers to arithmetic questions: plausible, deterministic, and right where the rule of thumb is.

A written-out expression is computed exactly. A word problem is read number by number; the words around a number say
what to do with it. That is a heuristic, not a solver: the form of the answer is what matters here.
"""

import re
from fractions import Fraction
from itertools import pairwise

_ASKS = re.compile(r"how many|how much|what is|calculate|compute|in total|solve", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])\$?(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?(?![\w])")
_TERM = r"\d+(?:,\d{3})*(?:\.\d+)?"
_EXPRESSION = re.compile(rf"{_TERM}(?:\s*[-+*/×÷]\s*{_TERM})+")
_OPERATIONS = (
    ("*", re.compile(r"\b(each|every|per|times|twice|apiece)\b", re.IGNORECASE)),
    ("-", re.compile(r"\b(left|gave|gives|lost|loses|ate|eats|spent|sold|sells|used|fewer|less)\b", re.IGNORECASE)),
    ("/", re.compile(r"\b(split|shared?|divided?|equally|half)\b", re.IGNORECASE)),
)
_QUESTION_MARK = re.compile(r".*(?:^|\n)\s*(?:Question|Q)\s*:", re.DOTALL)
_LONGEST = 2_000


def worked_answer(message: str) -> str | None:
    """Some steps and a last line `#### <number>`, or None where the message is no arithmetic question."""
    if len(message) > 20 * _LONGEST or not _ASKS.search(message):
        return None
    question = _QUESTION_MARK.sub("", message)[-_LONGEST:]
    expression = _EXPRESSION.search(question)
    if expression:
        value = _evaluate(expression[0])
        return None if value is None else f"{expression[0]} = {_show(value)}\n#### {_show(value)}"
    numbers = list(_NUMBER.finditer(question))
    if len(numbers) < 2:
        return None
    return _word_problem(question, numbers)


def _word_problem(question: str, numbers: list[re.Match[str]]) -> str:
    total = _value(numbers[0])
    steps = [f"We start with {_show(total)}."]
    for before, here in pairwise(numbers):
        end = re.search(r"[.?!]\s|$", question[here.end() :])
        clause = question[before.end() : here.end() + (end.start() if end else 0)]
        operation = next((sign for sign, words in _OPERATIONS if words.search(clause)), "+")
        number = _value(here)
        result = _compute(total, operation, number)
        steps.append(f"{_show(total)} {operation} {_show(number)} = {_show(result)}.")
        total = result
    return "\n".join([*steps, f"#### {_show(total)}"])


def _value(match: re.Match[str]) -> Fraction:
    return Fraction(match[1].replace(",", "") + (match[2] or ""))


def _compute(left: Fraction, operation: str, right: Fraction) -> Fraction:
    if operation == "*":
        return left * right
    if operation == "-":
        return left - right
    if operation == "/":
        return left / right if right else left
    return left + right


def _evaluate(expression: str) -> Fraction | None:
    """Products before sums, from left to right; None for a division by zero."""
    tokens = re.findall(r"[\d.]+|[-+*/×÷]", expression.replace(",", ""))
    total, sign, product = Fraction(0), 1, Fraction(tokens[0])
    for operation, text in zip(tokens[1::2], tokens[2::2], strict=True):
        number = Fraction(text)
        if operation in "*×":
            product *= number
        elif operation in "/÷":
            if not number:
                return None
            product /= number
        else:
            total += sign * product
            sign, product = (1 if operation == "+" else -1), number
    return total + sign * product


def _show(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"{float(value):.4f}".rstrip("0").rstrip(".")
