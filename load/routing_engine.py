"""The same decisions by the real engine: recorded answers, replayed to a running Penstock by a simulated provider.

For a sample of each pair's questions there are routes, learnt policies are stored as `penstock calibrate` stores them,
and one batch has a line per question: ingested, dispatched, asked step by step over HTTP, judged and hopped by workers,
priced from the usage they were told. Which models were asked and what was paid must be what the pure computation says,
question by question.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson

from load import simulated
from load.engine import BenchFailed, Penstock, throwaway_folder
from load.recorded import Model, Task
from load.routing_measure import usable
from load.routing_routes import Route
from penstock.routing.learnt import LearntPolicy
from penstock.routing.router import UNLEARNT

_LIMIT_SECONDS = 600.0
#: two sums of the same prices and tokens, one in decimals and one in floats
_SAME = 1e-9
_READERS = 8
#: what a model says of whose answers nothing was recorded but whether they were right
_UNRECORDED = "This answer was not recorded."


@dataclass(frozen=True, slots=True)
class Replay:
    """What the engine did on one pair beside what was computed: questions, strong calls, US dollars, differences."""

    pair: str
    decides: str
    questions: int
    strong_calls: int
    cost: float
    cost_computed: float
    differences: list[str]


def replay(routes: list[Route]) -> list[Replay]:
    """Run them all as one batch.

    Raises:
        BenchFailed: Penstock or the simulated provider did not start, a learnt policy was refused, or the batch did not
            end.
    """
    names = _names(routes)
    with throwaway_folder("routing") as folder:
        recorded = folder / "recorded.jsonl"
        recorded.write_bytes(b"\n".join(map(orjson.dumps, _recorded(routes))))
        with simulated.provider("--recorded", str(recorded)) as url:
            config = _config(routes, names, f"{url}/v1")
            with Penstock(folder, config, workers=1) as penstock:
                for route in routes:
                    if route.learnt is not None:
                        penstock.learn(route.name, _policy(route, names))
            # every process looks for what was learnt before its first work, so after a new start all of them have it
            with Penstock(folder, config, workers=1) as penstock:
                _check(penstock, routes)
                jobs = _run(penstock, routes)
    upstream = {deployment: model for (_, model), deployment in names.items()}
    return list(_compared(routes, jobs, upstream))


def _check(penstock: Penstock, routes: list[Route]) -> None:
    for route in routes:
        told = penstock.route(route.name)
        if (told["artefact"] is None) is not (route.learnt is None):
            raise BenchFailed(f"{route.name} does not use what was learnt: {told['problem']}")


def _run(penstock: Penstock, routes: list[Route]) -> dict[str, Any]:
    """The jobs by custom_id."""
    lines = [_line(route, question) for route in routes for question in route.asked]
    _, answered = penstock.run_lines(b"\n".join(lines) + b"\n", len(lines), _LIMIT_SECONDS)
    with ThreadPoolExecutor(_READERS) as pool:
        return dict(zip(answered, pool.map(penstock.job, answered.values()), strict=True))


def _names(routes: list[Route]) -> dict[tuple[str, str], str]:
    """A deployment for each (task, model): a name of a configuration may not hold all that a recorded one may."""
    asked = dict.fromkeys((route.task.name, model) for route in routes for model in route.models)
    return {key: f"model{number}" for number, key in enumerate(asked)}


def _policy(route: Route, names: dict[tuple[str, str], str]) -> LearntPolicy:
    """What was learnt of a pair, for its route."""
    assert route.learnt is not None
    cheap, strong = (names[route.task.name, model] for model in route.models)
    known = route.learnt
    return LearntPolicy(known.kind, cheap, strong, known.artefact, known.rule, known.signals)


def _recorded(routes: list[Route]) -> Iterator[dict[str, Any]]:
    """The simulator's file: every answer that a route may ask for, once."""
    seen: set[tuple[str, str, str]] = set()
    for route in routes:
        for name in route.models:
            for question in route.asked:
                key = (route.task.name, name, route.task.prompts[question])
                if key not in seen:
                    seen.add(key)
                    yield _answer(f"{route.task.name}/{name}", route.task.models[name], route.task, question)


def _answer(upstream: str, model: Model, task: Task, question: int) -> dict[str, Any]:
    asked, said = model.tokens[question]
    probability = model.probability(question)
    return {
        "model": upstream,
        "prompt": task.prompts[question],
        "text": model.said(question) if model.has_answers else _UNRECORDED,
        "input_tokens": asked,
        "output_tokens": said,
        **({} if probability is None else {"token_probability": probability}),
    }


def _config(routes: list[Route], names: dict[tuple[str, str], str], url: str) -> dict[str, Any]:
    models = {}
    for route in routes:
        for model in route.models:
            price_in, price_out = route.task.models[model].price or (0.0, 0.0)
            models[names[route.task.name, model]] = {
                "provider": "recorded",
                "upstream_model": f"{route.task.name}/{model}",
                "price": {"input": price_in, "output": price_out},
            }
    return {
        "providers": {"recorded": {"wire_format": "openai", "base_url": url, "api_key": "sk-bench"}},
        "models": models,
        "routes": {
            route.name: {"steps": [names[route.task.name, model] for model in route.models], **route.settings}
            for route in routes
        },
    }


def _line(route: Route, question: int) -> bytes:
    body = {"model": route.name, "messages": [{"role": "user", "content": route.task.prompts[question]}]}
    custom_id = f"{route.name}-{question}"
    return orjson.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def _compared(routes: list[Route], jobs: dict[str, Any], upstream: dict[str, str]) -> Iterator[Replay]:
    """Routes of one pair and one policy together."""
    together: dict[tuple[str, str], list[Route]] = {}
    for route in routes:
        together.setdefault((str(route.pair), route.decides), []).append(route)
    for (pair, decides), several in together.items():
        differences, strong, cost, computed = [], 0, 0.0, 0.0
        for route in several:
            for question in route.asked:
                job = jobs[f"{route.name}-{question}"]
                asked = tuple(upstream[attempt["deployment"]] for attempt in job["attempts"])
                difference = _difference(route, question, job, asked)
                if difference is not None:
                    differences.append(f"{route.task.ids[question]}: {difference}")
                strong += asked[-1] == route.pair.strong
                cost, computed = cost + job["cost"], computed + route.cost(question)
        questions = sum(len(route.asked) for route in several)
        yield Replay(pair, decides, questions, strong, cost, computed, differences)


def _difference(route: Route, question: int, job: dict[str, Any], asked: tuple[str, ...]) -> str | None:
    wanted, paid = route.asked[question], route.cost(question)
    if asked != wanted:
        return f"asked {', '.join(asked)}; computed {', '.join(wanted)}"
    if not math.isclose(job["cost"], paid, rel_tol=_SAME, abs_tol=1e-12):
        return f"paid {job['cost']}, computed {paid}"
    # the same models may be asked for want of what was learnt
    return "decided without what was learnt" if _unlearnt(route, question, job["routing"], asked[0]) else None


def _unlearnt(route: Route, question: int, routing: dict[str, Any], first: str) -> bool:
    if route.decides == "content":
        return UNLEARNT in routing["reason"]
    judged = first != route.pair.strong and usable(route.task.models[first].said(question))
    return route.decides == "verifier" and judged and routing["artefact"] is None
