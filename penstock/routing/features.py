"""What a learned score sees of a request and, where there is one, of the cheap answer: words, numbers and marks.

Plain Python, since a worker computes it for every request: a text is cut to its beginning and end, so that the time
does not grow with the prompt. Nothing here names a model, a task or a benchmark.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

#: characters looked at from either end of a text
EITHER_END = 1000

_TOKEN = re.compile(r"[a-z]+|\d|[^\w\s]")
_WORD = re.compile(r"[a-z]+")
_OPTION = re.compile(r"(?m)^\(?([A-J])[.):] ?(.*)$")
_NUMERIC_OPTION = re.compile(r"[\s$£€-]*[\d.,/%^]+.{0,12}")
_NONE_OR_ALL = re.compile(r"\b(?:none|all|both|neither)\b", re.IGNORECASE)
_NEGATION = re.compile(r"\b(?:not|except|least|incorrect|false)\b", re.IGNORECASE)
_PREMISE = re.compile(r"\b(?:if|then|suppose|assume|given|let)\b", re.IGNORECASE)
_COMPUTE = re.compile(
    r"\b(?:calculate|find|determine|compute|how (?:much|many)|what is the (?:value|probability))\b", re.IGNORECASE
)
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_MATHS = re.compile(r"[=+*/^<>\\∈∑√π−×·°]")
_HEDGE = re.compile(
    r"\b(?:approximat\w*|closest|however|none of|assum\w*|mistake|error|cannot|unclear|not sure|may|might|likely"
    r"|generally|typically|possible)\b",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(r"\b(?:therefore|thus|so|hence)\b", re.IGNORECASE)
_DENIAL = re.compile(r"\b(?:not|no|never|cannot|doesn't|isn't|don't)\b", re.IGNORECASE)
#: bounds between which a probability is the same mark
_CONFIDENCE_STEPS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A prompt, and the cheap model's answer to it where that is known already.

    `answer` is the whole text, `verdict` its short canonical form (a letter, a number, True), `signals` what is known
    about how sure it is: probabilities by name, None where a vendor gave none.
    """

    prompt: str
    answer: str | None = None
    verdict: str | None = None
    signals: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Features:
    """Words by block (each weighed and normalised on its own), plain numbers, and marks that are there or not."""

    words: Mapping[str, list[str]]
    numbers: dict[str, float]
    marks: list[str]


def features(exchange: Exchange) -> Features:
    """All that a learned score may look at."""
    prompt = _ends(exchange.prompt)
    blocks = {"prompt": _terms(prompt)}
    numbers = _of_prompt(prompt, len(exchange.prompt))
    marks: list[str] = []
    if exchange.answer is not None:
        answer = _ends(exchange.answer)
        verdict = "none" if exchange.verdict is None else exchange.verdict[:20].lower()
        words = _WORD.findall(answer.lower())
        # What was said counts differently for what was concluded: a "not" before True and one before False.
        blocks["answer"] = _terms(answer) + [f"{verdict}|{word}" for word in words]
        numbers |= _of_answer(prompt, answer, len(exchange.answer)) | _of_choice(prompt, answer, exchange.verdict)
        marks.append(f"verdict={verdict}")
        for name, value in exchange.signals.items():
            step = "none" if value is None else str(sum(value >= bound for bound in _CONFIDENCE_STEPS))
            marks += [f"{name}={step}", f"verdict={verdict} {name}={step}"]
            numbers |= _of_signal(name, value)
    return Features(blocks, numbers, marks)


def _ends(text: str) -> str:
    return text if len(text) <= 2 * EITHER_END else f"{text[:EITHER_END]}\n{text[-EITHER_END:]}"


def _terms(text: str) -> list[str]:
    """Words, digits and signs; pairs of them; and beginnings and ends of longer words, which stand for their stems."""
    tokens = _TOKEN.findall(text.lower())
    return [
        *tokens,
        *[f"^{token[:5]}" for token in tokens if len(token) > 5],
        *[f"{token[-3:]}$" for token in tokens if len(token) > 4],
        *[f"{first} {second}" for first, second in pairwise(tokens)],
    ]


def _of_prompt(text: str, length: int) -> dict[str, float]:
    size = len(text) + 1
    cut = text.find("\nA")
    stem = text[:cut] if cut >= 0 else text
    options = [found.group(2) for found in _OPTION.finditer(text)]
    lengths = [len(option) for option in options] or [0]
    numeric = sum(_NUMERIC_OPTION.fullmatch(option) is not None for option in options)
    return {
        "length": math.log1p(length),
        "stem length": math.log1p(len(stem)),
        "options": len(options),
        "option length": math.log1p(sum(lengths) / len(lengths)),
        "option spread": math.log1p(max(lengths) - min(lengths)),
        "numeric options": numeric / (len(options) or 1),
        "digits": sum(map(str.isdigit, stem)) / (len(stem) or 1),
        "numbers": math.log1p(len(re.findall(r"\d+", stem))),
        "maths": 10 * len(_MATHS.findall(text)) / size,
        "question": float("?" in text),
        "gap": float("___" in text),
        "negation": float(_NEGATION.search(stem) is not None),
        "premises": len(_PREMISE.findall(stem)),
        "compute": float(_COMPUTE.search(stem) is not None),
        "statements": float("statement 1" in text.lower()),
        "year": float(_YEAR.search(stem) is not None),
        "capitals": 5 * sum(map(str.isupper, text)) / size,
        "sentences": math.log1p(stem.count(". ")),
        "none of": float("none of" in text.lower()),
        "not ascii": 20 * (0 if text.isascii() else sum(ord(sign) > 127 for sign in text)) / size,
    }


def _of_answer(prompt: str, answer: str, length: int) -> dict[str, float]:
    asked, said = set(_WORD.findall(prompt.lower())), set(_WORD.findall(answer.lower()))
    both = len(asked & said)
    return {
        "answer length": math.log1p(length),
        "answer lines": answer.count("\n"),
        "answer digits": math.log1p(sum(map(str.isdigit, answer))),
        "answer equations": answer.count("="),
        "conclusions": len(_CONCLUSION.findall(answer)),
        "hedges": len(_HEDGE.findall(answer)),
        "emphasis": answer.count("*"),
        "complete": float(answer.rstrip().endswith((".", "}", ")", "`"))),
        "denials": len(_DENIAL.findall(answer)),
        "asked words said": both / (len(asked) + 1),
        "said words asked": both / (len(said) + 1),
    }


def _of_choice(prompt: str, answer: str, verdict: str | None) -> dict[str, float]:
    """Which of the options was chosen: its place, its text, and how many options the answer speaks of."""
    options = {found.group(1): found.group(2).strip() for found in _OPTION.finditer(prompt)}
    chosen = options.get(verdict or "", "")
    said = answer.lower()
    usual = sum(map(len, options.values())) / (len(options) or 1)
    return {
        "chosen place": list(options).index(verdict) / len(options) if verdict in options else -1.0,
        "chosen length": math.log1p(len(chosen)),
        "chosen length beside others": len(chosen) / (usual + 1),
        "chosen none or all": float(_NONE_OR_ALL.search(chosen) is not None),
        "options said": float(sum(bool(text) and text.lower() in said for text in options.values())),
    }


def _of_signal(name: str, value: float | None) -> dict[str, float]:
    known = 0.5 if value is None else min(max(value, 1e-4), 1 - 1e-6)
    return {f"{name} odds": math.log(known / (1 - known)), f"{name} missing": float(value is None), name: known}
