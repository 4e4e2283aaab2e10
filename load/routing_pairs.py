"""Which model pairs a routing bench measures: those named, or all that the recorded answers make sensible."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from load.recorded import NoData, Task

#: a strong model worth routing to costs at least so much more than the cheap one, and is right so much more often
DEARER = 3.0
BETTER = 0.02
#: two cheap models asked together cost at most this share of the strong one
CHEAP_TOGETHER = 0.15


@dataclass(frozen=True, slots=True)
class Pair:
    """`task:cheap:strong`; two cheap models that must agree are `task:first+second:strong`."""

    task: str
    cheap: tuple[str, ...]
    strong: str

    def __str__(self) -> str:
        return f"{self.task}:{'+'.join(self.cheap)}:{self.strong}"


def named(text: str, tasks: dict[str, Task]) -> list[Pair]:
    """The pairs of PAIRS, separated by white space.

    Raises:
        NoData: a task or a model of them was not recorded, or has no price.
    """
    pairs = []
    for word in text.split():
        task, _, rest = word.partition(":")
        cheap, _, strong = rest.rpartition(":")
        if task not in tasks:
            raise NoData(f"{word}: there is no task `{task}` (recorded: {', '.join(tasks)})")
        pair = Pair(task, tuple(cheap.split("+")), strong)
        for model in (*pair.cheap, strong):
            if model not in tasks[task].models:
                raise NoData(f"{word}: {task} has no model `{model}` (recorded: {', '.join(tasks[task].models)})")
            if not tasks[task].models[model].priced:
                raise NoData(f"{word}: prices.json has no price for `{model}`")
        pairs.append(pair)
    return pairs


def sensible(task: Task, most: int) -> list[Pair]:
    """One cheap model and a strong one, the cheap one's answers recorded if any were: the `most` worth learning."""
    pairs = [
        Pair(task.name, (cheap,), strong)
        for cheap in _cheap(task)
        for strong in _priced(task)
        if _cost(task, strong) >= DEARER * _cost(task, cheap) and _gain(task, (cheap,), strong) >= BETTER
    ]
    return sorted(pairs, key=lambda pair: -_gain(task, pair.cheap, pair.strong))[:most]


def agreeing(task: Task) -> list[Pair]:
    """Two cheap models and a strong one."""
    return [
        Pair(task.name, both, strong)
        for both in combinations(_cheap(task), 2)
        for strong in _priced(task)
        if sum(_cost(task, name) for name in both) <= CHEAP_TOGETHER * _cost(task, strong)
        and _gain(task, both, strong) >= BETTER
    ]


def _cheap(task: Task) -> list[str]:
    return [name for name in _priced(task) if task.models[name].has_text] or _priced(task)


def _priced(task: Task) -> list[str]:
    return [name for name, model in task.models.items() if model.priced]


def _cost(task: Task, name: str) -> float:
    return task.models[name].mean("cost")


def _gain(task: Task, cheap: Sequence[str], strong: str) -> float:
    return task.models[strong].mean("right") - max(task.models[name].mean("right") for name in cheap)
