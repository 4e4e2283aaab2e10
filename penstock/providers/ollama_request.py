"""A request as a body of Ollama's own chat (https://docs.ollama.com/api).

What the format cannot say is refused by name. Passed over are only hints that change no promise: `user`, the `name` of
a message, the `detail` of an image and its place among the words, whether a tool's result is an error (its words say
so), and the name and strictness of a JSON schema (schemas are always kept to there).
"""

from typing import Any

from penstock.completion import (
    CompletionRequest,
    Document,
    EmbeddingRequest,
    Image,
    Message,
    Reasoning,
    ReasoningEffort,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from penstock.completion.encoding import loads
from penstock.errors import InvalidRequest

#: fields of the format itself that have no neutral meaning. Others in `extra` come from another dialect.
OWN_FIELDS = {"keep_alive", "options", "shift", "think", "truncate"}
OWN_EMBEDDING_FIELDS = {"keep_alive", "options", "truncate"}

#: the neutral names of settings and what they are called among the format's `options`
_OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}
#: this format has fewer words for how much to think
_EFFORTS: dict[ReasoningEffort, bool | str] = {
    "none": False,
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}


def build(request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
    """The body. What the caller's own `options` say is kept, except for what has a neutral name.

    Raises:
        InvalidRequest: the format cannot say what is asked for; `param` names the field.
    """
    _refuse(request)
    called = _names_of_calls(request.messages)
    body: dict[str, Any] = {
        **{name: value for name, value in request.extra.items() if name in OWN_FIELDS},
        "model": upstream_model,
        "messages": [wire for message in request.messages for wire in _messages(message, called)],
        "stream": stream,
    }
    if not body["messages"]:
        # Said to Ollama, that is an order to load the model and answer nothing.
        raise InvalidRequest("There is no message to answer.", param="messages")
    options = _options(request)
    if options:
        body["options"] = options
    # There is no word for forbidding tools; one that is not offered is not called either.
    if request.tools and not (request.tool_choice is not None and request.tool_choice.mode == "none"):
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.logprobs:
        body["logprobs"] = True
        if request.top_logprobs is not None:
            body["top_logprobs"] = request.top_logprobs
    if "think" not in body:
        if request.reasoning_tokens == 0:
            body["think"] = False
        elif request.reasoning_effort is not None:
            body["think"] = _EFFORTS[request.reasoning_effort]
    if request.response_format is not None and request.response_format.kind != "text":
        body["format"] = request.response_format.schema or "json"
    return body


def build_embedding(request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:
    """The body of `/api/embed`.

    Raises:
        InvalidRequest: an input that is not text.
    """
    if not all(isinstance(text, str) for text in request.inputs):
        raise InvalidRequest("The model's provider embeds texts, not tokens.", param="input")
    body: dict[str, Any] = {
        **{name: value for name, value in request.extra.items() if name in OWN_EMBEDDING_FIELDS},
        "model": upstream_model,
        "input": list(request.inputs),
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return body


def _refuse(request: CompletionRequest) -> None:
    """What has no field in this format, unless it is asked for at its neutral value."""
    choice = request.tool_choice
    asked = {
        "n": request.n != 1,
        "logit_bias": bool(request.logit_bias),
        "parallel_tool_calls": bool(request.tools) and request.parallel_tool_calls is False,
        "reasoning_tokens": bool(request.reasoning_tokens)
        and request.reasoning_effort is None
        and "think" not in request.extra,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise InvalidRequest(f"The model's provider has no `{name}`.", param=name)
    if choice is not None and choice.mode in {"required", "tool"}:
        raise InvalidRequest("The model's provider cannot be told that a tool must be called.", param="tool_choice")
    if any(tool.strict for tool in request.tools):
        raise InvalidRequest("The model's provider cannot promise strict arguments of tools.", param="tools")


def _options(request: CompletionRequest) -> dict[str, Any]:
    given = request.extra.get("options", {})
    if not isinstance(given, dict):
        raise InvalidRequest("`options` must be an object.", param="options")
    options = dict(given)
    for ours, theirs in _OPTIONS.items():
        value = getattr(request, ours)
        if value is not None:
            options[theirs] = value
    if request.stop:
        options["stop"] = list(request.stop)
    return options


def _tool(tool: Tool) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {}, **tool.parameters}
    function: dict[str, Any] = {"name": tool.name, "parameters": parameters}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _names_of_calls(messages: tuple[Message, ...]) -> dict[str, str]:
    """Results name their tool in this format; ids of calls are newer, and not every version knows them."""
    parts = (part for message in messages for part in message.parts)
    return {part.id: part.name for part in parts if isinstance(part, ToolCall)}


def _messages(message: Message, called: dict[str, str]) -> list[dict[str, Any]]:
    """One message as the wire's one or more: each tool result is a message of its own there, before what follows."""
    wire = [_tool_result(part, called) for part in message.parts if isinstance(part, ToolResult)]
    rest = [part for part in message.parts if not isinstance(part, ToolResult)]
    if wire and not rest:
        return wire
    if any(isinstance(part, Document) for part in rest):
        raise InvalidRequest("The model's provider reads no documents.", param="messages")
    images = [_image(part) for part in rest if isinstance(part, Image)]
    if images and message.role in {"system", "assistant"}:
        raise InvalidRequest(f"A message of role `{message.role}` cannot hold an image.", param="messages")
    own: dict[str, Any] = {
        "role": "user" if message.role == "tool" else message.role,
        "content": "\n".join(part.text for part in rest if isinstance(part, Text) and part.text),
    }
    if images:
        own["images"] = images
    # Nobody seals thoughts here; redacted ones cannot be read by anybody but their own vendor.
    thoughts = [part.text for part in rest if isinstance(part, Reasoning) and part.text]
    if thoughts:
        own["thinking"] = "\n".join(thoughts)
    calls = [part for part in rest if isinstance(part, ToolCall)]
    if calls:
        own["tool_calls"] = [
            {"id": call.id, "function": {"index": index, "name": call.name, "arguments": _arguments(call)}}
            for index, call in enumerate(calls)
        ]
    return [*wire, own]


def _tool_result(part: ToolResult, called: dict[str, str]) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": "tool", "content": part.content, "tool_call_id": part.call_id}
    if part.call_id in called:
        wire["tool_name"] = called[part.call_id]
    if part.images:
        wire["images"] = [_image(image) for image in part.images]
    return wire


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        value = loads(call.arguments or "{}")
    except ValueError as error:
        raise InvalidRequest(f"The arguments of tool call `{call.id}` are not JSON.", param="messages") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"The arguments of tool call `{call.id}` are not a JSON object.", param="messages")
    return value


def _image(image: Image) -> str:
    """The base64 alone: the server finds out by itself what it is a picture in."""
    if image.url is not None:
        head, _, data = image.url.partition(",")
        if not head.startswith("data:"):
            raise InvalidRequest("The model's provider fetches no images: send them as base64.", param="messages")
        if not head.endswith(";base64"):
            raise InvalidRequest("An image in a data URL must be base64.", param="messages")
        return data
    if not image.data:
        raise InvalidRequest("An image needs base64 data, as such or in a data URL.", param="messages")
    return image.data
