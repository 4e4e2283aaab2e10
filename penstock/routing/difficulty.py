"""A learned score of a request, or of a request and its cheap answer: kept as JSON, computed in plain Python.

It predicts, from labels of past work, the chance that the cheap model is wrong, that the strong model is wrong too, and
what asking the strong one would cost: linear in words, numbers and marks (ADR 0023), and trees over the numbers beside
that where validation found them better (ADR 0030). `penstock.routing.training` learns it; scoring needs no library.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.errors import ConfigError
from penstock.routing.features import Exchange, Features, features
from penstock.routing.trees import Forest

#: what is predicted, in the order of all weights; the last is the natural logarithm of US dollars
OUTPUTS = ("cheap_wrong", "strong_wrong", "log_cost")
#: how much a plain number (in standard deviations) and a mark count beside a text block of length 1
NUMBER_WEIGHT = 0.15
MARK_WEIGHT = 0.3

Weights = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """Chances from 0 to 1, and US dollars."""

    cheap_wrong: float
    strong_wrong: float
    cost: float

    def need(self, weigh_strong: float, cost_power: float) -> float:
        """How much is gained by the strong model, per US dollar to the power of `cost_power`."""
        return (self.cheap_wrong - weigh_strong * self.strong_wrong) / math.pow(self.cost, cost_power)


@dataclass(frozen=True, slots=True)
class LearnedScore:
    """The weights: per term its inverse document frequency first, per number its mean and deviation first."""

    sees_answer: bool
    terms: Mapping[str, Mapping[str, Weights]]
    numbers: Mapping[str, Weights]
    marks: Mapping[str, Weights]
    intercept: Weights
    forest: Forest | None = None

    def predict(self, exchange: Exchange) -> Prediction:
        """Score one request.

        Raises:
            ValueError: the score was learnt with the cheap answer, and there is none.
        """
        return self.weigh(self.look(exchange))

    def look(self, exchange: Exchange) -> Features:
        """What it sees of a request. Raises as `predict` does."""
        if self.sees_answer and exchange.answer is None:
            raise ValueError("this score was learnt on answers: it needs the cheap model's")
        return features(exchange if self.sees_answer else Exchange(exchange.prompt))

    def weigh(self, found: Features) -> Prediction:
        """Score what was seen."""
        sums = self._linear(found)
        if self.forest is not None:
            share, grown = self.forest.share, self.forest.predict(found.numbers)
            sums = [(1 - share) * line + share * tree for line, tree in zip(sums, grown, strict=True)]
        return Prediction(sums[0], sums[1], math.exp(min(sums[2], 50.0)))

    def _linear(self, found: Features) -> list[float]:
        sums = list(self.intercept)
        for block, words in found.words.items():
            known = self.terms.get(block, {})
            length = cheap_wrong = strong_wrong = log_cost = 0.0
            # The outputs are written out, not looped over: most of a score's time is spent here.
            for word, count in Counter(words).items():
                if (weights := known.get(word)) is None:
                    continue
                value = weights[0] if count == 1 else weights[0] * (1 + math.log(count))
                length += value * value
                cheap_wrong += value * weights[1]
                strong_wrong += value * weights[2]
                log_cost += value * weights[3]
            if length:
                scale = 1 / math.sqrt(length)
                part = (cheap_wrong, strong_wrong, log_cost)
                sums = [total + scale * more for total, more in zip(sums, part, strict=True)]
        for name, value in found.numbers.items():
            if (weights := self.numbers.get(name)) is not None:
                scaled = NUMBER_WEIGHT * (value - weights[0]) / weights[1]
                sums = [total + scaled * more for total, more in zip(sums, weights[2:], strict=True)]
        for mark in found.marks:
            if (weights := self.marks.get(mark)) is not None:
                sums = [total + MARK_WEIGHT * more for total, more in zip(sums, weights, strict=True)]
        return sums

    def explain(self, exchange: Exchange, most: int = 5) -> list[tuple[str, float]]:
        """What moved the linear part of the chance that the cheap model is wrong, the greatest first."""
        found = features(exchange if self.sees_answer else Exchange(exchange.prompt))
        moved: dict[str, float] = {}
        for block, words in found.words.items():
            known = self.terms.get(block, {})
            values = {word: known[word][0] * (1 + math.log(n)) for word, n in Counter(words).items() if word in known}
            length = math.sqrt(sum(value * value for value in values.values())) or 1.0
            moved |= {f"{block}: {word}": value / length * known[word][1] for word, value in values.items()}
        for name, value in found.numbers.items():
            if (weights := self.numbers.get(name)) is not None:
                moved[name] = NUMBER_WEIGHT * (value - weights[0]) / weights[1] * weights[2]
        moved |= {mark: MARK_WEIGHT * self.marks[mark][0] for mark in found.marks if mark in self.marks}
        return sorted(moved.items(), key=lambda item: -abs(item[1]))[:most]

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "outputs": list(OUTPUTS),
            "sees_answer": self.sees_answer,
            "terms": {block: {word: list(row) for word, row in known.items()} for block, known in self.terms.items()},
            "numbers": {name: list(row) for name, row in self.numbers.items()},
            "marks": {name: list(row) for name, row in self.marks.items()},
            "intercept": list(self.intercept),
            "forest": None if self.forest is None else self.forest.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "LearnedScore":
        """Read what `to_json` wrote.

        Raises:
            ConfigError: it is not one, or one of another version.
        """
        try:
            if tuple(value["outputs"]) != OUTPUTS:
                raise ConfigError(f"a learned score must predict {', '.join(OUTPUTS)}")
            return cls(
                bool(value["sees_answer"]),
                {block: _rows(known, 1) for block, known in value["terms"].items()},
                _rows(value["numbers"], 2),
                _rows(value["marks"], 0),
                _row(value["intercept"], 0),
                _forest(value["forest"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"not a learned score: {error!r}") from error


def _forest(value: Any) -> Forest | None:
    forest = None if value is None else Forest.from_json(value)
    if forest is not None and len(forest.starts) != len(OUTPUTS):
        raise ValueError(f"expected trees for {len(OUTPUTS)} outputs")
    return forest


def _rows(value: Mapping[str, Any], before: int) -> dict[str, Weights]:
    return {name: _row(row, before) for name, row in value.items()}


def _row(value: Any, before: int) -> Weights:
    row = tuple(float(item) for item in value)
    if len(row) != before + len(OUTPUTS) or not all(map(math.isfinite, row)):
        raise ValueError(f"expected {before + len(OUTPUTS)} finite numbers, got {row}")
    return row
