"""Which model a request goes to: small pure policies over the request, the catalogue's rows and live statistics.

Constraints come first and no policy can leave them: every policy sees only the models that may serve the request. A
decision names what was chosen, in which order others follow, and why, also for each model that was out.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from penstock.configuration import ModelConfig
from penstock.routing.artefact import Artefact
from penstock.routing.features import Exchange
from penstock.routing.statistics import Statistics, explored


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of the catalogue. Prices are US dollars per million tokens, `context` tokens; None is unknown or unlimited.

    `tenants` None lets every tenant use it; `residency` is the tag of where it computes.
    """

    name: str
    input_price: float | None = None
    output_price: float | None = None
    context: int | None = None
    max_output: int | None = None
    quality: float | None = None
    modalities: frozenset[str] = frozenset({"text"})
    tools: bool = True
    tenants: frozenset[str] | None = None
    residency: str | None = None

    def cost(self, request: "Request") -> float | None:
        """US dollars this request would cost, None when a price is unknown."""
        if self.input_price is None or self.output_price is None:
            return None
        return (request.input_tokens * self.input_price + request.output_tokens * self.output_price) / 1e6


@dataclass(frozen=True, slots=True)
class Request:
    """What a policy looks at. `output_tokens` is what is expected; `budget` US dollars, None for no limit.

    `needs_context` and `needs_output` are what a model must be able to hold, in tokens; None: what is expected.
    """

    prompt: str
    tenant: str
    input_tokens: int
    output_tokens: int
    modalities: frozenset[str] = frozenset({"text"})
    tools: bool = False
    budget: float | None = None
    residency: str | None = None
    needs_context: int | None = None
    needs_output: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`steps` are the models in the order in which they are asked; empty when none may serve the request."""

    policy: str
    steps: tuple[str, ...]
    reason: str
    excluded: Mapping[str, str] = field(default_factory=dict)


#: calls of which a model's speed is known well enough
LEAST_CALLS = 20

Ranking = tuple[Sequence[Candidate], str]
Policy = Callable[[Request, Sequence[Candidate], Mapping[str, Statistics]], Ranking]


def barred(model: Candidate | ModelConfig, tenant: str, residency: str | None) -> str | None:
    """Why a model may not see the data of a tenant that must stay at a tag, whatever it is asked; None if it may."""
    if model.tenants is not None and tenant not in model.tenants:
        return "this tenant may not use it"
    if residency is not None and model.residency != residency:
        return f"data must stay in {residency}, and it computes in {model.residency or 'an unknown place'}"
    return None


def forbidden(request: Request, candidate: Candidate) -> str | None:
    """Why a model may not serve a request; None if it may."""
    unseen = barred(candidate, request.tenant, request.residency)
    if unseen is not None:
        return unseen
    if not request.modalities <= candidate.modalities:
        return f"it does not take {', '.join(sorted(request.modalities - candidate.modalities))}"
    if request.tools and not candidate.tools:
        return "it cannot use tools"
    output = request.output_tokens if request.needs_output is None else request.needs_output
    if candidate.max_output is not None and output > candidate.max_output:
        return f"its answers have at most {candidate.max_output} tokens, and {output} are asked for"
    needed = request.needs_context
    if needed is None:
        needed = request.input_tokens + request.output_tokens
    if candidate.context is not None and needed > candidate.context:
        return f"its context is {candidate.context} tokens, and {needed} are needed"
    if request.budget is not None:
        cost = candidate.cost(request)
        if cost is None:
            return "its price is unknown, and there is a budget"
        if cost > request.budget:
            return f"it would cost ${cost:.6f} of a budget of ${request.budget:.6f}"
    return None


def decide(
    name: str, policy: Policy, request: Request, candidates: Sequence[Candidate], live: Mapping[str, Statistics]
) -> Decision:
    """Ask a policy about the models that may serve the request, and only those."""
    excluded = {row.name: why for row in candidates if (why := forbidden(request, row)) is not None}
    allowed = [row for row in candidates if row.name not in excluded]
    if not allowed:
        return Decision(name, (), "no model of the route may serve this request", excluded)
    ranked, reason = policy(request, allowed, live)
    wanted = {row.name for row in ranked}
    excluded |= {row.name: "it costs more than the route pays" for row in allowed if row.name not in wanted}
    return Decision(name, tuple(row.name for row in ranked), reason, excluded)


def as_configured(reason: str) -> Policy:
    """The order of the configuration, with the reason why."""
    return lambda _request, candidates, _live: (candidates, reason)


def fallback(_request: Request, candidates: Sequence[Candidate], _live: Mapping[str, Statistics]) -> Ranking:
    """The order of the configuration."""
    return candidates, f"{candidates[0].name} is the first of the route that may serve it"


def cheapest(request: Request, candidates: Sequence[Candidate], _live: Mapping[str, Statistics]) -> Ranking:
    """By expected cost; a model whose price is unknown comes last."""
    ranked = sorted(candidates, key=lambda row: _known(row.cost(request)))
    cost = ranked[0].cost(request)
    return ranked, f"{ranked[0].name} is cheapest, {'at an unknown price' if cost is None else f'at ${cost:.6f}'}"


def fastest(
    output_tokens: int | None = None,
    explore: float = 0.05,
    least_calls: int = LEAST_CALLS,
    draw: random.Random | None = None,
) -> Policy:
    """By expected seconds to the whole answer, now and then trying one that is hardly known; unknown ones come last."""

    def policy(request: Request, candidates: Sequence[Candidate], live: Mapping[str, Statistics]) -> Ranking:
        length = request.output_tokens if output_tokens is None else output_tokens
        known = _with_rates({row.name: live[row.name] for row in candidates if row.name in live})

        def seconds(row: Candidate) -> tuple[bool, float]:
            seen = known.get(row.name)
            return (seen is None or not seen.available, _known(None if seen is None else seen.seconds(length)))

        ranked = sorted(candidates, key=seconds)
        tried = explored([row.name for row in ranked], live, explore, least_calls, draw or random.Random())  # noqa: S311
        if tried is not None:
            first = next(row for row in ranked if row.name == tried)
            rest = [row for row in ranked if row is not first]
            return [first, *rest], f"{tried} is tried, since little is known of its speed"
        best = known.get(ranked[0].name)
        return ranked, (
            f"{ranked[0].name} is fastest, about {best.seconds(length):.1f} s" if best else "no speed is known yet"
        )

    return policy


def best_within(price: float | None = None) -> Policy:
    """By quality, among those that cost at most `price` US dollars for this request; the cheaper of equals."""

    def policy(request: Request, candidates: Sequence[Candidate], _live: Mapping[str, Statistics]) -> Ranking:
        within = [row for row in candidates if price is None or _known(row.cost(request)) <= price]
        if not within:
            ranked, reason = cheapest(request, candidates, _live)
            return ranked, f"none costs at most ${price:.6f}: {reason}"
        ranked = sorted(within, key=lambda row: (-(row.quality or 0.0), _known(row.cost(request))))
        return ranked, f"{ranked[0].name} is best, with quality {ranked[0].quality or 0.0:g}"

    return policy


def content(artefact: Artefact, cheap: str, strong: str) -> Policy:
    """The learned score of the prompt decides between two models; the other follows, then the rest of the route."""

    def policy(request: Request, candidates: Sequence[Candidate], _live: Mapping[str, Statistics]) -> Ranking:
        verdict = artefact.decide(Exchange(request.prompt))
        order = (strong, cheap) if verdict.escalate else (cheap, strong)
        ranked = sorted(candidates, key=lambda row: order.index(row.name) if row.name in order else len(order))
        return ranked, verdict.words()

    return policy


def weighted(weights: Mapping[str, float], draw: random.Random | None = None) -> Policy:
    """At random by weight, without those of weight 0 unless nothing else is left; the others follow by weight."""

    def policy(_request: Request, candidates: Sequence[Candidate], _live: Mapping[str, Statistics]) -> Ranking:
        shares = [max(weights.get(row.name, 0.0), 0.0) for row in candidates]
        if not sum(shares):
            return candidates, "no model that may serve it has a weight"
        chosen = (draw or random.Random()).choices(range(len(candidates)), shares)[0]  # noqa: S311
        rest = sorted((n for n in range(len(candidates)) if n != chosen), key=lambda n: -shares[n])
        return [candidates[n] for n in (chosen, *rest)], (
            f"{candidates[chosen].name} was drawn, with a chance of {shares[chosen] / sum(shares):.0%}"
        )

    return policy


def _with_rates(live: Mapping[str, Statistics]) -> dict[str, Statistics]:
    """Where answers were too short to show a rate, that of the others is assumed: they are not infinitely fast."""
    rates = [seen.tokens_per_second_p50 for seen in live.values() if math.isfinite(seen.tokens_per_second_p50)]
    if not rates:
        return dict(live)
    usual = median(rates)
    return {
        name: seen if math.isfinite(seen.tokens_per_second_p50) else replace(seen, tokens_per_second_p50=usual)
        for name, seen in live.items()
    }


def _known(value: float | None) -> float:
    return float("inf") if value is None else value
