"""Which routes of a real Penstock decide as the bench computes, and what they must do on which questions."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

import numpy as np

from load.recorded import Task
from load.routing_measure import HeldOut, rule_of, trusted, usable
from load.routing_pairs import Pair


@dataclass(frozen=True, slots=True)
class Route:
    """A route between the models of a pair; `settings` are those of its configuration, without the steps.

    `decides` names the policy; `asked` has the models that each question is put to, in order, by its place in `task`,
    which has those that all models of the pair were asked. The last model answers.
    """

    name: str
    task: Task
    pair: Pair
    decides: str
    settings: dict[str, Any]
    asked: dict[int, tuple[str, ...]]
    learnt: HeldOut | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """All that may be asked."""
        return (*self.pair.cheap, self.pair.strong)

    def cost(self, question: int) -> float:
        """US dollars of all that are asked."""
        return sum(self.task.models[name].cost[question] for name in self.asked[question])


def routes_of(
    tasks: dict[str, Task], pairs: Iterable[Pair], learnt: Iterable[HeldOut], sample: int, seed: int
) -> list[Route]:
    """A route for each learnt policy, and for all pairs whose decisions need nothing learnt.

    Those are agreement, and token probability where it is known. Of each at most `sample` questions are asked, of a
    learnt policy only such as it was not calibrated on.
    """
    found: list[Route] = []
    for pair in pairs:
        task = tasks[pair.task].asked((*pair.cheap, pair.strong))
        chosen = _sample(tasks[pair.task], task, range(len(task.ids)), sample, seed)
        kinds = _agreement(task, pair, chosen) if len(pair.cheap) > 1 else _probability(task, pair, chosen)
        for accept, asked in kinds:
            settings = {"strategy": "escalation", "accept": accept}
            found.append(Route(f"route{len(found)}", task, pair, next(iter(accept)), settings, asked))
    for policy in learnt:
        pair = policy.pair
        task = tasks[pair.task].asked((*pair.cheap, pair.strong))
        chosen = _sample(tasks[pair.task], task, list(policy.asked), sample, seed)
        settings = {"strategy": "content"}
        if policy.kind == "verifier":
            settings = {"strategy": "escalation", "accept": {"verifier": True}}
        asked = {question: policy.asked[question] for question in chosen}
        found.append(Route(f"route{len(found)}", task, pair, policy.kind, settings, asked, policy))
    return found


def _sample(whole: Task, task: Task, among: Sequence[int], sample: int, seed: int) -> list[int]:
    """Questions in an order of chance; none whose prompt another has too, of which a policy may have learnt.

    The provider could not tell them apart either.
    """
    known = Counter(whole.prompts)
    order = np.random.default_rng(seed).permutation(np.asarray(among)).tolist()
    return [question for question in order if known[task.prompts[question]] == 1][:sample]


def _agreement(
    task: Task, pair: Pair, chosen: Sequence[int]
) -> Iterator[tuple[dict[str, Any], dict[int, tuple[str, ...]]]]:
    """A route for each kind of question, since a route has one rule."""
    first, second = (task.models[name] for name in pair.cheap)
    for kind in sorted({task.kinds[question] for question in chosen}):
        mine = [question for question in chosen if task.kinds[question] == kind]
        kept = {question: trusted(kind, first.said(question), second.said(question)) for question in mine}
        yield {"agreement": rule_of([kind])}, _escalated(pair, kept)


def _probability(
    task: Task, pair: Pair, chosen: Sequence[int]
) -> Iterator[tuple[dict[str, Any], dict[int, tuple[str, ...]]]]:
    """One route, whose threshold is the median, halfway to the next value."""
    model = task.models[pair.cheap[0]]
    told = {question: model.probability(question) for question in chosen if usable(model.said(question))}
    known = sorted({value for value in told.values() if value is not None})
    if len(known) > 1:
        middle = median_low(known[:-1])
        least = (middle + known[known.index(middle) + 1]) / 2
        kept = {question: (told.get(question) or 0.0) >= least for question in chosen}
        yield {"min_probability": least}, _escalated(pair, kept)


def _escalated(pair: Pair, kept: dict[int, bool]) -> dict[int, tuple[str, ...]]:
    return {question: pair.cheap if keep else (*pair.cheap, pair.strong) for question, keep in kept.items()}
