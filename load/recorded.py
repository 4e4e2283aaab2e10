"""Recorded answers of real models, read from a folder: what they were asked, what they said, whether it was right.

The files and fields are those that docs/routing.md describes. Nothing here knows a model by name: who is cheap and who
is strong follows from the answers and from `prices.json`.
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from penstock.routing.curve import Floats
from penstock.routing.exchanges import answered
from penstock.routing.features import Exchange

#: what the publishers estimate a token at; the answer files record no tokens
CHARACTERS_PER_TOKEN = 4
#: the two models of the routellm file, as its publishers name them, and the mean US dollars per million tokens that
#: RouteLLM's paper reckons with: its answers' lengths are not recorded, so every call counts the same
WEAK, STRONG = "weak", "strong"
WEAK_PRICE, STRONG_PRICE = 0.24, 24.7
#: the signal that a vendor gives with an answer: the geometric mean of its tokens' probabilities
PROBABILITY = "token probability"
#: no probability is 0 on the wire
_LEAST = 1e-9


class NoData(Exception):
    """Raised when the folder lacks what was asked for; the message says what."""


@dataclass(slots=True)
class Model:
    """One model's answers to all questions of a task: right (0 or 1), the canonical answer, text, signals, tokens.

    `right` is not a number where it was not asked; `tokens` are of the prompt and of the answer; `price` is in US
    dollars per million of them, None where it is not known.
    """

    price: tuple[float, float] | None
    right: list[float] = field(default_factory=list)
    verdict: list[str | None] = field(default_factory=list)
    text: list[str | None] = field(default_factory=list)
    signals: list[dict[str, float | None]] = field(default_factory=list)
    tokens: list[tuple[int, int]] = field(default_factory=list)

    @property
    def cost(self) -> list[float]:
        """US dollars a call; not a number where it was not asked or has no price, so that it is never free."""
        price_in, price_out = self.price or (float("nan"), float("nan"))
        return [
            float("nan") if np.isnan(right) else (asked * price_in + said * price_out) / 1e6
            for right, (asked, said) in zip(self.right, self.tokens, strict=True)
        ]

    @property
    def has_text(self) -> bool:
        """Whether whole answers were recorded."""
        return any(text is not None for text in self.text)

    @property
    def has_answers(self) -> bool:
        """Whether anything of its answers was recorded."""
        return self.has_text or any(verdict is not None for verdict in self.verdict)

    @property
    def priced(self) -> bool:
        """Whether it is known what its answers cost."""
        return self.price is not None

    def said(self, question: int) -> str:
        """What is known of its answer: the text, or where none was recorded the canonical answer."""
        return self.text[question] or self.verdict[question] or ""

    def probability(self, question: int) -> float | None:
        """The geometric mean of its tokens' probabilities as a vendor would tell it, None where it was not recorded."""
        found = self.signals[question].get(PROBABILITY)
        return None if found is None else max(found, _LEAST)

    def mean(self, what: str) -> float:
        """Of `right` or `cost`, over the questions it was asked."""
        return float(np.nanmean(getattr(self, what)))

    def take(self, kept: Sequence[int]) -> "Model":
        """Some of its answers."""
        columns = (self.right, self.verdict, self.text, self.signals, self.tokens)
        return Model(self.price, *([column[n] for n in kept] for column in columns))  # type: ignore[arg-type]


@dataclass(slots=True)
class Task:
    """Questions that were asked of several models."""

    name: str
    ids: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)

    def exchanges(self, cheap: str | None, rule: str | None = None) -> list[Exchange]:
        """The prompts, with one model's answers if it is named, as a route that compares by `rule` sees them."""
        if cheap is None:
            return [Exchange(prompt) for prompt in self.prompts]
        model = self.models[cheap]
        return [
            answered(prompt, model.said(number), model.probability(number), rule)
            for number, prompt in enumerate(self.prompts)
        ]

    def asked(self, names: Sequence[str]) -> "Task":
        """The questions that all of these models were asked."""
        kept = [n for n in range(len(self.ids)) if not any(np.isnan(self.models[name].right[n]) for name in names)]
        models = {name: self.models[name].take(kept) for name in names}
        parts = ([part[n] for n in kept] for part in (self.ids, self.prompts, self.kinds))
        return Task(self.name, *parts, models)

    def array(self, name: str, what: str) -> Floats:
        """`right` or `cost` of a model."""
        return np.array(getattr(self.models[name], what), dtype=np.float64)


