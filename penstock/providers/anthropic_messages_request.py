"""A request as a body of Anthropic's messages.

What the format cannot say is refused by name. Passed over are only hints that change no promise: `seed`, the `name` of
a message, the `detail` of an image, and the name and strictness of a JSON schema (schemas are always kept to there).
"""

import base64
from typing import Any

from penstock.completion import (
    CacheLifetime,
    CompletionRequest,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    ReasoningEffort,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from penstock.completion.encoding import loads
from penstock.errors import InvalidRequest

#: the format demands a limit; this one is for models of which no other is known
DEFAULT_MAX_TOKENS = 4096

#: fields of the format itself that have no neutral meaning, in `extra` or, from callers of the same dialect, under its
#: `anthropic`. Others come from another dialect.
OWN_FIELDS = {
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "output_config",
    "speed",
    "thinking",
}
#: this format has fewer words for how much to think
_EFFORTS: dict[ReasoningEffort, str] = {
    "minimal": "low",
    "low": "low",
    "medium": "medium",
    "high": "high",
    "xhigh": "max",
    "max": "max",
}
_CHOICES = {"auto": "auto", "none": "none", "required": "any", "tool": "tool"}


def build(request: CompletionRequest, upstream_model: str, *, stream: bool, max_output: int | None) -> dict[str, Any]:
    """The body. `max_output` is the most tokens the model can answer with, where it is known.

    System messages become the system prompt, wherever they stood. Turns of one role are merged.

    Raises:
        InvalidRequest: the format cannot say what is asked for; `param` names the field.
    """
    _refuse(request)
    system = [part for message in request.messages if message.role == "system" for part in message.parts]
    own = request.extra.get("anthropic")
    same_dialect = isinstance(own, dict)
    given = {**request.extra, **(own if isinstance(own, dict) else {})}
    body: dict[str, Any] = {
        **{name: value for name, value in given.items() if name in OWN_FIELDS},
        "model": upstream_model,
        "max_tokens": request.max_tokens if request.max_tokens is not None else max_output or DEFAULT_MAX_TOKENS,
        "messages": _turns(request.messages),
    }
    if system:
        body["system"] = _system(system)
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.user is not None:
        body["metadata"] = {"user_id": request.user}
    _add_tools(body, request)
    _add_thinking(body, request, same_dialect=same_dialect)
    if request.response_format is not None and request.response_format.kind == "json_schema":
        form = {"type": "json_schema", "schema": request.response_format.schema or {"type": "object"}}
        body["output_config"] = {**(body.get("output_config") or {}), "format": form}
    if stream:
        body["stream"] = True
    return body


def _refuse(request: CompletionRequest) -> None:
    """What has no field in this format, unless it is asked for at its neutral value."""
    asked = {
        "n": request.n != 1,
        "logprobs": request.logprobs,
        "presence_penalty": bool(request.presence_penalty),
        "frequency_penalty": bool(request.frequency_penalty),
        "logit_bias": bool(request.logit_bias),
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise InvalidRequest(f"The model's provider has no `{name}`.", param=name)
    if request.response_format is not None and request.response_format.kind == "json_object":
        raise InvalidRequest(
            "The model's provider has no `json_object` format; ask for `json_schema` with a schema.",
            param="response_format",
        )


def _add_thinking(body: dict[str, Any], request: CompletionRequest, *, same_dialect: bool) -> None:
    """A budget in tokens says more than a word, and the format's own field more than both.

    A caller of the same dialect has said all of it in the format's own words; but its budget may have been lowered.
    """
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled" and request.reasoning_tokens is not None:
        body["thinking"] = {**thinking, "budget_tokens": request.reasoning_tokens}
    if thinking is not None or same_dialect:
        return
    if request.reasoning_tokens is not None:
        body["thinking"] = {"type": "enabled", "budget_tokens": request.reasoning_tokens}
    elif request.reasoning_effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif request.reasoning_effort is not None:
        body["thinking"] = {"type": "adaptive"}
        body["output_config"] = {"effort": _EFFORTS[request.reasoning_effort], **(body.get("output_config") or {})}


def _add_tools(body: dict[str, Any], request: CompletionRequest) -> None:
    """Without tools, choosing among them says nothing; a tool that must be called stays and is refused upstream."""
    choice = request.tool_choice
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    elif choice is None or choice.mode in {"auto", "none"}:
        return
    one_at_a_time = request.parallel_tool_calls is False
    if choice is None and not one_at_a_time:
        return
    wire: dict[str, Any] = {"type": _CHOICES[choice.mode] if choice else "auto"}
    if wire["type"] == "tool":
        wire["name"] = choice.name if choice else None
    if one_at_a_time and wire["type"] != "none":
        wire["disable_parallel_tool_use"] = True
    body["tool_choice"] = wire


def _tool(tool: Tool) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name, "input_schema": {"type": "object", **tool.parameters}}
    if tool.description is not None:
        wire["description"] = tool.description
    if tool.strict:
        wire["strict"] = True
    return _marked(wire, tool.cache)


def _system(parts: list[Part]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text) and parts[0].cache is None:
        return parts[0].text
    if not all(isinstance(part, Text) for part in parts):
        raise InvalidRequest("A message of role `system` holds text only.", param="messages")
    return [_block(part, "user") for part in parts if isinstance(part, Text) and part.text]


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = [_block(part, role) for part in message.parts if not _is_mute(part)]
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        # The vendor wants the results of tools before anything else in their turn; the order is kept otherwise.
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    return turns


def _is_mute(part: Part) -> bool:
    """Empty texts are refused by the vendor and say nothing; so is thinking that it did not sign itself."""
    return (isinstance(part, Text) and not part.text) or (isinstance(part, Reasoning) and part.signature is None)


def _block(part: Part, role: str) -> dict[str, Any]:
    if isinstance(part, Reasoning):
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    return _marked(_markable(part, role), part.cache)


def _marked(block: dict[str, Any], cache: CacheLifetime | None) -> dict[str, Any]:
    """The block, with the mark that the prompt is to be kept in the vendor's cache up to here."""
    if cache is None:
        return block
    # Five minutes is what the vendor means where nothing is said.
    return {**block, "cache_control": {"type": "ephemeral"} | ({"ttl": cache} if cache != "5m" else {})}


def _markable(part: Text | Image | Document | ToolCall | ToolResult, role: str) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": _arguments(part)}
    if isinstance(part, ToolResult):
        return _tool_result(part)
    if role == "assistant":
        raise InvalidRequest("A message of role `assistant` cannot hold an image or a document.", param="messages")
    if isinstance(part, Document):
        return _document(part)
    return {"type": "image", "source": _source(part)}


def _tool_result(part: ToolResult) -> dict[str, Any]:
    content: Any = part.content
    if part.images:
        texts = [{"type": "text", "text": part.content}] if part.content else []
        content = [*texts, *({"type": "image", "source": _source(image)} for image in part.images)]
    result = {"type": "tool_result", "tool_use_id": part.call_id, "content": content}
    return result | ({"is_error": True} if part.is_error else {})


def _document(document: Document) -> dict[str, Any]:
    source = _source(document)
    if source.get("media_type") == "text/plain":
        source = {"type": "text", "media_type": "text/plain", "data": _plain_text(source["data"])}
    return {"type": "document", "source": source} | ({"title": document.filename} if document.filename else {})


def _plain_text(data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError as error:
        raise InvalidRequest("A text document must be base64 of UTF-8.", param="messages") from error


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        value = loads(call.arguments or "{}")
    except ValueError as error:
        raise InvalidRequest(f"The arguments of tool call `{call.id}` are not JSON.", param="messages") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"The arguments of tool call `{call.id}` are not a JSON object.", param="messages")
    return value


def _source(part: Image | Document) -> dict[str, Any]:
    what = "An image" if isinstance(part, Image) else "A document"
    data, media_type = part.data, part.media_type
    if part.url is not None and not part.url.startswith("data:"):
        return {"type": "url", "url": part.url}
    if part.url is not None:
        head, _, data = part.url.removeprefix("data:").partition(",")
        media_type, _, coding = head.partition(";")
        if not coding.endswith("base64"):
            raise InvalidRequest(f"{what} in a data URL must be base64.", param="messages")
    if not data or not media_type:
        raise InvalidRequest(f"{what} needs a url, or base64 data and its media type.", param="messages")
    return {"type": "base64", "media_type": media_type, "data": data}
