"""The same decisions by the real engine: recorded answers, replayed to a running Penstock by a simulated provider.

For a sample of each pair's questions there are routes that escalate, and one batch with a line per question: ingested,
dispatched, asked step by step over HTTP, judged and hopped by workers, priced from the usage they were told. Which
model answered and what was paid must be what the pure computation says, question by question.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median_low
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson

from load import simulated
from load.engine import Penstock
from load.recorded import PROBABILITY, Model, Task
from load.routing_measure import KINDS, trusted
from load.routing_pairs import Pair

#: no probability is 0 on the wire
_LEAST = 1e-9
_LIMIT_SECONDS = 600.0
#: two sums of the same prices and tokens, one in decimals and one in floats
_SAME = 1e-9
_READERS = 8


@dataclass(frozen=True, slots=True)
class Route:
    """An escalating route for the questions of a pair that are judged alike; `accept` is as in the configuration."""

    name: str
    task: Task
    pair: Pair
    accept: dict[str, Any]
    questions: list[int]

    def expected(self, question: int) -> list[str]:
        """The models that are asked, in order; the last of them answers."""
        models = [self.task.models[name] for name in self.pair.cheap]
        kind = self.task.kinds[question]
        if "agreement" in self.accept:
            kept = trusted(kind, models[0].said(question), models[1].said(question))
        else:
            found = models[0].signals[question].get(PROBABILITY)
            kept = found is not None and max(found, _LEAST) >= self.accept["min_probability"]
        return [*self.pair.cheap] if kept else [*self.pair.cheap, self.pair.strong]

    def cost(self, question: int) -> float:
        """US dollars of all of them."""
        return sum(self.task.models[name].cost[question] for name in self.expected(question))


@dataclass(frozen=True, slots=True)
class Replay:
    """What the engine did on one pair beside what was computed: questions, strong calls, US dollars, differences."""

    pair: str
    accept: str
    questions: int
    strong_calls: int
    cost: float
    cost_computed: float
    differences: list[str]


def routes_of(tasks: dict[str, Task], pairs: list[Pair], sample: int, seed: int) -> list[Route]:
    """Routes for all pairs whose decisions need nothing learnt: agreement, and token probability where it is known."""
    found: list[Route] = []
    for pair in pairs:
        task = tasks[pair.task].asked((*pair.cheap, pair.strong))
        for accept, chosen in _kinds(task, pair, _sample(task, sample, seed)):
            found.append(Route(f"route{len(found)}", task, pair, accept, chosen))
    return found


def replay(routes: list[Route]) -> list[Replay]:
    """Run them all as one batch.

    Raises:
        BenchFailed: Penstock or the simulated provider did not start, or the batch did not end.
    """
    with TemporaryDirectory(prefix="penstock-routing-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # embedded servers started by root run as another user, who must pass through
        names = _names(routes)
        (folder / "recorded.jsonl").write_bytes(b"\n".join(map(orjson.dumps, _recorded(routes))))
        with simulated.provider("--recorded", str(folder / "recorded.jsonl")) as url:
            config = _config(routes, names, f"{url}/v1")
            with Penstock(folder, config, workers=1) as penstock:
                lines = [_line(route, question) for route in routes for question in route.questions]
                _, answered = penstock.run_lines(b"\n".join(lines) + b"\n", len(lines), _LIMIT_SECONDS)
                with ThreadPoolExecutor(_READERS) as pool:
                    jobs = dict(zip(answered, pool.map(penstock.job, answered.values()), strict=True))
    upstream = {deployment: model for (_, model), deployment in names.items()}
    return list(_compared(routes, jobs, upstream))


def _sample(task: Task, sample: int, seed: int) -> list[int]:
    """Questions in an order of chance, each prompt once."""
    order = np.random.default_rng(seed).permutation(len(task.ids)).tolist()
    first = {task.prompts[question]: question for question in reversed(order)}
    return [question for question in order if first[task.prompts[question]] == question][:sample]


def _kinds(task: Task, pair: Pair, chosen: list[int]) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """How a route of each kind of question accepts; a threshold is the median, halfway to the next value."""
    if len(pair.cheap) > 1:
        for kind in sorted({task.kinds[question] for question in chosen}):
            rule = KINDS.get(kind, "text")
            yield {"agreement": rule}, [question for question in chosen if task.kinds[question] == kind]
        return
    signals = [task.models[pair.cheap[0]].signals[question].get(PROBABILITY) for question in chosen]
    known = sorted({max(value, _LEAST) for value in signals if value is not None})
    if len(known) > 1:
        middle = median_low(known[:-1])
        yield {"min_probability": (middle + known[known.index(middle) + 1]) / 2}, chosen


def _names(routes: list[Route]) -> dict[tuple[str, str], str]:
    """A deployment for each (task, model): a name of a configuration may not hold all that a recorded one may."""
    asked = dict.fromkeys(
        (route.task.name, model) for route in routes for model in (*route.pair.cheap, route.pair.strong)
    )
    return {key: f"model{number}" for number, key in enumerate(asked)}


def _recorded(routes: list[Route]) -> Iterator[dict[str, Any]]:
    """The simulator's file: every answer that a route may ask for, once."""
    seen: set[tuple[str, str, str]] = set()
    for route in routes:
        for name in (*route.pair.cheap, route.pair.strong):
            for question in route.questions:
                key = (route.task.name, name, route.task.prompts[question])
                if key not in seen:
                    seen.add(key)
                    yield _answer(f"{route.task.name}/{name}", route.task.models[name], route.task, question)


