"""What Converse leaves to each maker of models: settings without a field of their own, as data rows.

They travel in `additionalModelRequestFields`, which Bedrock hands to the model as they are: a field that a model does
not know is refused upstream. After "Inference request parameters" of the Bedrock user guide, the Nova user guide, and
what `langchain-aws` sends for reasoning efforts. A model behind an application inference profile does not show its
maker; what needs a row is refused for it, and can still be said in `additionalModelRequestFields` itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from penstock.completion import CompletionRequest, ReasoningEffort
from penstock.errors import InvalidRequest

T = TypeVar("T")
Fields = dict[str, Any]

#: the words that makers have for how much to think
_FIVE: Mapping[ReasoningEffort, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "xhigh",
    "max": "max",
}
_THREE: Mapping[ReasoningEffort, str] = {**_FIVE, "xhigh": "high", "max": "high"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One maker's models: those whose id contains `mark`. What is None cannot be said to them.

    `think` says how much to think, `still` not to think, `budget` how many tokens of thought there may be, and
    `one_call` that tools are called one at a time. `tells_stop`: their own answers say which stop string matched.
    `keeps` are the fields whose beginning can be marked to be kept ("Prompt caching" of the Bedrock user guide).
    """

    mark: str
    top_k: Callable[[int], Fields] | None = lambda top_k: {"top_k": top_k}
    think: Callable[[ReasoningEffort], Fields] | None = None
    still: Fields | None = None
    budget: Callable[[int], Fields] | None = None
    one_call: Callable[[Fields], Fields] | None = None
    tells_stop: bool = False
    keeps: frozenset[str] = frozenset()


_ROWS = (
    Family(
        mark="anthropic.claude",
        think=lambda effort: {"thinking": {"type": "adaptive"}, "output_config": {"effort": _FIVE[effort]}},
        still={"thinking": {"type": "disabled"}},
        budget=lambda tokens: {"thinking": {"type": "enabled", "budget_tokens": tokens}},
        one_call=lambda choice: {"tool_choice": {**choice, "disable_parallel_tool_use": True}},
        tells_stop=True,
        keeps=frozenset({"tools", "system", "messages"}),
    ),
    Family(
        mark="amazon.nova",
        top_k=lambda top_k: {"inferenceConfig": {"topK": top_k}},
        think=lambda effort: {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": _THREE[effort]}},
        still={"reasoningConfig": {"type": "disabled"}},
        keeps=frozenset({"system", "messages"}),
    ),
    Family(mark="openai.gpt-oss", top_k=None, think=lambda effort: {"reasoning_effort": _THREE[effort]}),
    Family(
        mark="openai.",
        top_k=None,
        think=lambda effort: {"reasoning": {"effort": _FIVE[effort]}},
        still={"reasoning": {"effort": "none"}},
    ),
    Family(mark="cohere.command", top_k=lambda top_k: {"k": top_k}),
    Family(mark="meta.llama", top_k=None),
)
#: `top_k` is what most other makers call it
_OTHER = Family(mark="")


def family_of(upstream_model: str) -> Family:
    """The first row that fits a model id, an inference profile's id, or the ARN of either."""
    return next((row for row in _ROWS if row.mark in upstream_model), _OTHER)


def additional_fields(request: CompletionRequest, family: Family, choice: Fields | None) -> Fields:
    """What the model is told beside Converse's own fields.

    `choice` is the choice among tools in the maker's words, for a request that wants one call at a time; else None.
    A budget in tokens says more than a word for how much to think, where the model knows both.

    Raises:
        InvalidRequest: the model cannot be told; `param` names the field.
    """
    said: Fields = {}
    if request.top_k is not None:
        said |= _needed(family.top_k, "top_k")(request.top_k)
    if request.reasoning_tokens is not None and (family.budget is not None or request.reasoning_effort is None):
        said |= _needed(family.budget, "reasoning_tokens")(request.reasoning_tokens)
    elif request.reasoning_effort == "none":
        said |= _needed(family.still, "reasoning_effort")
    elif request.reasoning_effort is not None:
        said |= _needed(family.think, "reasoning_effort")(request.reasoning_effort)
    if choice is not None:
        said |= _needed(family.one_call, "parallel_tool_calls")(choice)
    return said


def _needed(way: T | None, param: str) -> T:
    if way is None:
        raise InvalidRequest(f"The model's provider has no `{param}` for this model.", param=param)
    return way