def load(folder: Path) -> dict[str, Task]:
    """All tasks of a folder, by name.

    Raises:
        NoData: there is no such folder, or none of the files is in it.
    """
    if not folder.is_dir():
        raise NoData(f"there is no folder {folder}: name one with DATA=folder (docs/routing.md says what it holds)")
    prices_file = folder / "prices.json"
    prices: dict[str, Any] = orjson.loads(prices_file.read_bytes()) if prices_file.exists() else {}
    # A later file of a task has more of the same rows: the answers' texts.
    readers = {
        "routing_routellm": _routellm,
        "routing_mmlupro": _mmlupro,
        "cascade_mmlupro": _mmlupro,
        "routing_zeroeval": _zeroeval,
        "cascade_zeroeval": _zeroeval,
        "cascade_confidence": _confidence,
    }
    tasks: dict[str, Task] = {}
    for name, read in readers.items():
        path = folder / f"{name}.jsonl.gz"
        if path.exists():
            with gzip.open(path) as lines:
                rows = [orjson.loads(line) for line in lines]
            tasks |= {task.name: task for task in read(rows, prices)}
    for task in tasks.values():
        for model in task.models.values():
            _skip(model, len(task.ids))
    if not tasks:
        raise NoData(f"{folder} holds none of {', '.join(f'{name}.jsonl.gz' for name in readers)}")
    return tasks


def _routellm(rows: Sequence[dict[str, Any]], _prices: dict[str, Any]) -> list[Task]:
    found: dict[str, Task] = {}
    for row in rows:
        if row.get("contaminated"):
            continue  # the publishers leave them out of their own evaluation too
        task = found.setdefault(row["task"], Task(row["task"]))
        _add_question(task, row, row["prompt"])
        for name, price in ((WEAK, WEAK_PRICE), (STRONG, STRONG_PRICE)):
            _add(task, name, (price, 0.0), float(row[name]), None, (1, 0), row.get(f"{name}_response"))
    return list(found.values())


def _mmlupro(rows: Sequence[dict[str, Any]], prices: dict[str, Any]) -> list[Task]:
    task = Task("mmlupro")
    for row in rows:
        _add_question(task, row, row["prompt"])
        for name, answer in row["pred"].items():
            tokens = _tokens(len(row["prompt"]), row["out_chars"].get(name))
            right = float(answer is not None and answer == row["gold"])
            _add(task, name, _price(prices, name), right, answer, tokens, row.get("text", {}).get(name))
    return [task]


def _zeroeval(rows: Sequence[dict[str, Any]], prices: dict[str, Any]) -> list[Task]:
    task = Task("zeroeval")
    for row in rows:
        _add_question(task, row, row["question"])
        right = row["correct"] if "correct" in row else {name: given[0] for name, given in row["models"].items()}
        length = row["out_chars"] if "out_chars" in row else {name: given[1] for name, given in row["models"].items()}
        for name, value in right.items():
            tokens = _tokens(row["prompt_chars"], length.get(name))
            answer = row.get("answers", {}).get(name)
            _add(task, name, _price(prices, name), float(value), answer, tokens, row.get("text", {}).get(name))
    return [task]


def _confidence(rows: Sequence[dict[str, Any]], prices: dict[str, Any]) -> list[Task]:
    task = Task("confidence")
    for row in rows:
        _add_question(task, row, row["prompt"])
        for name, said in row["models"].items():
            tokens = _tokens(len(row["prompt"]), said["out_chars"])
            signals = {PROBABILITY: said.get("tokp"), "stated confidence": said.get("stated")}
            text = row.get("text", {}).get(name)
            _add(task, name, _price(prices, name), float(said["ok"]), said["a"], tokens, text, signals)
    return [task]


def _add_question(task: Task, row: dict[str, Any], prompt: str) -> None:
    task.ids.append(str(row.get("id", len(task.ids))))
    task.prompts.append(prompt)
    task.kinds.append(str(row.get("task", task.name)))


def _add(
    task: Task,
    name: str,
    price: tuple[float, float] | None,
    right: float,
    verdict: Any,
    tokens: tuple[int, int],
    text: str | None,
    signals: dict[str, float | None] | None = None,
) -> None:
    model = task.models.setdefault(name, Model(price))
    _skip(model, len(task.ids) - 1)
    model.right.append(right)
    model.verdict.append(None if verdict is None else str(verdict))
    model.tokens.append(tokens)
    model.text.append(text)
    model.signals.append(signals or {})


def _skip(model: Model, questions: int) -> None:
    """Note that it was not asked up to here."""
    missing = questions - len(model.right)
    model.right += [float("nan")] * missing
    model.tokens += [(0, 0)] * missing
    model.verdict += [None] * missing
    model.text += [None] * missing
    model.signals += [{}] * missing


def _price(prices: dict[str, Any], name: str) -> tuple[float, float] | None:
    known = prices.get(name)
    return (float(known[0]), float(known[1])) if isinstance(known, list) else None


def _tokens(prompt_characters: int, answer_characters: int | None) -> tuple[int, int]:
    """Rounded up, as a vendor counts whole tokens."""
    asked, said = (-(-count // CHARACTERS_PER_TOKEN) for count in (prompt_characters, answer_characters or 0))
    return asked, said
