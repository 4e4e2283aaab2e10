"""Which deployments a request goes to, in which order, and why: the routes of the configuration over the policies.

A step that is itself a route stands in the ranking for what that route would choose, and its other choices follow it.
What a request needs is estimated, so a route that would refuse it on estimates alone is asked again about what
certainly cannot be: the provider judges the rest.
"""

import random
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from penstock.completion import CompletionRequest, EmbeddingRequest
from penstock.completion.encoding import dumps
from penstock.configuration import Config, RouteConfig
from penstock.errors import ContextTooLong, InvalidRequest, ModelNotFound, NoModelFits
from penstock.providers.deployments import Deployments
from penstock.routing import policies
from penstock.routing.artefact import Artefact
from penstock.routing.demands import bare, candidate, demand, demanded_residency
from penstock.routing.policies import Candidate, Policy, Request, barred, decide, forbidden
from penstock.routing.speeds import Speeds
from penstock.routing.statistics import Statistics
from penstock.rules.context import require_fit

Asked = CompletionRequest | EmbeddingRequest
#: by deployment; None while nobody can tell
Live = Mapping[str, Statistics] | None

#: a row of the catalogue is made anew after so many seconds: some list prices change by the hour
_ROW_SECONDS = 600.0
AWAY = "Redis is away and no speed is known: the order of the configuration"
WHEN_IT_LEAVES = "chosen when it leaves the backlog: the fastest that has room then"
UNLEARNT = "nothing was learnt yet for this route: the strong model first"


#: the request for which deployments are ranked where one decision is for many
_USUAL = Request("", "", 0, 256)
#: calls to a deployment that are looked at before it gets more than a few jobs at a time
_SLICE_CALLS = 5


class Artefacts(Protocol):
    """Where the learnt policies are."""

    def get(self, route: str) -> Artefact | None:
        """The one in use for a route, None if there is none."""
        ...


class NothingLearnt:
    """A process that has no learnt policies."""

    def get(self, route: str) -> Artefact | None:  # noqa: ARG002
        """None."""
        return None


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a request goes: the deployments in the order in which they are asked, never none.

    `decision` says how a route came to it (see `explained`), None for a model that was named. `needed` is what was
    estimated of the request, `costs` US dollars by deployment, None where the price is unknown. `open` says that any
    deployment of the route may serve it and speed decides: queued work is given away when it leaves the backlog.
    """

    order: tuple[str, ...]
    decision: dict[str, Any] | None
    needed: Request
    costs: Mapping[str, float | None]
    open: bool = False

    def stored(self, *, queued: bool) -> bytes | None:
        """What is kept of the decision with the job, as JSON."""
        if self.decision is None:
            return None
        return dumps(self.decision | {"reason": WHEN_IT_LEAVES} if queued and self.open else self.decision)

    def pool(self, model: str, *, queued: bool) -> str:
        """The pool in which its job waits: the route `model` that leaves the choice open, else its deployment."""
        return model if queued and self.open else self.order[0]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What one name comes to. `stages` are the steps of the route that escalates, where one was chosen."""

    order: tuple[str, ...]
    reason: str
    excluded: Mapping[str, str]
    escalation: str | None = None
    stages: tuple[tuple[str, ...], ...] = ()
    judges: tuple[str, ...] = ()


