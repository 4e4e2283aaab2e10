"""Names that stand for several models, and how one of these is chosen."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from penstock.configuration.section import Section

FallbackReason = Literal["unavailable", "rate_limited", "unauthorized", "content_policy", "invalid_request"]


class AcceptConfig(Section):
    """When an escalating route trusts an answer, so that the next model is not asked.

    An answer that is cut short, refused, empty, or not of the `pattern` (a regular expression found anywhere in it) or
    of the JSON that was asked for, is never trusted. Beyond that one of the signals given here has to speak for it:
    `agreement`, the same answer as an earlier step's, compared as that kind of task; `min_probability`, of its tokens
    on geometric average; `min_stated`, the confidence that the answer states itself, where the prompt asks for one.
    """

    agreement: Literal["exact", "text", "numeric", "choice", "json", "literal"] | None = None
    min_probability: Annotated[float | None, Field(gt=0, le=1)] = None
    min_stated: Annotated[float | None, Field(gt=0, le=1)] = None
    pattern: str | None = None

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
    """

    strategy: Literal["fallback", "escalation"] = "fallback"
    steps: Annotated[list[str], Field(min_length=1)]
    accept: AcceptConfig = AcceptConfig()
    max_cost: Annotated[float | None, Field(gt=0)] = None
    fallback_on: frozenset[FallbackReason] = frozenset({"unavailable", "rate_limited", "unauthorized"})
