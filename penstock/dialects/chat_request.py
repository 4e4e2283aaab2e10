"""The body of a chat completion as the neutral request."""

from typing import Any

from penstock.completion import CompletionRequest, Tool
from penstock.dialects.chat_messages import read_messages
from penstock.dialects.fields import (
    array,
    as_mapping,
    boolean,
    check_metadata,
    fallback,
    integer,
    mapping,
    max_cost,
    number,
    required,
    required_string,
    residency,
    string,
    wrong_type,
    wrong_value,
)
from penstock.dialects.openai_fields import EFFORTS, MAX_TOP_LOGPROBS, answer_format, function, tool_choice

MAX_CHOICES = 128
#: what is read here, and what concerns the caller and this service only; all else may mean something to a provider
_NOT_EXTRA = frozenset(
    (
        "model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "top_k", "n", "stop",
        "seed", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "tools",
        "tool_choice", "parallel_tool_calls", "response_format", "user",
        "store", "metadata", "stream", "stream_options", "fallback", "residency", "max_cost",
        "callback_url",
    )
)  # fmt: skip


def parse(body: dict[str, Any]) -> CompletionRequest:
    """The request in a body. A null field counts as left out.

    Raises:
        InvalidRequest: it cannot be used; `param` names the field.
    """
    model = required_string(body, "model")
    messages = required(body, "messages")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array")
    if not messages:
        raise wrong_value("messages", "it is empty.")
    _check_ours(body)
    tools = _tools(body)
    wanted = mapping(body, "response_format")
    max_tokens = integer(body, "max_tokens", 1)
    max_completion_tokens = integer(body, "max_completion_tokens", 1)
    effort: Any = string(body, "reasoning_effort")
    extra = {name: value for name, value in body.items() if name not in _NOT_EXTRA and value is not None}
    if effort in EFFORTS:
        del extra["reasoning_effort"]
    return CompletionRequest(
        model=model,
        messages=read_messages(messages),
        max_tokens=max_tokens if max_completion_tokens is None else max_completion_tokens,
        temperature=number(body, "temperature", 0, 2),
        top_p=number(body, "top_p", 0, 1),
        top_k=integer(body, "top_k"),
        n=integer(body, "n", 1, MAX_CHOICES) or 1,
        stop=_stop(body.get("stop")),
        seed=integer(body, "seed"),
        presence_penalty=number(body, "presence_penalty", -2, 2),
        frequency_penalty=number(body, "frequency_penalty", -2, 2),
        logit_bias=_logit_bias(body),
        logprobs=boolean(body, "logprobs") or False,
        top_logprobs=_top_logprobs(body),
        tools=tools,
        tool_choice=tool_choice(body, tools, nested=True),
        parallel_tool_calls=boolean(body, "parallel_tool_calls") if tools else None,
        response_format=answer_format(wanted, "response_format.", nested=True) if wanted is not None else None,
        # a word of a server's own is left to that server
        reasoning_effort=effort if effort in EFFORTS else None,
        user=string(body, "user"),
        fallback=fallback(body),
        residency=residency(body),
        max_cost=max_cost(body),
        extra=extra,
    )


def _check_ours(body: dict[str, Any]) -> None:
    """Fields that are not forwarded are checked all the same: a wrong one is a mistake the caller wants to hear of."""
    boolean(body, "stream")
    boolean(body, "store")
    options = mapping(body, "stream_options")
    if options:
        boolean(options, "include_usage", "stream_options.")
    check_metadata(body)


def _stop(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise wrong_type("stop", "a string or an array of strings")
    return tuple(value)


def _logit_bias(body: dict[str, Any]) -> dict[str, float] | None:
    value = mapping(body, "logit_bias")
    if value and not all(isinstance(bias, int | float) and not isinstance(bias, bool) for bias in value.values()):
        raise wrong_type("logit_bias", "an object whose values are numbers")
    return value or None


def _top_logprobs(body: dict[str, Any]) -> int | None:
    value = integer(body, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    if body.get("logprobs"):
        return value
    if value:
        raise wrong_value("top_logprobs", "it needs 'logprobs' to be true.")
    return None


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    """An empty list is no list: engines refuse it, harnesses send it."""
    return tuple([_tool(value, f"tools[{index}].") for index, value in enumerate(array(body, "tools") or ())])


def _tool(value: Any, at: str) -> Tool:
    tool = as_mapping(value, at[:-1])
    if required_string(tool, "type", at) != "function":
        raise wrong_value(at + "type", "only 'function' is supported.")
    return function(as_mapping(required(tool, "function", at), at + "function"), at + "function.")
