"""Names that stand for several models, and how one of these is chosen."""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from penstock.configuration.section import Positive, Seconds, Section

FallbackReason = Literal["unavailable", "rate_limited", "unauthorized", "content_policy", "invalid_request"]
Strategy = Literal["fallback", "cost", "latency", "quality", "content", "weighted", "escalation"]


#: how two answers are compared: a rule of `penstock.routing.equivalence`, or by meaning (`SimilarityConfig`)
Rule = Literal["exact", "text", "numeric", "choice", "json", "literal", "embedding"]
EMBEDDING: Rule = "embedding"
Share = Annotated[float, Field(gt=0, le=1)]


class SimilarityConfig(Section):
    """By meaning those answers are the same whose vectors, of a configured model, have a cosine of `min` or more."""

    model: str
    min: Share = 0.9


class JudgeConfig(Section):
    """A model that grades answers from 0 to 1; one graded `min` or better is spoken for.

    It is told to reply with a number from 0 to 100, unless `instructions` say otherwise; the last such number counts.
    """

    model: str
    min: Share = 0.7
    instructions: Annotated[str | None, Field(min_length=1)] = None
    max_tokens: Positive = 1024


class SamplesConfig(Section):
    """The same model asked `count` more times, each with another sentence added; `min` of them must say the same."""

    count: Annotated[int, Field(ge=1, le=4)] = 2
    rule: Rule
    min: Share = 1.0


