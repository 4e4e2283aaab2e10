"""The lines of a batch's input file: split, read, checked. Pure; the vendor's codes for what can be wrong."""

from collections.abc import AsyncIterable, AsyncIterator, Container
from dataclasses import dataclass
from typing import Any

from penstock.completion.encoding import dumps, loads_input
from penstock.dialects.fields import fallback
from penstock.errors import InvalidRequest, ModelNotFound

_BOM = b"\xef\xbb\xbf"
#: a single request larger than this is refused rather than held in memory
MAX_LINE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One request of the file; `number` is its physical line, from 1, `raw` its body as ASCII JSON."""

    number: int
    custom_id: str
    model: str
    fallback: tuple[str, ...]
    body: dict[str, Any]
    raw: bytes


@dataclass(frozen=True, slots=True)
class LineError:
    """What is wrong with a line; `line` is None for the whole file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def to_json(self) -> dict[str, Any]:
        """An entry of `errors.data`."""
        return {"code": self.code, "message": self.message, "line": self.line, "param": self.param}


async def split_lines(chunks: AsyncIterable[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    r"""(number, text) of every line that is not blank; split at \n bytes only, white space around a line dropped.

    A UTF-8 byte order mark at the start is dropped: editors on Windows write it, and it means nothing.
    A line that grows too long is given as it is so far, and ends the file.
    """
    number, rest, first = 1, b"", True
    async for chunk in chunks:
        data = rest + chunk
        if first and len(data) >= len(_BOM):
            data, first = data.removeprefix(_BOM), False
        *lines, rest = data.split(b"\n")
        for line in lines:
            text = line.strip()
            if text:
                yield number, text
            number += 1
        if len(rest) > MAX_LINE_BYTES:
            yield number, rest
            return
    text = rest.removeprefix(_BOM).strip() if first else rest.strip()
    if text:
        yield number, text


def read_line(number: int, text: bytes, endpoint: str, models: Container[str]) -> BatchLine | LineError:
    """One line, or what is wrong with it. What its body says beyond the model is judged when the request runs."""
    if len(text) > MAX_LINE_BYTES:
        return LineError("line_too_long", f"This line is longer than {MAX_LINE_BYTES} bytes.", number)
    try:
        value = loads_input(text)
    except ValueError:
        return LineError("invalid_json_line", "This line is not parseable as valid JSON.", number)
    if not isinstance(value, dict):
        return LineError("invalid_json_line", "This line is not a JSON object.", number)
    for name in ("custom_id", "method", "url", "body"):
        if value.get(name) is None:
            return LineError("missing_required_parameter", f"Missing required parameter: '{name}'.", number, name)
    return _checked(number, value, endpoint, models)


def _checked(number: int, value: dict[str, Any], endpoint: str, models: Container[str]) -> BatchLine | LineError:
    custom_id, body = value["custom_id"], value["body"]
    if (wrong := _custom_id_error(number, custom_id)) is not None:
        return wrong
    if value["method"] != "POST":
        return LineError("invalid_method", "'method' must be 'POST'.", number, "method")
    if value["url"] != endpoint:
        return LineError("mismatched_url", f"'url' must be the batch's endpoint, '{endpoint}'.", number, "url")
    if not isinstance(body, dict):
        return LineError("invalid_type", "'body' must be an object.", number, "body")
    model = body.get("model")
    if model is None:
        return LineError(
            "missing_required_parameter", "Missing required parameter: 'body.model'.", number, "body.model"
        )
    if not isinstance(model, str):
        return LineError("invalid_type", "'body.model' must be a string.", number, "body.model")
    if model not in models:
        return LineError("model_not_found", ModelNotFound(model).message, number, "body.model")
    try:
        others = fallback(body)
    except InvalidRequest as error:
        return LineError(error.code or "invalid_value", error.message, number, f"body.{error.param}")
    for place, name in enumerate(others):
        if name not in models:
            return LineError(
                "model_not_found", f"The model `{name}` does not exist.", number, f"body.fallback[{place}]"
            )
    try:
        raw = dumps(body)
    except ValueError:
        message = "This line holds a number that is out of range."
        return LineError("invalid_json_line", message, number)
    return BatchLine(number, custom_id, model, others, body, raw)


def _custom_id_error(number: int, custom_id: Any) -> LineError | None:
    if not isinstance(custom_id, str):
        return LineError("invalid_type", "'custom_id' must be a string.", number, "custom_id")
    if not custom_id:
        return LineError("invalid_value", "'custom_id' must not be empty.", number, "custom_id")
    if not storable(custom_id):
        message = "'custom_id' must hold neither a NUL character nor half of a surrogate pair."
        return LineError("invalid_value", message, number, "custom_id")
    return None


def storable(text: str) -> bool:
    """Postgres text holds neither NUL nor half a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
