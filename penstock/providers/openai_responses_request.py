"""A request as a body of OpenAI's Responses.

What the format cannot say is refused by name. Passed over are only hints that change no promise: `seed`, the `name` of
a message, and the `is_error` of a tool's result (its text says what went wrong). Thoughts without a seal are not told
again, for the vendor takes back only what it sealed.
"""

from typing import Any

from penstock.catalogue import Quirks
from penstock.completion import (
    CompletionRequest,
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from penstock.errors import InvalidRequest
from penstock.providers.data_urls import as_data_url, filename
from penstock.providers.openai_chat_request import adapted

#: fields of the format itself that have no neutral meaning. Others in `extra` come from another dialect.
OWN_FIELDS = {
    "context_management",
    "max_tool_calls",
    "metadata",
    "moderation",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "truncation",
}
LOGPROBS = "message.output_text.logprobs"
SEALED = "reasoning.encrypted_content"
_SAME = ("temperature", "top_p", "user")
_FAILED = "The tool failed."


def build(request: CompletionRequest, upstream_model: str, *, stream: bool, quirks: Quirks) -> dict[str, Any]:
    """The body. The caller's own `reasoning`, `text` and `include` are kept, and what is set here comes on top.

    Raises:
        InvalidRequest: the format, or this server's variation of it, cannot say what is asked for; `param` names the
            field.
    """
    _refuse(request)
    body: dict[str, Any] = {
        **{name: value for name, value in _own(request).items() if name in OWN_FIELDS},
        "model": upstream_model,
        "input": [item for message in request.messages for item in _items(message)],
        "store": False,
    }
    if request.max_tokens is not None:
        body["max_output_tokens"] = request.max_tokens
    for name in _SAME:
        value = getattr(request, name)
        if value is not None:
            body[name] = value
    _add_tools(body, request)
    reasoning = _mapping(request, "reasoning")
    if request.reasoning_effort is not None:
        reasoning.setdefault("effort", request.reasoning_effort)
    if reasoning:
        body["reasoning"] = reasoning
    text = _mapping(request, "text")
    if request.response_format is not None:
        text["format"] = _text_format(request.response_format)
    if text:
        body["text"] = text
    if request.top_logprobs is not None and request.logprobs:
        body["top_logprobs"] = request.top_logprobs
    include = _include(request, reasoning)
    if include:
        body["include"] = include
    if stream:
        body["stream"] = True
    return adapted(body, quirks)


def _refuse(request: CompletionRequest) -> None:
    """What has no field in this format, unless it is asked for at its neutral value."""
    asked = {
        "n": request.n != 1,
        "top_k": request.top_k is not None,
        "presence_penalty": bool(request.presence_penalty),
        "frequency_penalty": bool(request.frequency_penalty),
        "logit_bias": bool(request.logit_bias),
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise InvalidRequest(f"The model's provider has no `{name}`.", param=name)
    if request.reasoning_tokens is not None and request.reasoning_effort is None:
        raise InvalidRequest(
            "The model's provider does not count reasoning in tokens; ask for a `reasoning_effort`.",
            param="reasoning_tokens",
        )


def _own(request: CompletionRequest) -> dict[str, Any]:
    """What the caller said in fields of this format."""
    return {**request.extra, **request.responses_only}


def _mapping(request: CompletionRequest, name: str) -> dict[str, Any]:
    own = _own(request).get(name)
    return dict(own) if isinstance(own, dict) else {}


def _include(request: CompletionRequest, reasoning: dict[str, Any]) -> list[str]:
    """Sealed thoughts are asked for where thoughts are known to play a part: models without any refuse to seal."""
    own = _own(request).get("include")
    include = [name for name in own if isinstance(name, str)] if isinstance(own, list) else []
    thinks = reasoning.get("effort") not in {None, "none"} or any(
        isinstance(part, Reasoning) and part.signature for message in request.messages for part in message.parts
    )
    wanted = ((SEALED, thinks), (LOGPROBS, request.logprobs))
    return include + [name for name, is_wanted in wanted if is_wanted and name not in include]


def _add_tools(body: dict[str, Any], request: CompletionRequest) -> None:
    """Without tools, choosing among them says nothing; a tool that must be called stays and is refused upstream."""
    choice = request.tool_choice
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if request.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = request.parallel_tool_calls
    elif choice is None or choice.mode in {"auto", "none"}:
        return
    if choice is not None:
        body["tool_choice"] = {"type": "function", "name": choice.name} if choice.mode == "tool" else choice.mode


def _tool(tool: Tool) -> dict[str, Any]:
    """`strict` has to be said: left out it is true here, and false in all other formats."""
    wire = {"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": bool(tool.strict)}
    return wire | ({"description": tool.description} if tool.description is not None else {})


def _text_format(wanted: ResponseFormat) -> dict[str, Any]:
    if wanted.kind != "json_schema":
        return {"type": wanted.kind}
    wire = {"type": "json_schema", "name": wanted.name or "answer", "schema": wanted.schema or {}}
    return wire | ({"strict": wanted.strict} if wanted.strict is not None else {})


def _items(message: Message) -> list[dict[str, Any]]:
    """One message as the wire's items, in order; neighbouring texts and pictures are one."""
    items: list[dict[str, Any]] = []
    said: list[Part] = []
    for part in message.parts:
        if isinstance(part, Text | Image | Document):
            said.append(part)
            continue
        items += _message(message, said)
        said = []
        if isinstance(part, ToolCall):
            call = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments or "{}"}
            items.append(call)
        elif isinstance(part, ToolResult):
            items.append({"type": "function_call_output", "call_id": part.call_id, "output": _output(part)})
        elif part.signature is not None:
            items.append(_thought(part))
    return items + _message(message, said)


def _message(message: Message, said: list[Part]) -> list[dict[str, Any]]:
    """Nothing where nothing is said; an assistant's item holds texts only, and calls them output."""
    if not any(not isinstance(part, Text) or part.text for part in said):
        return []
    role = "user" if message.role == "tool" else message.role
    if role in {"system", "assistant"} and not all(isinstance(part, Text) for part in said):
        raise InvalidRequest(f"A message of role `{role}` cannot hold an image or a document.", param="messages")
    if len(said) == 1 and isinstance(said[0], Text):
        return [{"role": role, "content": said[0].text}]
    text_type = "output_text" if role == "assistant" else "input_text"
    return [{"role": role, "content": [_content(part, text_type) for part in said]}]


def _content(part: Part, text_type: str = "input_text") -> dict[str, Any]:
    if isinstance(part, Image):
        return {"type": "input_image", "image_url": part.url or as_data_url(part), "detail": part.detail or "auto"}
    if isinstance(part, Document):
        if part.url is not None and not part.url.startswith("data:"):
            return {"type": "input_file", "file_url": part.url}
        return {"type": "input_file", "filename": filename(part), "file_data": part.url or as_data_url(part)}
    return {"type": text_type, "text": part.text if isinstance(part, Text) else ""}


def _output(part: ToolResult) -> str | list[dict[str, Any]]:
    """An empty result of a tool that failed would read as a success."""
    text = part.content or (_FAILED if part.is_error else "")
    if not part.images:
        return text
    texts = [{"type": "input_text", "text": text}] if text else []
    return [*texts, *(_content(image) for image in part.images)]


def _thought(part: Reasoning) -> dict[str, Any]:
    """Without its id: nothing is stored there that an id could name, and the seal alone is what counts."""
    summary = [{"type": "summary_text", "text": part.text}] if part.text and not part.redacted else []
    return {"type": "reasoning", "summary": summary, "encrypted_content": part.signature}