class HookConfig(Section):
    """A check of yours over HTTP, such as one that runs an answer's code against tests: see docs/routing.md.

    It is posted question and answer, and gives a score from 0 to 1; `min` of it or more speaks for the answer.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    headers: dict[str, SecretStr] = {}
    timeout: Seconds = 10.0
    min: Share = 1.0


class AcceptConfig(Section):
    """When an escalating route trusts an answer, so that the next model is not asked.

    An answer is never trusted that is cut short, refused, empty, not of the `pattern` (a regular expression found
    anywhere in it), not JSON of `json_schema` or of what the request asked for, or that has code (`code: python`) which
    does not compile. Beyond that one of the signals given here has to speak for it, or each with `require: all`:
    `agreement`, the same answer as another step's, compared as that kind of task; `min_probability`, of its tokens on
    geometric average; `min_stated`, the confidence that the answer states itself, where the prompt asks for one;
    `verifier`, the one that `penstock calibrate` learnt for the route; `hook`, a check of yours; `samples`, the same
    model asked again otherwise; `judge`, a model that grades it. Those that cost a call are asked last, and only where
    they can still change the verdict.
    """

    agreement: Rule | None = None
    similarity: SimilarityConfig | None = None
    min_probability: Annotated[float | None, Field(gt=0, le=1)] = None
    min_stated: Annotated[float | None, Field(gt=0, le=1)] = None
    pattern: str | None = None
    json_schema: dict[str, Any] | None = None
    code: Literal["python"] | None = None
    verifier: bool = False
    hook: HookConfig | None = None
    samples: SamplesConfig | None = None
    judge: JudgeConfig | None = None
    require: Literal["any", "all"] = "any"

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from error
        return value

    @model_validator(mode="after")
    def _comparable(self) -> "AcceptConfig":
        rules = {self.agreement, self.samples.rule if self.samples is not None else None}
        if (EMBEDDING in rules) != (self.similarity is not None):
            raise ValueError(
                "`similarity` names the model by which a rule `embedding` compares: neither without the other"
            )
        return self

    def judges(self) -> Iterator[tuple[str, str]]:
        """The models that see answers without being steps, each after the key that names it."""
        if self.similarity is not None:
            yield "similarity.model", self.similarity.model
        if self.judge is not None:
            yield "judge.model", self.judge.model


#: these have no field for the log probabilities of tokens
NO_LOGPROBS = frozenset({"anthropic", "bedrock"})
#: options that mean something to one strategy only
_OF_STRATEGY: Mapping[str, Strategy] = {
    "accept": "escalation",
    "parallel": "escalation",
    "stream": "escalation",
    "price": "quality",
    "weights": "weighted",
    "explore": "latency",
}


class RouteConfig(Section):
    """A name that stands for several models; `steps` are models or other routes.

    `fallback` asks them in their order, the next one when one fails. `cost`: the cheapest. `latency`: the one that is
    fastest lately; a request in `explore` is given to one that is hardly known. `quality`: the best that costs at most
    `price` US dollars for the request. `content`: of two steps, the cheap and the strong one, a learned score of the
    prompt chooses. `weighted`: at random by `weights`. All of these ask the others, in the order of their ranking, when
    the first one fails. `escalation`: the next one also when an answer is not trusted (`accept`).

    `max_cost` is in US dollars for one request: a model that is expected to cost more is not asked. A route that
    escalates asks no further model once its calls have cost so much. `fallback_on` says after which failures the next
    one is asked: `unavailable` (5xx, timeouts, broken connections, an open breaker), `rate_limited` (a call with a
    client waiting finds no quota in time), `unauthorized` (our key there is refused), `content_policy`,
    `invalid_request`.

    Of escalation: the first `parallel` steps are asked at once; `stream` says whether a stream shows nothing before it
    is accepted, or shows each answer as a new generation (in `/v1/jobs/{id}/stream` only, which can take text back).
    `shadow` is the share of accepted cheap answers for which the last step is asked too, in the background, to see
    whether it says the same; routes by content may have it too.
    """

    strategy: Strategy = "fallback"
    steps: Annotated[list[str], Field(min_length=1)]
    accept: AcceptConfig = AcceptConfig()
    max_cost: Annotated[float | None, Field(gt=0)] = None
    price: Annotated[float | None, Field(gt=0)] = None
    weights: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}
    explore: Annotated[float, Field(ge=0, le=1)] = 0.05
    parallel: Annotated[int, Field(ge=1, le=4)] = 1
    stream: Literal["withhold", "generations"] = "withhold"
    shadow: Annotated[float, Field(ge=0, le=1)] = 0.0
    fallback_on: frozenset[FallbackReason] = frozenset({"unavailable", "rate_limited", "unauthorized"})

    @model_validator(mode="after")
    def _options(self) -> "RouteConfig":
        for option, strategy in _OF_STRATEGY.items():
            if option in self.model_fields_set and self.strategy != strategy:
                raise ValueError(f"`{option}` belongs to `strategy: {strategy}`")
        if self.parallel > len(self.steps):
            raise ValueError(f"parallel: the route has only {len(self.steps)} steps")
        if self.shadow and self.strategy not in {"escalation", "content"}:
            raise ValueError("`shadow` belongs to `strategy: escalation` or `content`")
        if self.shadow and len(self.steps) < 2:
            raise ValueError("shadow: the route has only one step, which nothing can be compared with")
        if self.strategy == "content" and len(self.steps) != 2:
            raise ValueError("`strategy: content` chooses between two steps, the cheap and the strong one")
        for name in self.weights:
            if name not in self.steps:
                raise ValueError(f"weights.{name}: there is no such step")
        if self.strategy == "weighted" and not any(self.weights.values()):
            raise ValueError("weights: `strategy: weighted` needs a weight above 0 for one of its steps")
        return self


def models_of(routes: Mapping[str, RouteConfig], name: str) -> Iterator[str]:
    """The models that a name may come to, in the order of the configuration; one may come more than once."""
    route = routes.get(name)
    if route is None:
        yield name
        return
    for step in route.steps:
        yield from models_of(routes, step)


def check_routes(routes: Mapping[str, RouteConfig], wire_formats: Mapping[str, str]) -> None:
    """See that every step leads to a model; `wire_formats` has the one of each.

    Raises:
        ValueError: one does not; the message names its key.
    """
    for name, route in routes.items():
        if name in wire_formats:
            raise ValueError(f"routes.{name}: a model has this name already")
        for index, step in enumerate(route.steps):
            if step not in wire_formats and step not in routes:
                raise ValueError(f"routes.{name}.steps[{index}]: there is no model or route `{step}`")
    for name in routes:
        _refuse_cycle(routes, (name,))
    for name, route in routes.items():
        if route.strategy == "escalation":
            _check_escalation(routes, name, wire_formats)


def _refuse_cycle(routes: Mapping[str, RouteConfig], path: tuple[str, ...]) -> None:
    for index, step in enumerate(routes[path[-1]].steps):
        if step in path:
            raise ValueError(f"routes.{path[-1]}.steps[{index}]: leads in a circle: {' → '.join((*path, step))}")
        if step in routes:
            _refuse_cycle(routes, (*path, step))


def _check_escalation(routes: Mapping[str, RouteConfig], name: str, wire_formats: Mapping[str, str]) -> None:
    route = routes[name]
    for key, model in route.accept.judges():
        if model not in wire_formats:
            raise ValueError(f"routes.{name}.accept.{key}: there is no model `{model}`")
    for index, step in enumerate(route.steps):
        if _escalates(routes, step):
            raise ValueError(f"routes.{name}.steps[{index}]: `{step}` escalates itself, and this route does already")
        if not route.accept.min_probability or index == len(route.steps) - 1:
            continue
        for model in models_of(routes, step):
            if wire_formats[model] in NO_LOGPROBS:
                raise ValueError(
                    f"routes.{name}.accept.min_probability: the provider of `{model}` tells no token probabilities"
                )


def _escalates(routes: Mapping[str, RouteConfig], name: str) -> bool:
    route = routes.get(name)
    return route is not None and (
        route.strategy == "escalation" or any(_escalates(routes, step) for step in route.steps)
    )
