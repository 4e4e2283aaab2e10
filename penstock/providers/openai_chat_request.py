"""A request as a body of OpenAI's chat completions, in the variation of the server it is for (`Quirks`).

What the format or the server cannot say is refused by name. Passed over are only hints that change no promise: the
`is_error` of a tool's result (its text says what went wrong) and what the server's row lists as `dropped`.

Sources: OpenAI's API reference and the types of openai-python; for `reasoning` OpenRouter's "Reasoning Tokens", for
`thinking` DeepSeek's "Thinking Mode" and Z.AI's, for `enable_thinking` and `thinking_budget` Alibaba's "Deep thinking".
"""

from typing import Any

from penstock.catalogue import Quirks
from penstock.completion import CompletionRequest, ResponseFormat, Tool, ToolChoice
from penstock.errors import InvalidRequest
from penstock.providers.openai_chat_messages import wire_messages

#: fields whose neutral name, meaning and default are the wire's own
_SAME = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "user")
#: never taken from `extra`: whether an answer is streamed is decided here, and the rest is said by callers of
#: Anthropic's dialect and known to no server of this format
_NOT_FORWARDED = frozenset(
    (
        "stream", "stream_options",
        "anthropic", "container", "context_management", "inference_geo", "mcp_servers", "output_config", "speed",
    )
)  # fmt: skip
#: asked for at these values, an unsupported field is not asked for
_NEUTRAL: dict[str, Any] = {
    "n": 1,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
}


def build(request: CompletionRequest, upstream_model: str, *, stream: bool, quirks: Quirks) -> dict[str, Any]:
    """The body. `extra` is forwarded, except for fields that are set here.

    Raises:
        InvalidRequest: the format, or this server's variation of it, cannot say what is asked for; `param` names the
            field.
    """
    body: dict[str, Any] = {"model": upstream_model, "messages": wire_messages(request.messages, quirks)}
    if request.max_tokens is not None:
        body[quirks.limit_field] = request.max_tokens
    for name in _SAME:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.n != 1:
        body["n"] = request.n
    if request.stop:
        body["stop"] = list(request.stop)
    if request.logprobs:
        body["logprobs"] = True
        if request.top_logprobs is not None:
            body["top_logprobs"] = request.top_logprobs
    _add_tools(body, request, quirks)
    _add_reasoning(body, request, quirks)
    if request.response_format is not None and request.response_format.kind != "text":
        body["response_format"] = _response_format(request.response_format)
    if stream:
        body["stream"] = True
        if quirks.stream_usage:
            asked = request.extra.get("stream_options")
            body["stream_options"] = {**(asked if isinstance(asked, dict) else {}), "include_usage": True}
    forwarded = {name: value for name, value in request.extra.items() if name not in _NOT_FORWARDED}
    return adapted({**forwarded, **body}, quirks)


def adapted(body: dict[str, Any], quirks: Quirks) -> dict[str, Any]:
    """The body with this server's names, and without what it does not know.

    Raises:
        InvalidRequest: a field that it does not support is asked for.
    """
    for name in sorted(quirks.unsupported & body.keys()):
        if body[name] != _NEUTRAL.get(name):
            raise InvalidRequest(f"The model's provider has no `{name}`.", param=name)
    wanted = body.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") in quirks.unsupported:
        raise InvalidRequest(
            f"The model's provider has no response format `{wanted['type']}`.", param="response_format"
        )
    left_out = quirks.unsupported | quirks.dropped
    if not left_out and not quirks.renamed:
        return body
    return {quirks.renamed.get(name, name): value for name, value in body.items() if name not in left_out}


def _add_tools(body: dict[str, Any], request: CompletionRequest, quirks: Quirks) -> None:
    """Without tools, choosing among them says nothing and is refused by servers; a tool that must be called stays."""
    choice = request.tool_choice
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    elif choice is None or choice.mode in {"auto", "none"}:
        return
    if choice is not None:
        body["tool_choice"] = _tool_choice(choice, quirks)


def _tool_choice(choice: ToolChoice, quirks: Quirks) -> str | dict[str, Any]:
    if choice.mode not in {"required", "tool"}:
        return choice.mode
    if quirks.required_tool_choice is None:
        raise InvalidRequest("The model's provider cannot be told that a tool must be called.", param="tool_choice")
    named = {"type": "function", "function": {"name": choice.name}}
    return named if choice.mode == "tool" else quirks.required_tool_choice


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _add_reasoning(body: dict[str, Any], request: CompletionRequest, quirks: Quirks) -> None:
    """The caller's own field of the same name says more; a budget in tokens says more than a word, where it counts."""
    effort, tokens = request.reasoning_effort, request.reasoning_tokens
    if (effort is None and tokens is None) or quirks.reasoning in request.extra:
        return
    if effort is None and quirks.reasoning in {"reasoning_effort", "thinking"}:
        raise InvalidRequest(
            "The model's provider does not count reasoning in tokens; ask for a `reasoning_effort`.",
            param="reasoning_tokens",
        )
    match quirks.reasoning:
        case "reasoning_effort":
            body["reasoning_effort"] = effort
        case "reasoning":
            body["reasoning"] = {"effort": effort} if tokens is None else {"max_tokens": tokens}
        case "thinking":
            body["thinking"] = {"type": "disabled" if effort == "none" else "enabled"}
            if effort != "none":
                body["reasoning_effort"] = effort
        case "enable_thinking":
            body["enable_thinking"] = tokens is not None or effort != "none"
            if tokens is not None:
                body["thinking_budget"] = tokens


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema or {}}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}