@dataclass(slots=True)
class Router:
    """The routes of one configuration."""

    config: Config
    deployments: Deployments
    speeds: Speeds = field(default_factory=lambda: Speeds(None))
    artefacts: Artefacts = field(default_factory=NothingLearnt)
    _rows: dict[str, Candidate] = field(default_factory=dict)
    _rows_until: float = 0.0

    async def route(self, request: Asked, tenant: str, *, prompt: str = "messages") -> Routed:
        """As `decide`, with what is known of the deployments' speed where that matters."""
        return self.decide(request, tenant, await self.live((request.model, *request.fallback)), prompt=prompt)

    async def live(self, names: Iterable[str]) -> Live:
        """The live statistics that decisions about these models and routes want; mostly none."""
        watched = {model for name in names for model in self._watched(name)}
        return await self.speeds.known(watched) if watched else {}

    def _watched(self, name: str) -> Iterator[str]:
        route = self.config.routes.get(name)
        if route is None:
            return
        if route.strategy == "latency":
            yield from self.deployments.of(name)
        for step in route.steps:
            yield from self._watched(step)

    def unconditional(self, names: Sequence[str], tenant: str) -> bool:
        """Whether these are models that may serve any request of a tenant that demands nothing itself."""
        return self.config.residency_of(tenant) is None and all(map(self._serves_any, names))

    def _serves_any(self, name: str) -> bool:
        model = self.config.models.get(name)
        return model is not None and model.tenants is None and model.modalities is None and model.tools

    def decide(self, request: Asked, tenant: str, live: Live, *, prompt: str = "messages") -> Routed:
        """Where a request of a tenant goes; `prompt` is the field of its prompt, for the error.

        Raises:
            ModelNotFound: there is no such model for this tenant; `param` says whether it was the model or a fallback.
            ContextTooLong: no model has room for the prompt.
            NoModelFits: no model may serve the request; the message says why, for each.
        """
        needed = demand(request, tenant, demanded_residency(self.config, request, tenant))
        choices = []
        for place, name in enumerate((request.model, *request.fallback)):
            if name not in self.deployments:
                raise ModelNotFound(name, param=f"fallback[{place - 1}]" if place else "model")
            choices.append(self._named(name, needed, bare(needed, request), live))
        order = tuple(dict.fromkeys(step for choice in choices for step in choice.order))
        excluded = {name: why for choice in choices for name, why in choice.excluded.items()}
        if not order:
            raise self._refusal(request, needed, excluded, prompt)
        first = choices[0]
        routed = request.model in self.config.routes
        return Routed(
            order=order,
            decision=self._stored(request.model, first, order, excluded) if routed else None,
            needed=needed,
            costs={name: self._row(name).cost(needed) for name in order},
            open=routed
            and self.config.routes[request.model].strategy == "latency"
            and set(first.order) == self.deployments.of(request.model).keys(),
        )

    async def ranking(self, route: str) -> list[tuple[str, bool]]:
        """The deployments of a route that goes by speed, best first; and whether enough is known to give one a slice.

        While nobody can tell, the order of the configuration holds.
        """
        names = list(self.deployments.of(route))
        live = await self.speeds.known(names)
        if live is None:
            return [(name, True) for name in names]
        lengths = [seen.tokens_p50 for seen in live.values() if seen.calls]
        length = round(statistics.median(lengths)) if lengths else _USUAL.output_tokens
        policy = policies.fastest(length, explore=self.config.routes[route].explore)
        ranked, _ = policy(_USUAL, [self._row(name) for name in names], live)
        return [(row.name, row.name in live and live[row.name].calls >= _SLICE_CALLS) for row in ranked]

    def _named(self, name: str, needed: Request, least: Request, live: Live) -> _Choice:
        if name not in self.config.routes:
            why = forbidden(least, self._row(name))
            return _Choice((name,), "", {}) if why is None else _Choice((), "", {name: why})
        choice = self._route(name, needed, live)
        return choice if choice.order else self._route(name, least, live)

    def _route(self, name: str, needed: Request, live: Live) -> _Choice:
        route = self.config.routes[name]
        if route.strategy != "escalation" and route.max_cost is not None:
            budget = route.max_cost if needed.budget is None else min(route.max_cost, needed.budget)
            needed = replace(needed, budget=budget)
        rows, steps, excluded = self._candidates(route, needed, live)
        if not rows:
            return _Choice((), "no model of the route may serve this request", excluded)
        seen = {row.name: live[at] for row in rows if live and (at := steps[row.name].order[0]) in live}
        policy = self._policy(name, route, live)
        found = decide(route.strategy, policy, needed, rows, seen)
        excluded |= found.excluded
        if not found.steps:
            return _Choice((), found.reason, excluded)
        ranked = [steps[step] for step in found.steps]
        chosen = steps[found.steps[0]]
        # an escalating route that this one would ask first is carried out as such; after a failure only its models are
        escalation, stages, judges = chosen.escalation, chosen.stages, chosen.judges
        if route.strategy == "escalation":
            escalation, stages, judges = name, _stages(ranked), self._judges(route, needed, excluded)
        order = dict.fromkeys(model for models in (*stages, *(choice.order for choice in ranked)) for model in models)
        reasons = [found.reason] + ([f"{found.steps[0]}: {chosen.reason}"] if chosen.reason else [])
        return _Choice(tuple(order), "; ".join(reasons), excluded, escalation, stages, judges)

    def _judges(self, route: RouteConfig, needed: Request, excluded: dict[str, str]) -> tuple[str, ...]:
        """The models that may see the answers of a route to judge them; who may not is told with those left out."""
        found = []
        for _, name in route.accept.judges():
            why = barred(self._row(name), needed.tenant, needed.residency)
            if why is None:
                found.append(name)
            else:
                excluded.setdefault(name, f"as a judge: {why}")
        return tuple(found)

    def _candidates(
        self, route: RouteConfig, needed: Request, live: Live
    ) -> tuple[list[Candidate], dict[str, _Choice], dict[str, str]]:
        """A row for each step that may serve the request, what each comes to, and which models were out."""
        rows: list[Candidate] = []
        steps: dict[str, _Choice] = {}
        excluded: dict[str, str] = {}
        for step in dict.fromkeys(route.steps):
            if step not in self.config.routes:
                rows.append(self._row(step))
                steps[step] = _Choice((step,), "", {})
                continue
            choice = self._route(step, needed, live)
            excluded |= choice.excluded
            if choice.order:
                rows.append(replace(self._row(choice.order[0]), name=step))
                steps[step] = choice
        return rows, steps, excluded

    def _policy(self, name: str, route: RouteConfig, live: Live) -> Policy:
        match route.strategy:
            case "cost":
                return policies.cheapest
            case "quality":
                return policies.best_within(route.price)
            case "weighted":
                return policies.weighted(route.weights)
            case "latency" if live is None:
                return policies.as_configured(AWAY)
            case "latency":
                return policies.fastest(explore=route.explore)
            case "content":
                return self._content(name, route)
            case "escalation":
                return policies.as_configured("asked in this order while an answer is not trusted")
            case "fallback":
                return policies.fallback

    def _content(self, name: str, route: RouteConfig) -> Policy:
        cheap, strong = route.steps
        artefact = self.artefacts.get(name)
        if artefact is not None and not artefact.score.sees_answer:
            return policies.content(artefact, cheap, strong)
        return lambda _request, rows, _live: (sorted(rows, key=lambda row: row.name != strong), UNLEARNT)

    def _row(self, name: str) -> Candidate:
        now = time.monotonic()
        if now > self._rows_until:
            self._rows = {deployment.name: candidate(deployment) for deployment in self.deployments}
            self._rows_until = now + _ROW_SECONDS * random.uniform(0.9, 1.1)  # noqa: S311 — not all processes at once
        return self._rows[name]

    def _stored(self, name: str, first: _Choice, order: tuple[str, ...], excluded: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {
            "route": name,
            "policy": self.config.routes[name].strategy,
            "reason": first.reason,
            "order": list(order),
            "excluded": {model: why for model, why in excluded.items() if model not in order},
        }
        if first.escalation is not None:
            found |= {"escalation": first.escalation, "stages": [list(stage) for stage in first.stages]}
        if first.judges:
            found["judges"] = list(first.judges)
        return found

    def _refusal(self, request: Asked, needed: Request, excluded: dict[str, str], prompt: str) -> InvalidRequest:
        rows = [self._row(name) for name in excluded]
        least = bare(needed, request)
        if request.model not in self.config.routes and not request.fallback:
            row = self._row(request.model)
            if row.tenants is not None and needed.tenant not in row.tenants:
                return ModelNotFound(request.model)
            try:
                require_fit(request, row.context, param=prompt)
            except ContextTooLong as error:
                return error
        told = "; ".join(f"`{name}`: {why}" for name, why in excluded.items())
        message = f"No model of `{request.model}` may serve this request: {told}."
        if all(_only_too_long(least, row) for row in rows):
            return ContextTooLong(message, param=prompt)
        if any(_only_too_dear(least, row) for row in rows):
            within = f"No model of `{request.model}` may serve this request within its 'max_cost': {told}."
            return NoModelFits(within, param="max_cost")
        return NoModelFits(message, param="model")


def _only_too_long(needed: Request, row: Candidate) -> bool:
    """Whether a model would serve the request if that were shorter, whatever it may cost."""
    free = replace(needed, budget=None)
    return forbidden(free, row) is not None and forbidden(replace(free, needs_context=0), row) is None


def _only_too_dear(needed: Request, row: Candidate) -> bool:
    """Whether a model would serve the request if that might cost more."""
    return forbidden(needed, row) is not None and forbidden(replace(needed, budget=None), row) is None


def explained(decision: Mapping[str, Any]) -> dict[str, Any]:
    """What the owner of a job is told of a decision: route, policy, reason, order, and what was out and why."""
    return {name: decision[name] for name in ("route", "policy", "reason", "order", "excluded")}


def _stages(choices: list[_Choice]) -> tuple[tuple[str, ...], ...]:
    """The models of each step of an escalation, each in one of them.

    The one that a step asks first is no stand-in for an earlier step: it would be its own judge.
    """
    first = list(dict.fromkeys(choice.order[0] for choice in choices))
    taken = set(first)
    stages: list[tuple[str, ...]] = []
    for choice in choices:
        if choice.order[0] not in first[len(stages) : len(stages) + 1]:
            continue
        others = tuple(name for name in choice.order if name not in taken)
        taken |= set(others)
        stages.append((choice.order[0], *others))
    return tuple(stages)
