"""The body of Anthropic's messages as the neutral request (contract §12.1).

The limits on sampling that the vendor's newer versions have are not taken over: the models here may well have these
settings. What concerns the vendor alone is kept for providers of the same wire format, under `extra["anthropic"]`.
"""

from typing import Any

from penstock.completion import CompletionRequest, Message, ReasoningEffort, ResponseFormat, Tool, ToolChoice
from penstock.dialects.anthropic_content import cache_of, read_messages, read_system
from penstock.dialects.fields import (
    array,
    as_mapping,
    boolean,
    fallback,
    integer,
    mapping,
    max_cost,
    missing,
    number,
    required,
    required_string,
    residency,
    string,
    word,
    wrong_type,
    wrong_value,
)

#: forwarded as they are where the wire format is the same
_OWN = (
    "cache_control", "container", "context_management", "inference_geo", "mcp_servers", "output_config", "speed",
    "thinking",
)  # fmt: skip
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_THINKING = ("enabled", "disabled", "adaptive", "between_tools")
#: budgets of thinking, in tokens, up to which a word says about the same to a model that counts it in words
_BUDGETS: tuple[tuple[int, ReasoningEffort], ...] = ((2_048, "low"), (8_192, "medium"))
_CHOICES: dict[str, ToolChoice] = {
    "auto": ToolChoice("auto"),
    "any": ToolChoice("required"),
    "none": ToolChoice("none"),
}


def parse(body: dict[str, Any]) -> CompletionRequest:
    """The request in a body. A null field counts as left out.

    Raises:
        InvalidRequest: it cannot be used; `param` names the field.
    """
    model = required_string(body, "model")
    max_tokens = integer(body, "max_tokens", 1)
    if max_tokens is None:
        raise missing("max_tokens")
    boolean(body, "stream")
    tools = _tools(body)
    choice, one_at_a_time = _tool_choice(body, tools)
    config = mapping(body, "output_config") or {}
    effort, tokens = _thinking(body, config)
    return CompletionRequest(
        model=model,
        messages=_conversation(body),
        max_tokens=max_tokens,
        temperature=number(body, "temperature", 0, 2),
        top_p=number(body, "top_p", 0, 1),
        top_k=integer(body, "top_k", 0),
        stop=_stop(body),
        names_stop=True,
        tools=tools,
        tool_choice=choice,
        parallel_tool_calls=False if tools and one_at_a_time else None,
        response_format=_format(config),
        reasoning_effort=effort,
        reasoning_tokens=tokens,
        user=string(mapping(body, "metadata") or {}, "user_id", "metadata."),
        fallback=fallback(body),
        residency=residency(body),
        max_cost=max_cost(body),
        extra={"anthropic": {name: body[name] for name in _OWN if body.get(name) is not None}},
    )


def parse_prompt(body: dict[str, Any]) -> CompletionRequest:
    """The request in a body that has no limit of an answer, since only its tokens are counted.

    Raises:
        InvalidRequest: as `parse`.
    """
    return parse({**body, "max_tokens": 1})


def _conversation(body: dict[str, Any]) -> tuple[Message, ...]:
    values = required(body, "messages")
    if not isinstance(values, list):
        raise wrong_type("messages", "an array")
    if not values:
        raise wrong_value("messages", "it is empty.")
    system = read_system(body.get("system"))
    messages = read_messages(values)
    return (system, *messages) if system is not None else tuple(messages)


def _stop(body: dict[str, Any]) -> tuple[str, ...]:
    values = array(body, "stop_sequences") or []
    for index, text in enumerate(values):
        if not isinstance(text, str):
            raise wrong_type(f"stop_sequences[{index}]", "a string")
        if not text:
            raise wrong_value(f"stop_sequences[{index}]", "it is empty.")
    return tuple(values)


def _tools(body: dict[str, Any]) -> tuple[Tool, ...]:
    return tuple([_tool(value, f"tools[{index}].") for index, value in enumerate(array(body, "tools") or ())])


def _tool(value: Any, at: str) -> Tool:
    tool = as_mapping(value, at[:-1])
    kind = string(tool, "type", at)
    if kind not in {None, "custom"}:
        raise wrong_value(at + "type", f"tools of type '{kind}' run at the vendor and are not supported.")
    name = required_string(tool, "name", at)
    schema = as_mapping(required(tool, "input_schema", at), at + "input_schema")
    return Tool(name, schema, string(tool, "description", at), boolean(tool, "strict", at), cache_of(tool))


def _tool_choice(body: dict[str, Any], tools: tuple[Tool, ...]) -> tuple[ToolChoice | None, bool]:
    """The choice, and whether there may be no more than one call at a time.

    Without tools `auto` and `none` say nothing and are dropped: engines refuse them there.
    """
    value = mapping(body, "tool_choice")
    if value is None:
        return None, False
    at = "tool_choice."
    one_at_a_time = boolean(value, "disable_parallel_tool_use", at) or False
    kind = required_string(value, "type", at)
    if kind == "tool":
        name = required_string(value, "name", at)
        if all(tool.name != name for tool in tools):
            raise wrong_value("tool_choice.name", f"there is no tool '{name}'.")
        return ToolChoice("tool", name), one_at_a_time
    choice = _CHOICES.get(kind)
    if choice is None:
        raise wrong_value("tool_choice.type", "use one of auto, any, none, tool.")
    if not tools and choice.mode == "required":
        raise wrong_value("tool_choice", "there are no tools.")
    return (choice if tools else None), one_at_a_time


def _thinking(body: dict[str, Any], config: dict[str, Any]) -> tuple[ReasoningEffort | None, int | None]:
    """How much to think, in words and in tokens.

    A budget is told in words too, for models that do not count it. Thinking that is switched off, or left to the
    model, is what other vendors' models do without being told: only the same wire format is told of it.
    """
    effort = word(config, "effort", _EFFORTS, "output_config.")
    value = mapping(body, "thinking")
    if value is None or word(value, "type", _THINKING, "thinking.") != "enabled":
        return effort, None  # type: ignore[return-value]  # one of _EFFORTS
    tokens = integer(value, "budget_tokens", 1, at="thinking.")
    if tokens is None:
        raise missing("thinking.budget_tokens")
    if effort is None:
        effort = next((word for most, word in _BUDGETS if tokens <= most), "high")
    return effort, tokens  # type: ignore[return-value]  # as above


def _format(config: dict[str, Any]) -> ResponseFormat | None:
    at = "output_config.format"
    wanted = mapping(config, "format", "output_config.")
    if wanted is None:
        return None
    if required_string(wanted, "type", at + ".") != "json_schema":
        raise wrong_value(at + ".type", "only 'json_schema' is supported.")
    return ResponseFormat("json_schema", schema=as_mapping(required(wanted, "schema", at + "."), at + ".schema"))
