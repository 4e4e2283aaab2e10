"""Reading the conversations of Google's Gemini API."""

import re
from typing import Any

import orjson

from simulator import fields, gemini_fields
from simulator.question import Transcript
from simulator.refusal import RefusalError

#: what a picture counts for, in tokens
IMAGE_TOKENS = 258
_KINDS = {"text", "inlineData", "fileData", "functionCall", "functionResponse"}
#: the generations that do not ask for the seals of calls
_EARLIER = re.compile(r"gemini-[12]\.")


def read_contents(body: dict[str, Any], model: str, transcript: Transcript) -> bool:
    """Read the conversation; whether it ends with the results of tools.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    system = fields.mapping(body, "systemInstruction")
    if system is not None:
        text = _text(_parts(system, "system_instruction"), "system_instruction", transcript)
        transcript.add("system", text)
    if not body.get("contents"):
        raise RefusalError(400, "* GenerateContentRequest.contents: contents is not specified", param="contents")
    turns = []
    calls = 0
    for index, content in enumerate(fields.objects(body, "contents")):
        where = f"contents[{index}]"
        role = content.get("role", "user")
        if role not in {"user", "model"}:
            raise RefusalError(400, "Please use a valid role: user, model.", param=f"{where}.role")
        parts = _parts(content, where)
        results = len([part for part in parts if "functionResponse" in part])
        if results != calls:
            raise RefusalError(
                400,
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn.",
            )
        calls = len([part for part in parts if "functionCall" in part])
        transcript.add("tool" if results else role, _text(parts, where, transcript))
        turns.append((role, parts))
    if not _EARLIER.match(model):
        _check_seals(turns)
    return transcript.last_role == "tool"


def _check_seals(turns: list[tuple[str, list[dict[str, Any]]]]) -> None:
    """The first call of each step since the user last said something comes with its thought signature."""
    for index, (role, parts) in reversed(list(enumerate(turns))):
        if role == "model":
            first = next((part for part in parts if "functionCall" in part), None)
            if first is not None and "thoughtSignature" not in first:
                raise RefusalError(
                    400,
                    "Function call is missing a thought_signature in functionCall parts. Additional data, function "
                    f"call `{first['functionCall']['name']}`, position {index}.",
                )
        elif not any("functionResponse" in part for part in parts):
            return


def _parts(content: dict[str, Any], where: str) -> list[dict[str, Any]]:
    content = gemini_fields.message(content, {"parts", "role"}, where)
    parts = fields.objects(content, "parts")
    if not parts:
        raise RefusalError(400, f"* {where}.parts: contents.parts must not be empty.", param=f"{where}.parts")
    known = _KINDS | {"thought", "thoughtSignature"}
    return [gemini_fields.message(part, known, f"{where}.parts") for part in parts]


def _text(parts: list[dict[str, Any]], where: str, transcript: Transcript) -> str:
    return "".join(_part(part, f"{where}.parts[{index}]", transcript) for index, part in enumerate(parts))


def _part(part: dict[str, Any], where: str, transcript: Transcript) -> str:
    kinds = [name for name in part if name in _KINDS]
    if len(kinds) != 1:
        raise RefusalError(400, f"* {where}.data: required oneof field 'data' must have one initialized field")
    if part.get("thoughtSignature") is not None:
        gemini_fields.check_base64(part, "thoughtSignature", where)
    kind = kinds[0]
    if kind == "text":
        text = fields.maybe_string(part, "text") or ""
        return "" if part.get("thought") else text
    inner = fields.mapping(part, kind) or {}
    if kind == "functionResponse":
        return _function_response(inner, where, transcript)
    if kind == "functionCall":
        called = gemini_fields.message(inner, {"id", "name", "args"}, f"{where}.function_call")
        return fields.string(called, "name") + orjson.dumps(fields.mapping(called, "args") or {}).decode()
    if kind == "inlineData":
        _check_blob(inner, where)
    else:
        fields.string(gemini_fields.message(inner, {"fileUri", "mimeType"}, where), "fileUri")
    transcript.weigh(IMAGE_TOKENS)
    return ""


def _check_blob(given: dict[str, Any], where: str) -> None:
    blob = gemini_fields.message(given, {"mimeType", "data"}, where)
    fields.string(blob, "mimeType")
    gemini_fields.check_base64(blob, "data", where)


def _function_response(given: dict[str, Any], where: str, transcript: Transcript) -> str:
    known = {"id", "name", "response", "parts", "scheduling", "willContinue"}
    inner = gemini_fields.message(given, known, f"{where}.function_response")
    fields.string(inner, "name")
    response = fields.mapping(inner, "response")
    if response is None:
        raise fields.missing(f"{where}.function_response.response")
    for media in fields.objects(inner, "parts"):
        part = gemini_fields.message(media, {"inlineData"}, f"{where}.function_response.parts")
        _check_blob(fields.mapping(part, "inlineData") or {}, where)
        transcript.weigh(IMAGE_TOKENS)
    said = response.get("output", response.get("error", response))
    return said if isinstance(said, str) else orjson.dumps(said).decode()
