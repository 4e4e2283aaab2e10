"""A request as a body of OpenAI's chat completions."""

from typing import Any

from penstock.completion import CompletionRequest, Image, Message, ResponseFormat, Text, Tool, ToolCall, ToolResult
from penstock.errors import InvalidRequest

#: fields whose neutral name, meaning and default are the wire's own
_SAME = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "user")
#: never taken from `extra`: whether an answer is streamed is decided here
_OURS = {"stream", "stream_options"}


def build(request: CompletionRequest, upstream_model: str, *, stream: bool, limit_field: str) -> dict[str, Any]:
    """The body. `limit_field` is what this server calls the limit of the answer's tokens.

    `extra` is forwarded, except for fields that are set here.

    Raises:
        InvalidRequest: a picture where the format has none.
    """
    body: dict[str, Any] = {
        "model": upstream_model,
        "messages": [wire for message in request.messages for wire in _messages(message)],
    }
    if request.max_tokens is not None:
        body[limit_field] = request.max_tokens
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
    _add_tools(body, request)
    if request.response_format is not None and request.response_format.kind != "text":
        body["response_format"] = _response_format(request.response_format)
    if stream:
        asked = request.extra.get("stream_options")
        body["stream"] = True
        body["stream_options"] = {**(asked if isinstance(asked, dict) else {}), "include_usage": True}
    return {**{name: value for name, value in request.extra.items() if name not in _OURS}, **body}


def _add_tools(body: dict[str, Any], request: CompletionRequest) -> None:
    """Without tools, choosing among them says nothing and is refused by servers; a tool that must be called stays."""
    choice = request.tool_choice
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    elif choice is None or choice.mode in {"auto", "none"}:
        return
    if choice is not None:
        named = {"type": "function", "function": {"name": choice.name}}
        body["tool_choice"] = named if choice.mode == "tool" else choice.mode


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema or {}}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}


def _messages(message: Message) -> list[dict[str, Any]]:
    """One message as the wire's one or more: each tool result is a message of its own there, before what follows."""
    wire = [
        {"role": "tool", "tool_call_id": part.call_id, "content": part.content}
        for part in message.parts
        if isinstance(part, ToolResult)
    ]
    said = [part for part in message.parts if isinstance(part, Text | Image)]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    if wire and not said and not calls:
        return wire
    if message.role in {"system", "assistant"} and any(isinstance(part, Image) for part in said):
        raise InvalidRequest(f"A message of role `{message.role}` cannot hold an image.", param="messages")
    own: dict[str, Any] = {"role": "user" if message.role == "tool" else message.role, "content": _content(said)}
    if message.name is not None:
        own["name"] = message.name
    if calls:
        own["content"] = own["content"] or None
        own["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in calls
        ]
    return [*wire, own]


def _content(parts: list[Text | Image]) -> str | list[dict[str, Any]]:
    """A string where that says it all: not every server knows the list of parts."""
    if not parts:
        return ""
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [{"type": "text", "text": part.text} if isinstance(part, Text) else _image(part) for part in parts]


def _image(image: Image) -> dict[str, Any]:
    url = image.url
    if url is None:
        if image.data is None or image.media_type is None:
            raise InvalidRequest("An image needs a url, or base64 data and its media type.", param="messages")
        url = f"data:{image.media_type};base64,{image.data}"
    return {"type": "image_url", "image_url": {"url": url} | ({"detail": image.detail} if image.detail else {})}
