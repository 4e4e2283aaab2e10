"""The body of a response as the neutral request."""

from typing import Any

from penstock.completion import CompletionRequest, Message, ResponseFormat, Text, Tool
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
    word,
    wrong_type,
    wrong_value,
)
from penstock.dialects.openai_fields import EFFORTS, MAX_TOP_LOGPROBS, answer_format, function, tool_choice
from penstock.dialects.responses_history import KEY, history_of
from penstock.dialects.responses_input import read_input
from penstock.errors import InvalidRequest

LOGPROBS = "message.output_text.logprobs"
WINDOWS = ("soonest", "2h", "8h")
#: fields that mean something to a provider of the same format, and to no other
_RESPONSES_ONLY = (
    "context_management", "include", "max_tool_calls", "moderation", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning", "safety_identifier", "service_tier", "text", "truncation",
)  # fmt: skip
#: what the vendor's dialect knows; all else may mean something to a provider
_NOT_EXTRA = frozenset(
    (
        *_RESPONSES_ONLY, KEY, "model", "input", "instructions", "previous_response_id", "max_output_tokens",
        "temperature", "top_p", "top_k", "seed", "tools", "tool_choice", "parallel_tool_calls", "top_logprobs", "user",
        "store", "metadata", "stream", "stream_options", "background", "background_options", "fallback", "residency",
        "max_cost", "conversation", "prompt", "callback_url",
    )
)  # fmt: skip


def parse(body: dict[str, Any]) -> CompletionRequest:
    """The request in a body. A null field counts as left out.

    The conversation that `previous_response_id` names stands between instructions and input; it must have been copied
    into the body (see `responses_history`).

    Raises:
        InvalidRequest: it cannot be used; `param` names the field.
    """
    model = required_string(body, "model")
    messages = read_input(required(body, "input"), _history(body))
    instructions = string(body, "instructions")
    if instructions:
        messages.insert(0, Message("system", (Text(instructions),)))
    _check_ours(body)
    tools = _tools(body)
    top_logprobs = integer(body, "top_logprobs", 0, MAX_TOP_LOGPROBS)
    logprobs = LOGPROBS in _include(body) or bool(top_logprobs)
    return CompletionRequest(
        model=model,
        messages=tuple(messages),
        max_tokens=integer(body, "max_output_tokens", 1),
        temperature=number(body, "temperature", 0, 2),
        top_p=number(body, "top_p", 0, 1),
        top_k=integer(body, "top_k"),
        seed=integer(body, "seed"),
        logprobs=logprobs,
        top_logprobs=top_logprobs if logprobs else None,
        tools=tools,
        tool_choice=tool_choice(body, tools, nested=False),
        parallel_tool_calls=boolean(body, "parallel_tool_calls") if tools else None,
        response_format=_format(body),
        reasoning_effort=_effort(body),
        user=string(body, "user"),
        fallback=fallback(body),
        residency=residency(body),
        max_cost=max_cost(body),
        extra={name: value for name, value in body.items() if name not in _NOT_EXTRA and value is not None},
        responses_only={name: body[name] for name in _RESPONSES_ONLY if body.get(name)},
    )


def _history(body: dict[str, Any]) -> dict[str, Any]:
    history = history_of(body)
    previous = string(body, "previous_response_id")
    if previous is not None and "items" not in history:
        raise previous_not_found(previous)
    return history


def previous_not_found(response_id: str) -> InvalidRequest:
    """The error for a `previous_response_id` that names nothing that this caller can continue."""
    return InvalidRequest(
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _effort(body: dict[str, Any]) -> Any:
    """How much to think, where that is said in one of the words that have a neutral meaning."""
    reasoning = mapping(body, "reasoning") or {}
    effort = string(reasoning, "effort", "reasoning.")
    return effort if effort in EFFORTS else None


def _check_ours(body: dict[str, Any]) -> None:
    """Fields that are not forwarded, but echoed or obeyed here."""
    for name in ("store", "background", "stream", "parallel_tool_calls"):
        boolean(body, name)
    for name in ("prompt_cache_key", "safety_identifier"):
        string(body, name)
    mapping(body, "stream_options")
    integer(body, "max_tool_calls", 0)
    for name in ("prompt", "conversation"):
        # to leave these out silently would answer something else than what was asked
        if body.get(name) is not None:
            raise wrong_value(name, "it is not supported.")
    word(body, "truncation", ("auto", "disabled"))
    check_metadata(body)
    options = mapping(body, "background_options")
    if options:
        at = "background_options."
        string(options, "continuation_id", at)
        window = word(options, "completion_window", WINDOWS, at)
        if window not in {None, "soonest"} and body.get("stream"):
            raise wrong_value(at + "completion_window", f"'{window}' cannot be streamed.")


def _include(body: dict[str, Any]) -> list[str]:
    value = array(body, "include") or []
    if not all(isinstance(name, str) for name in value):
        raise wrong_type("include", "an array of strings")
    return value


def _format(body: dict[str, Any]) -> ResponseFormat | None:
    text = mapping(body, "text")
    if not text:
        return None
    word(text, "verbosity", ("low", "medium", "high"), "text.")
    wanted = mapping(text, "format", "text.")
    return answer_format(wanted, "text.format.", nested=False) if wanted is not None else None


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    tools = []
    for index, value in enumerate(array(body, "tools") or ()):
        at = f"tools[{index}]."
        tool = as_mapping(value, at[:-1])
        if required_string(tool, "type", at) != "function":
            raise wrong_value(at + "type", "only 'function' is supported.")
        tools.append(function(tool, at))
    return tuple(tools)
