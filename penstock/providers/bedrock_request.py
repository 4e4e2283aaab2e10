"""A request as a body of Bedrock's Converse.

What the format cannot say is refused by name; what it leaves to each maker of models is in `bedrock_models`. Passed
over are only hints that change no promise: `seed`, `user`, the `name` of a message, the `detail` of an image, the
strictness of a JSON schema (schemas are always kept to there), for how long a marked prompt is to be kept, and marks
where a model knows none. Pictures and documents travel as bytes: Bedrock fetches
no address of the web, and what lies at an `s3://` one it would read with the operator's rights, whoever asks.
"""

import re
from typing import Any

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
from penstock.completion.encoding import dumps, loads
from penstock.errors import InvalidRequest
from penstock.providers.bedrock_models import Fields, additional_fields, family_of

#: fields of the format itself that have no neutral meaning. Others in `extra` come from another dialect.
OWN_FIELDS = {"guardrailConfig", "performanceConfig", "requestMetadata", "serviceTier"}

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_OFFICE = "application/vnd.openxmlformats-officedocument"
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_CHOICES = {"auto": "auto", "required": "any", "tool": "tool"}
#: stands for the result of a tool that said nothing: some models refuse an empty text, others an empty list
NO_OUTPUT = "(no output)"


def build(request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
    """The body; the model stands in the path.

    System messages become the system prompt, wherever they stood. Turns of one role are merged.

    Raises:
        InvalidRequest: the format, or the model, cannot be told what is asked for; `param` names the field.
    """
    _refuse(request)
    body: dict[str, Any] = {name: value for name, value in request.extra.items() if name in OWN_FIELDS}
    family = family_of(upstream_model)
    body["messages"] = _turns(request.messages, marks="messages" in family.keeps)
    system = [part for message in request.messages if message.role == "system" for part in message.parts]
    if system:
        body["system"] = _system(system, marks="system" in family.keeps)
    inference = {
        "maxTokens": request.max_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": list(request.stop) or None,
    }
    inference = {name: value for name, value in inference.items() if value is not None}
    if inference:
        body["inferenceConfig"] = inference
    one_call = _add_tools(body, request, marks="tools" in family.keeps)
    told = _own(additional_fields(request, family, one_call), request.extra.get("additionalModelRequestFields"))
    if told:
        body["additionalModelRequestFields"] = told
    if request.stop and family.tells_stop:
        # Converse itself does not say which stop string matched. The model's stream has it one level deeper.
        body["additionalModelResponseFieldPaths"] = ["/delta/stop_sequence" if stream else "/stop_sequence"]
    if request.response_format is not None and request.response_format.kind == "json_schema":
        body["outputConfig"] = {"textFormat": _text_format(request.response_format)}
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


def _own(fields: Fields, given: Any) -> Fields:
    """Our fields and those that the caller wrote in the model's own words, which win; what both open up is joined."""
    if given is None:
        return fields
    if not isinstance(given, dict):
        raise InvalidRequest("It must be an object.", param="additionalModelRequestFields")
    joined = {
        name: {**fields[name], **value}
        for name, value in given.items()
        if isinstance(value, dict) and isinstance(fields.get(name), dict)
    }
    return {**fields, **given, **joined}


def _text_format(wanted: ResponseFormat) -> dict[str, Any]:
    """The schema travels as text."""
    schema = {"schema": dumps(wanted.schema or {"type": "object"}).decode()}
    if wanted.name is not None:
        schema["name"] = wanted.name
    return {"type": "json_schema", "structure": {"jsonSchema": schema}}


def _add_tools(body: dict[str, Any], request: CompletionRequest, *, marks: bool) -> Fields | None:
    """Add the tools and the choice among them.

    The choice is given back, in Claude's words, where one call at a time is asked for: the two ways to say it exclude
    each other upstream. The format has no word for calling none; that is said by having no tools. `auto` is what it
    does unasked, and a model that cannot be told otherwise refuses even to be told that.
    """
    choice = request.tool_choice
    if not request.tools or (choice is not None and choice.mode == "none"):
        _refuse_tool_history(body, "tool_choice" if request.tools else "tools")
        if choice is not None and choice.mode in {"required", "tool"}:
            raise InvalidRequest("There is no tool to choose.", param="tool_choice")
        return None
    body["toolConfig"] = {
        "tools": [wire for tool in request.tools for wire in (_tool(tool), *(_mark(tool) if marks else ()))]
    }
    mode = _CHOICES[choice.mode] if choice is not None else "auto"
    named = {"name": choice.name} if choice is not None and choice.mode == "tool" else {}
    if request.parallel_tool_calls is False:
        return {"type": mode, **named}
    if mode != "auto":
        body["toolConfig"]["toolChoice"] = {mode: named}
    return None


def _refuse_tool_history(body: dict[str, Any], param: str) -> None:
    """The vendor takes a conversation with calls of tools only together with tools."""
    if any("toolUse" in block or "toolResult" in block for turn in body["messages"] for block in turn["content"]):
        raise InvalidRequest(
            "The conversation holds calls of tools: the model's provider then needs tools that may be called.",
            param=param,
        )


def _tool(tool: Tool) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": {"type": "object", **tool.parameters}}}
    if tool.description and tool.description.strip():
        wire["description"] = tool.description
    if tool.strict:
        wire["strict"] = True
    return {"toolSpec": wire}


def _mark(item: Part | Tool) -> list[dict[str, Any]]:
    """The block behind a part or tool with which the prompt is kept up to there."""
    return [{"cachePoint": {"type": "default"}}] if getattr(item, "cache", None) is not None else []


def _system(parts: list[Part], *, marks: bool) -> list[dict[str, Any]]:
    if not all(isinstance(part, Text) for part in parts):
        raise InvalidRequest("A message of role `system` holds text only.", param="messages")
    told = [part for part in parts if isinstance(part, Text) and not _is_mute(part)]
    return [block for part in told for block in ({"text": part.text}, *(_mark(part) if marks else ()))]


def _turns(messages: tuple[Message, ...], *, marks: bool) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    names = _DocumentNames()
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        told = [part for part in message.parts if not _is_mute(part)]
        blocks = [block for part in told for block in (_block(part, role, names), *(_mark(part) if marks else ()))]
        if not blocks:
            continue
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        else:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        # Claude wants the results of tools before anything else in their turn; the order is kept otherwise.
        turn["content"].sort(key=lambda block: "toolResult" not in block)
    return turns


def _is_mute(part: Part) -> bool:
    """Blank texts are refused by the vendor and say nothing; so is thinking that it did not sign itself."""
    return (isinstance(part, Text) and not part.text.strip()) or (isinstance(part, Reasoning) and not part.signature)


def _block(part: Part, role: str, names: "_DocumentNames") -> dict[str, Any]:
    if isinstance(part, Text):
        return {"text": part.text}
    if isinstance(part, ToolCall):
        return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": _arguments(part)}}
    if isinstance(part, ToolResult):
        return _tool_result(part)
    if isinstance(part, Reasoning):
        if part.redacted:
            return {"reasoningContent": {"redactedContent": part.signature}}
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
    if role == "assistant":
        raise InvalidRequest("A message of role `assistant` cannot hold an image or a document.", param="messages")
    if isinstance(part, Document):
        wire = _bytes(part, _DOCUMENTS, "A document")
        return {"document": {**wire, "name": names.next(part.filename)}}
    return {"image": _bytes(part, _IMAGES, "An image")}


def _tool_result(part: ToolResult) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"text": part.content}] if part.content.strip() else []
    content += [{"image": _bytes(image, _IMAGES, "An image")} for image in part.images]
    result = {"toolUseId": part.call_id, "content": content or [{"text": NO_OUTPUT}]}
    return {"toolResult": result | ({"status": "error"} if part.is_error else {})}


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        value = loads(call.arguments or "{}")
    except ValueError as error:
        raise InvalidRequest(f"The arguments of tool call `{call.id}` are not JSON.", param="messages") from error
    if not isinstance(value, dict):
        raise InvalidRequest(f"The arguments of tool call `{call.id}` are not a JSON object.", param="messages")
    return value