def _answer(upstream: str, model: Model, task: Task, question: int) -> dict[str, Any]:
    asked, said = model.tokens[question]
    probability = model.signals[question].get(PROBABILITY)
    return {
        "model": upstream,
        "prompt": task.prompts[question],
        "text": model.said(question),
        "input_tokens": asked,
        "output_tokens": said,
        **({} if probability is None else {"token_probability": max(probability, _LEAST)}),
    }


def _config(routes: list[Route], names: dict[tuple[str, str], str], url: str) -> dict[str, Any]:
    models = {}
    for route in routes:
        for model in (*route.pair.cheap, route.pair.strong):
            price_in, price_out = route.task.models[model].price or (0.0, 0.0)
            models[names[route.task.name, model]] = {
                "provider": "recorded",
                "upstream_model": f"{route.task.name}/{model}",
                "price": {"input": price_in, "output": price_out},
            }
    steps = {
        route.name: [names[route.task.name, model] for model in (*route.pair.cheap, route.pair.strong)]
        for route in routes
    }
    return {
        "providers": {"recorded": {"wire_format": "openai", "base_url": url, "api_key": "sk-bench"}},
        "models": models,
        "routes": {
            route.name: {"strategy": "escalation", "steps": steps[route.name], "accept": route.accept}
            for route in routes
        },
    }


def _line(route: Route, question: int) -> bytes:
    body = {"model": route.name, "messages": [{"role": "user", "content": route.task.prompts[question]}]}
    custom_id = f"{route.name}-{question}"
    return orjson.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def _compared(routes: list[Route], jobs: dict[str, Any], upstream: dict[str, str]) -> Iterator[Replay]:
    """Routes of one pair and one way of judging together."""
    together: dict[tuple[str, str], list[Route]] = {}
    for route in routes:
        together.setdefault((str(route.pair), next(iter(route.accept))), []).append(route)
    for (pair, accept), several in together.items():
        differences, strong, cost, computed = [], 0, 0.0, 0.0
        for route in several:
            for question in route.questions:
                job = jobs[f"{route.name}-{question}"]
                asked = [upstream[step["deployment"]] for step in job["routing"]["steps"]]
                wanted, paid = route.expected(question), route.cost(question)
                if asked != wanted:
                    differences.append(f"{route.task.ids[question]}: asked {asked}, computed {wanted}")
                elif not math.isclose(job["cost"], paid, rel_tol=_SAME, abs_tol=1e-12):
                    differences.append(f"{route.task.ids[question]}: paid {job['cost']}, computed {paid}")
                strong += asked[-1] == route.pair.strong
                cost, computed = cost + job["cost"], computed + paid
        questions = sum(len(route.questions) for route in several)
        yield Replay(pair, accept, questions, strong, cost, computed, differences)
