"""Names that stand for several models, and how one of these is chosen."""

import re
from collections.abc import Container
from typing import Annotated, Literal

from pydantic import Field, field_validator

from penstock.configuration.section import Positive, Section

FallbackReason = Literal["unavailable", "rate_limited", "unauthorized", "content_policy", "invalid_request"]


#: how two answers are compared: a rule of `penstock.routing.equivalence`
Rule = Literal["exact", "text", "numeric", "choice", "json", "literal"]
Share = Annotated[float, Field(gt=0, le=1)]


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


class AcceptConfig(Section):
    """When an escalating route trusts an answer, so that the next model is not asked.

    An answer that is cut short, refused, empty, or not of the `pattern` (a regular expression found anywhere in it) or
    of the JSON that was asked for, is never trusted. Beyond that one of the signals given here has to speak for it, or
    each of them with `require: all`: `agreement`, the same answer as another step's, compared as that kind of task;
    `min_probability`, of its tokens on geometric average; `min_stated`, the confidence that the answer states itself,
    where the prompt asks for one; `verifier`, the one that `penstock calibrate` learnt for the route; `samples`, the
    same model asked again otherwise; `judge`, a model that grades it. Those that cost a call are asked last, and only
    where they can still change the verdict.
    """

    agreement: Rule | None = None
    min_probability: Annotated[float | None, Field(gt=0, le=1)] = None
    min_stated: Annotated[float | None, Field(gt=0, le=1)] = None
    pattern: str | None = None
    verifier: bool = False
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


#: these have no field for the log probabilities of tokens
NO_LOGPROBS = frozenset({"anthropic", "bedrock"})


class RouteConfig(Section):
    """A name that stands for several models, in the order in which they are tried.

    `fallback`: the next one when one fails. `escalation`: also when its answer is not trusted (`accept`), while the
    calls for a request have cost less than `max_cost`, in US dollars. `fallback_on` says after which failures the next
    one is: `unavailable` (5xx, timeouts, broken connections, an open breaker), `rate_limited` (a call with a client
    waiting finds no quota in time), `unauthorized` (our key there is refused), `content_policy`, `invalid_request`.

    Of escalation: the first `parallel` steps are asked at once; `stream` says whether a stream shows nothing before it
    is accepted, or shows each answer as a new generation (in `/v1/jobs/{id}/stream` only, which can take text back).
    `shadow` is the share of accepted cheap answers for which the last step is asked too, in the background, to see
    whether it says the same.
    """

    strategy: Literal["fallback", "escalation"] = "fallback"
    steps: Annotated[list[str], Field(min_length=1)]
    accept: AcceptConfig = AcceptConfig()
    max_cost: Annotated[float | None, Field(gt=0)] = None
    parallel: Annotated[int, Field(ge=1, le=4)] = 1
    stream: Literal["withhold", "generations"] = "withhold"
    shadow: Annotated[float, Field(ge=0, le=1)] = 0.0
    fallback_on: frozenset[FallbackReason] = frozenset({"unavailable", "rate_limited", "unauthorized"})


#: fields that only an escalating route has
_OF_ESCALATION = ("accept", "max_cost", "parallel", "stream")


def check_escalation(name: str, route: RouteConfig, models: Container[str]) -> None:
    """See that what a route says of escalation can be done.

    Raises:
        ValueError: it cannot; the message names the key.
    """
    fields = RouteConfig.model_fields
    if route.strategy != "escalation":
        for key in _OF_ESCALATION:
            if getattr(route, key) != fields[key].default:
                raise ValueError(f"routes.{name}.{key}: belongs to `strategy: escalation`")
    if route.parallel > len(route.steps):
        raise ValueError(f"routes.{name}.parallel: the route has only {len(route.steps)} steps")
    if route.shadow and route.strategy not in {"escalation", "content"}:
        raise ValueError(f"routes.{name}.shadow: belongs to `strategy: escalation` or `content`")
    if route.shadow and len(route.steps) < 2:
        raise ValueError(f"routes.{name}.shadow: the route has only one step, which nothing can be compared with")
    judge = route.accept.judge
    if judge is not None and judge.model not in models:
        raise ValueError(f"routes.{name}.accept.judge.model: there is no model `{judge.model}`")