def _bytes(part: Image | Document, formats: dict[str, str], what: str) -> dict[str, Any]:
    """The format and the source of a picture or document."""
    data, media_type = part.data, part.media_type
    if part.url is not None:
        if not part.url.startswith("data:"):
            raise InvalidRequest(f"{what} must be base64 data for the model's provider, not a url.", param="messages")
        head, _, data = part.url.removeprefix("data:").partition(",")
        media_type, _, coding = head.partition(";")
        if not coding.endswith("base64"):
            raise InvalidRequest(f"{what} in a data URL must be base64.", param="messages")
    if not data or not media_type:
        raise InvalidRequest(f"{what} needs base64 data and its media type.", param="messages")
    if media_type not in formats:
        raise InvalidRequest(f"{what} cannot be of type `{media_type}`.", param="messages")
    return {"format": formats[media_type], "source": {"bytes": data}}


class _DocumentNames:
    """Names that the vendor takes, no two the same in one request.

    They hold letters, digits, single spaces, hyphens, parentheses and square brackets, and at most 200 characters.
    """

    _LONGEST = 200

    def __init__(self) -> None:
        self._given: set[str] = set()

    def next(self, filename: str | None) -> str:
        """A name for one more document; its file's extension is told by the format."""
        stem = re.sub(r"\.\w{1,5}$", "", filename or "")
        name = " ".join(re.sub(r"[^A-Za-z0-9()\[\] -]", " ", stem).split())[: self._LONGEST - 10].strip() or "document"
        unique, number = name, 1
        while unique.lower() in self._given:
            number += 1
            unique = f"{name} ({number})"
        self._given.add(unique.lower())
        return unique
