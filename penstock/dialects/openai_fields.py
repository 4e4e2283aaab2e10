"""What chat completions and responses have in common: functions to call, the form of the answer, pictures, files."""

from typing import Any, get_args

from penstock.completion import Document, Image, ReasoningEffort, ResponseFormat, Tool, ToolChoice
from penstock.dialects.fields import boolean, mapping, required, required_string, string, wrong_type, wrong_value

MAX_TOP_LOGPROBS = 20
#: how much a model may think, in the words that have a neutral meaning
EFFORTS: tuple[str, ...] = get_args(ReasoningEffort)
_MODES = ("auto", "none", "required")
#: what a file is whose data does not say so, by the end of its name; another one is taken for the first of these
_MEDIA_TYPES = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "xml": "application/xml",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


def function(definition: dict[str, Any], at: str) -> Tool:
    """A function the model may call; `at` is the path of its definition, with its dot.

    Raises:
        InvalidRequest: it has no name, or a field of the wrong type.
    """
    return Tool(
        name=required_string(definition, "name", at),
        parameters=mapping(definition, "parameters", at) or _NO_PARAMETERS,
        description=string(definition, "description", at),
        strict=boolean(definition, "strict", at),
    )


def tool_choice(body: dict[str, Any], tools: tuple[Tool, ...], nested: bool) -> ToolChoice | None:
    """`tool_choice`; chat completions nest the name under `function`.

    Without tools `auto` and `none` say nothing and are dropped: engines refuse them there.

    Raises:
        InvalidRequest: it is no choice, or one that the tools do not offer.
    """
    value = body.get("tool_choice")
    if value is None:
        return None
    if isinstance(value, str):
        if value not in _MODES:
            raise wrong_value("tool_choice", f"use one of {', '.join(_MODES)}, or name a function.")
        if tools:
            return ToolChoice(value)  # type: ignore[arg-type]  # one of _MODES
        if value == "required":
            raise wrong_value("tool_choice", "there are no tools.")
        return None
    if not isinstance(value, dict):
        raise wrong_type("tool_choice", "a string or an object")
    if value.get("type") != "function":
        raise wrong_value("tool_choice", "an object must have the type 'function'.")
    at = "tool_choice."
    if nested:
        value, at = required(value, "function", at), "tool_choice.function."
        if not isinstance(value, dict):
            raise wrong_type("tool_choice.function", "an object")
    name = required_string(value, "name", at)
    if all(tool.name != name for tool in tools):
        raise wrong_value("tool_choice", f"there is no tool '{name}'.")
    return ToolChoice("tool", name)


def answer_format(value: dict[str, Any], at: str, nested: bool) -> ResponseFormat | None:
    """The form of the answer, None for plain text; chat completions nest the schema under `json_schema`.

    Raises:
        InvalidRequest: it is no such form.
    """
    kind = required_string(value, "type", at)
    if kind == "text":
        return None
    if kind == "json_object":
        return ResponseFormat("json_object")
    if kind != "json_schema":
        raise wrong_value(at + "type", "use one of text, json_object, json_schema.")
    if nested:
        value, at = required(value, "json_schema", at), at + "json_schema."
        if not isinstance(value, dict):
            raise wrong_type(at[:-1], "an object")
    required(value, "schema", at)
    return ResponseFormat(
        kind="json_schema",
        name=required_string(value, "name", at),
        schema=mapping(value, "schema", at),
        strict=boolean(value, "strict", at),
    )


def picture(url: str, detail: str | None, param: str) -> Image:
    """A picture by its address, or by the data in it.

    Raises:
        InvalidRequest: it is neither http, https nor base64 data.
    """
    if url.startswith("data:"):
        media_type, data = _from_data_url(url, param)
        return Image(data=data, media_type=media_type, detail=detail)
    _check_address(url, param, "http, https or data")
    return Image(url=url, detail=detail)


def document(file: dict[str, Any], at: str) -> Document:
    """A file to read: its `file_data` (a data URL, or plain base64), or its `file_url`; `at` is its path, with its dot.

    Raises:
        InvalidRequest: it is neither, or names a stored file.
    """
    if file.get("file_id") is not None:
        raise wrong_value(at + "file_id", "stored files cannot be read by a model here; send 'file_data'.")
    name = string(file, "filename", at)
    address = string(file, "file_url", at)
    if address is not None:
        _check_address(address, at + "file_url", "http or https")
        return Document(url=address, filename=name)
    data = required_string(file, "file_data", at)
    if data.startswith("data:"):
        media_type, data = _from_data_url(data, at + "file_data")
    else:
        media_type = _MEDIA_TYPES.get((name or "").rpartition(".")[2].lower(), _MEDIA_TYPES["pdf"])
    return Document(data=data, media_type=media_type, filename=name)


def _from_data_url(url: str, param: str) -> tuple[str, str]:
    """Media type and base64 data."""
    head, comma, data = url[5:].partition(",")
    media_type = head.partition(";")[0]
    if not comma or not head.endswith(";base64") or not media_type:
        raise wrong_value(param, "a data URL must be 'data:<media type>;base64,<data>'.")
    return media_type, data


def _check_address(url: str, param: str, kinds: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise wrong_value(param, f"it must be an {kinds} URL.")
