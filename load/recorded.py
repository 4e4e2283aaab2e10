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
from penstock.routing.features import Exchange

#: what the publishers estimate a token at; the answer files record no tokens
CHARACTERS_PER_TOKEN = 4
#: the two models of the routellm file, as its publishers name them, and the mean US dollars per million tokens that
#: RouteLLM's paper reckons with: its answers' lengths are not recorded, so every call counts the same
WEAK, STRONG = "weak", "strong"
WEAK_PRICE, STRONG_PRICE = 0.24, 24.7


class NoData(Exception):
    """Raised when the folder lacks what was asked for; the message says what."""


@dataclass(slots=True)
class Model:
    """One model's answers to all questions of a task: right (0 or 1), the canonical answer, US dollars, text, signals.

    `right` and `cost` are not numbers where it was not asked, `cost` also where it has no price.
    """

    right: list[float]
    verdict: list[str | None]
    cost: list[float]
    text: list[str | None]
    signals: list[dict[str, float | None]]

    @property
    def has_text(self) -> bool:
        """Whether whole answers were recorded."""
        return any(text is not None for text in self.text)

    @property
    def priced(self) -> bool:
        """Whether it is known what its answers cost."""
        return not np.isnan(self.cost).all()

    def mean(self, what: str) -> float:
        """Of `right` or `cost`, over the questions it was asked."""
        return float(np.nanmean(getattr(self, what)))

    def take(self, kept: Sequence[int]) -> "Model":
        """Some of its answers."""
        columns = (self.right, self.verdict, self.cost, self.text, self.signals)
        return Model(*([column[n] for n in kept] for column in columns))  # type: ignore[arg-type]


@dataclass(slots=True)
class Task:
    """Questions that were asked of several models."""

    name: str
    ids: list[str] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)

    def exchanges(self, cheap: str | None) -> list[Exchange]:
        """The prompts, with one model's answers if it is named."""
        if cheap is None:
            return [Exchange(prompt) for prompt in self.prompts]
        model = self.models[cheap]
        rows = zip(self.prompts, model.text, model.verdict, model.signals, strict=True)
        return [Exchange(prompt, text or "", verdict, signals) for prompt, text, verdict, signals in rows]

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
            _add(task, name, float(row[name]), None, price / 1e6, row.get(f"{name}_response"))
    return list(found.values())


def _mmlupro(rows: Sequence[dict[str, Any]], prices: dict[str, Any]) -> list[Task]:
    task = Task("mmlupro")
    for row in rows:
        _add_question(task, row, row["prompt"])
        for name, answer in row["pred"].items():
            cost = _cost(prices, name, len(row["prompt"]), row["out_chars"].get(name))
            right = float(answer is not None and answer == row["gold"])
            _add(task, name, right, answer, cost, row.get("text", {}).get(name))
    return [task]


def _zeroeval(rows: Sequence[dict[str, Any]], prices: dict[str, Any]) -> list[Task]:
    task = Task("zeroeval")
    for row in rows:
        _add_question(task, row, row["question"])
        right = row["correct"] if "correct" in row else {name: given[0] for name, given in row["models"].items()}
        length = row["out_chars"] if "out_chars" in row else {name: given[1] for name, given in row["models"].items()}
        for name, value in right.items():
            cost = _cost(prices, name, row["prompt_chars"], length.get(name))
            answer = row.get("answers", {}).get(name)
            _add(task, name, float(value), answer, cost, row.get("text", {}).get(name))
    return [task]


def _confidence(rows: Sequence[dict[str, Any]], prices: dict[str, Any]) -> list[Task]:
    task = Task("confidence")
    for row in rows:
        _add_question(task, row, row["prompt"])
        for name, said in row["models"].items():
            cost = _cost(prices, name, len(row["prompt"]), said["out_chars"])
            signals = {"token probability": said.get("tokp"), "stated confidence": said.get("stated")}
            _add(task, name, float(said["ok"]), said["a"], cost, row.get("text", {}).get(name), signals)
    return [task]


def _add_question(task: Task, row: dict[str, Any], prompt: str) -> None:
    task.ids.append(str(row.get("id", len(task.ids))))
    task.prompts.append(prompt)
    task.kinds.append(str(row.get("task", task.name)))


def _add(
    task: Task,
    name: str,
    right: float,
    verdict: Any,
    cost: float,
    text: str | None,
    signals: dict[str, float | None] | None = None,
) -> None:
    model = task.models.setdefault(name, Model([], [], [], [], []))
    _skip(model, len(task.ids) - 1)
    model.right.append(right)
    model.verdict.append(None if verdict is None else str(verdict))
    model.cost.append(cost)
    model.text.append(text)
    model.signals.append(signals or {})


def _skip(model: Model, questions: int) -> None:
    """Note that it was not asked up to here."""
    missing = questions - len(model.right)
    model.right += [float("nan")] * missing
    model.cost += [float("nan")] * missing
    model.verdict += [None] * missing
    model.text += [None] * missing
    model.signals += [{}] * missing


def _cost(prices: dict[str, Any], name: str, prompt_characters: int, answer_characters: int | None) -> float:
    """US dollars; not a number where the model has no price, so that it can never be taken for free."""
    if not isinstance(prices.get(name), list):
        return float("nan")
    price_in, price_out = prices[name]
    characters = prompt_characters * price_in + (answer_characters or 0) * price_out
    return float(characters / CHARACTERS_PER_TOKEN / 1e6)
