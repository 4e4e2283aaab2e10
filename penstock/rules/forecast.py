"""When waiting work will be done: what is served before it by fair share, over what the limits let through.

Every flow gets tokens in proportion to its weight as long as it has work (`rules.fairness`). So when a flow has been
served its first `n` tokens, another of weight `w'` has been served at most `n ÷ w · w'`, and no more than it had. That
is the fluid model of fair queueing (A. Parekh, R. Gallager, "A generalized processor sharing approach to flow control",
1993); the order in which flows run dry does not matter to the sum.
"""

import bisect
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

#: what a supply is counted in; input and output are tokens of prompts and answers
Unit = Literal["requests", "tokens", "input", "output"]


@dataclass(frozen=True, slots=True)
class Work:
    """Requests, and the tokens that they are expected to take in all."""

    requests: float = 0.0
    tokens: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Both together."""
        return Work(self.requests + other.requests, self.tokens + other.tokens)

    def __mul__(self, share: float) -> "Work":
        """A share of it."""
        return Work(self.requests * share, self.tokens * share)


@dataclass(frozen=True, slots=True)
class Waiting:
    """All that one flow has waiting, and its weight."""

    work: Work
    weight: float


@dataclass(frozen=True, slots=True)
class Supply:
    """One limit: so much is at hand now (below zero: a debt), and so much comes every second."""

    unit: Unit
    level: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Mean:
    """What calls of one deployment came to lately, beside what was expected of them.

    `token_ratio` is real tokens to expected ones; `input_share` the part of them that were in prompts; `seconds` the
    time from a call's start to its end.
    """

    token_ratio: float = 1.0
    input_share: float = 0.5
    seconds: float = 0.0


class Shares:
    """What the flows of one deployment get of it beside one another."""

    def __init__(self, flows: Mapping[int, Waiting]) -> None:
        """`flows` has all that each flow has waiting, by any number of its own."""
        self._flows = {key: flow for key, flow in flows.items() if flow.work.tokens > 0}
        ordered = sorted(self._flows.values(), key=_turns)
        #: tokens to weight at which each flow runs dry, what those before it have in all, what later ones get for each
        self._dry = [_turns(flow) for flow in ordered]
        self._whole = list(itertools.accumulate((flow.work for flow in ordered), initial=Work()))
        each = [flow.work * (1 / _turns(flow)) for flow in ordered]
        self._each = list(itertools.accumulate(reversed(each), initial=Work()))[::-1]

    def served_by_then(self, key: int, mine: Work, weight: float) -> Work:
        """All that is served until `mine`, the first work of the flow `key`, is done; `mine` included."""
        turns = mine.tokens / weight
        dry = bisect.bisect_right(self._dry, turns)
        total = self._whole[dry] + self._each[dry] * turns
        own = self._flows.get(key)
        if own is not None:
            total += own.work * -min(1.0, turns / _turns(own))
        return total + mine


def _turns(flow: Waiting) -> float:
    return flow.work.tokens / flow.weight


def seconds_for(work: Work, supplies: Iterable[Supply], mean: Mean) -> float | None:
    """How long until so much work has begun: the scarcest supply decides. None when nothing is known to limit it.

    Infinite where a supply has none at hand, and none comes.
    """
    longest: float | None = None
    for supply in supplies:
        missing = _amount(work, supply.unit, mean) - supply.level
        wait = 0.0 if missing <= 0 else missing / supply.per_second if supply.per_second > 0 else float("inf")
        longest = wait if longest is None else max(longest, wait)
    return longest


def _amount(work: Work, unit: Unit, mean: Mean) -> float:
    if unit == "requests":
        return work.requests
    real = work.tokens * mean.token_ratio
    if unit == "tokens":
        return real
    return real * (mean.input_share if unit == "input" else 1 - mean.input_share)


@dataclass(frozen=True, slots=True)
class Prospect:
    """A batch with a window: seconds until it closes, until the work is done in its turn, and if it went first."""

    left: float
    in_turn: float
    if_first: float


#: seconds, and a part of what is left, by which work is to be done before its window closes: estimates err
_MARGIN_SECONDS, _MARGIN_SHARE = 15.0, 0.1
#: work that would be so many times too late even if it went first gains nothing, and the others would lose
_HOPELESS = 1.5


def must_hurry(prospect: Prospect) -> bool:
    """Whether a batch should go before the rest of its flow: in its turn it would be late, or nearly, and else not."""
    margin = min(_MARGIN_SECONDS + _MARGIN_SHARE * prospect.left, 0.5 * max(prospect.left, 0.0))
    late = prospect.in_turn > prospect.left - margin
    gains = prospect.if_first < prospect.in_turn and prospect.if_first <= _HOPELESS * prospect.left
    return late and gains and prospect.left > 0
