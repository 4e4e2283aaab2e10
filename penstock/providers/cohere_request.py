"""A request as a body of Cohere's chat, version 2 (https://docs.cohere.com/reference/chat).

What the format cannot say is refused by name. Two things are said in another way that comes to the same: a tool that
must be called is the only one offered while calling is required, and a failed tool's result is a document whose key is
`error`. Passed over are only hints that change no promise: `user`, the `name` of a message, the name and strictness of
a JSON schema (schemas are always kept to there), and how hard to think, where only on and off can be said.
"""

import base64
from typing import Any

from penstock.completion import (
    CompletionRequest,
    Document,
    EmbeddingRequest,
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from penstock.errors import InvalidRequest
from penstock.providers.data_urls import as_data_url

#: fields of the format itself that have no neutral meaning. Others in `extra` come from another dialect.
OWN_FIELDS = {"citation_options", "documents", "priority", "safety_mode", "strict_tools", "thinking"}
OWN_EMBEDDING_FIELDS = {"input_type", "max_tokens", "priority", "truncate"}
#: what texts are embedded for where the caller does not say; the vendor demands that somebody does
DEFAULT_INPUT_TYPE = "search_document"

#: the neutral names and the format's
_SETTINGS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "seed": "seed",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}


def build(request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
    """The body. Documents in messages join the `documents` of the request, in which the format has them.

    Raises:
        InvalidRequest: the format cannot say what is asked for; `param` names the field.
    """
    _refuse(request)
    body: dict[str, Any] = {
        **{name: value for name, value in request.extra.items() if name in OWN_FIELDS},
        "model": upstream_model,
        "messages": [wire for message in request.messages for wire in _messages(message)],
        "stream": stream,
    }
    for ours, theirs in _SETTINGS.items():
        value = getattr(request, ours)
        if value is not None:
            body[theirs] = value
    if request.stop:
        body["stop_sequences"] = list(request.stop)
    if request.logprobs:
        body["logprobs"] = True
    _add_documents(body, request)
    _add_tools(body, request)
    _add_thinking(body, request)
    if request.response_format is not None and request.response_format.kind != "text":
        body["response_format"] = _response_format(request.response_format)
    return body


def build_embedding(request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:
    """The body of `/v2/embed`.

    Raises:
        InvalidRequest: an input that is not text.
    """
    if not all(isinstance(text, str) for text in request.inputs):
        raise InvalidRequest("The model's provider embeds texts, not tokens.", param="input")
    body: dict[str, Any] = {
        "input_type": DEFAULT_INPUT_TYPE,
        **{name: value for name, value in request.extra.items() if name in OWN_EMBEDDING_FIELDS},
        "model": upstream_model,
        "texts": list(request.inputs),
        "embedding_types": ["float"],
    }
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    return body


def _refuse(request: CompletionRequest) -> None:
    """What has no field in this format, unless it is asked for at its neutral value."""
    asked = {
        "n": request.n != 1,
        "logit_bias": bool(request.logit_bias),
        "top_logprobs": bool(request.top_logprobs),
        "parallel_tool_calls": bool(request.tools) and request.parallel_tool_calls is False,
    }
    for name, is_asked in asked.items():
        if is_asked:
            raise InvalidRequest(f"The model's provider has no `{name}`.", param=name)


def _add_documents(body: dict[str, Any], request: CompletionRequest) -> None:
    found = [part for message in request.messages for part in message.parts if isinstance(part, Document)]
    if not found:
        return
    given = body.get("documents", [])
    if not isinstance(given, list):
        raise InvalidRequest("`documents` must be an array.", param="documents")
    body["documents"] = [*given, *(_document(part) for part in found)]


def _add_tools(body: dict[str, Any], request: CompletionRequest) -> None:
    """Without tools, choosing among them says nothing; a tool that must be called stays and is refused upstream."""
    choice = request.tool_choice
    tools = request.tools
    if choice is not None and choice.mode == "tool":
        tools = tuple(tool for tool in tools if tool.name == choice.name)
        if not tools:
            raise InvalidRequest(f"There is no tool `{choice.name}` to be called.", param="tool_choice")
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
        if any(tool.strict for tool in tools):
            body["strict_tools"] = True
    if choice is None or choice.mode == "auto" or (choice.mode == "none" and not tools):
        return
    body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": {"type": "object", **tool.parameters}}
    if tool.description is not None:
        function["description"] = tool.description
    return {"type": "function", "function": function}


def _add_thinking(body: dict[str, Any], request: CompletionRequest) -> None:
    """A budget in tokens says more than a word, and the format's own field more than both."""
    if "thinking" in body:
        return
    if request.reasoning_tokens:
        body["thinking"] = {"type": "enabled", "token_budget": request.reasoning_tokens}
    elif request.reasoning_tokens == 0 or request.reasoning_effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif request.reasoning_effort is not None:
        body["thinking"] = {"type": "enabled"}


def _response_format(wanted: ResponseFormat) -> dict[str, Any]:
    return {"type": "json_object"} | ({"json_schema": wanted.schema} if wanted.schema else {})


def _messages(message: Message) -> list[dict[str, Any]]:
    """One message as the wire's one or more: each tool result is a message of its own there, before what follows.

    What says nothing is left out: the vendor refuses empty turns.
    """
    wire = [_tool_result(part) for part in message.parts if isinstance(part, ToolResult)]
    if message.role == "assistant":
        own = _assistant(message)
    else:
        said = [part for part in message.parts if isinstance(part, Image) or (isinstance(part, Text) and part.text)]
        if message.role == "system" and any(not isinstance(part, Text) for part in message.parts):
            raise InvalidRequest("A message of role `system` holds text only.", param="messages")
        role = "system" if message.role == "system" else "user"
        own = {"role": role, "content": _content(said)} if said else {}
    return [*wire, own] if own else wire


def _assistant(message: Message) -> dict[str, Any]:
    """Thoughts go back as thinking, or as the plan that led to the calls of tools: the format has one place for each.

    Nobody seals them here; redacted ones cannot be read by anybody but their own vendor.
    """
    if any(isinstance(part, Image | Document) for part in message.parts):
        raise InvalidRequest("A message of role `assistant` cannot hold an image or a document.", param="messages")
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    thoughts = [part.text for part in message.parts if isinstance(part, Reasoning) and part.text]
    texts = [part for part in message.parts if isinstance(part, Text) and part.text]
    own: dict[str, Any] = {}
    if calls:
        own["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
            for call in calls
        ]
        if thoughts:
            own["tool_plan"] = "\n".join(thoughts)
        if texts:
            own["content"] = _content(texts)
    elif thoughts:
        thinking = [{"type": "thinking", "thinking": text} for text in thoughts]
        own["content"] = [*thinking, *(_block(part) for part in texts)]
    elif texts:
        own["content"] = _content(texts)
    return {"role": "assistant", **own} if own else {}


def _tool_result(part: ToolResult) -> dict[str, Any]:
    if part.images:
        raise InvalidRequest("The result of a tool cannot hold an image.", param="messages")
    content: Any = part.content
    if part.is_error:
        content = [{"type": "document", "document": {"data": {"error": part.content}}}]
    return {"role": "tool", "tool_call_id": part.call_id, "content": content}


def _content(parts: list[Text] | list[Text | Image]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return [_block(part) for part in parts]


def _block(part: Text | Image) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    url = part.url or as_data_url(part)
    return {"type": "image_url", "image_url": {"url": url} | ({"detail": part.detail} if part.detail else {})}


def _document(document: Document) -> dict[str, Any]:
    """A document is a dictionary of words there, so that only one that is text has a place in it."""
    media_type, data = document.media_type or "", document.data
    if document.url is not None and document.url.startswith("data:"):
        head, _, data = document.url.removeprefix("data:").partition(",")
        media_type, _, coding = head.partition(";")
        if not coding.endswith("base64"):
            raise InvalidRequest("A document in a data URL must be base64.", param="messages")
    elif document.url is not None:
        raise InvalidRequest("The model's provider fetches no documents: send the text itself.", param="messages")
    if not media_type.startswith("text/") and media_type != "application/json":
        raise InvalidRequest("The model's provider reads documents that are text only.", param="messages")
    try:
        text = base64.b64decode(data or "", validate=True).decode()
    except ValueError as error:
        raise InvalidRequest("A text document must be base64 of UTF-8.", param="messages") from error
    return {"data": {"text": text} | ({"title": document.filename} if document.filename else {})}
