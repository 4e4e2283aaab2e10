"""What a caller asks of a model, independent of the dialect it arrived in."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from penstock.completion.messages import CacheLifetime, Message

ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is its JSON schema."""

    name: str
    parameters: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    cache: CacheLifetime | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tool the model must use; `name` is set for mode `tool` only."""

    mode: Literal["auto", "none", "required", "tool"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """The form of the answer; `schema` and `name` are set for kind `json_schema` only."""

    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionRequest:
    """One completion to be made. `None` means: the provider's own default."""

    model: str
    messages: tuple[Message, ...]
    #: further conversations, each answered by a call of its own; their choices follow those of `messages`
    others: tuple[tuple[Message, ...], ...] = ()
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    #: whether the caller is told which of `stop` ended the answer
    names_stop: bool = False
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    #: how much the model may think: in words, and for vendors that count it in tokens of the answer's limit. Where
    #: both are there they mean the same, and a wire format takes the one it knows.
    reasoning_effort: ReasoningEffort | None = None
    reasoning_tokens: int | None = None
    user: str | None = None
    #: models to ask, in this order, when the one asked for fails
    fallback: tuple[str, ...] = ()
    #: the tag of where its data must stay; only models of that tag are asked
    residency: str | None = None
    #: US dollars that it may cost; a model that is expected to cost more is not asked
    max_cost: float | None = None
    #: fields of the caller's own dialect that have no neutral meaning; forwarded where the wire format is the same.
    #: Those of Anthropic's dialect stand together under `anthropic`: OpenAI's servers would refuse them.
    extra: dict[str, Any] = field(default_factory=dict)
    #: fields of OpenAI's Responses that only that wire format knows; no other is told of them
    responses_only: dict[str, Any] = field(default_factory=dict)

    def calls(self) -> tuple["CompletionRequest", ...]:
        """The request as one for each conversation, which is what an upstream call can hold."""
        if not self.others:
            return (self,)
        return tuple(replace(self, messages=messages, others=()) for messages in (self.messages, *self.others))
