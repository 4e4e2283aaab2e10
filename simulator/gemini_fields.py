"""Reading the requests of Google's Gemini API: which fields there are, and what they may hold."""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from simulator import fields
from simulator.refusal import RefusalError

_TOP = {
    "cachedContent",
    "contents",
    "generationConfig",
    "model",
    "safetySettings",
    "serviceTier",
    "store",
    "systemInstruction",
    "toolConfig",
    "tools",
}
_CONFIG = {
    "candidateCount",
    "enableEnhancedCivicAnswers",
    "frequencyPenalty",
    "imageConfig",
    "logprobs",
    "maxOutputTokens",
    "mediaResolution",
    "presencePenalty",
    "responseJsonSchema",
    "responseLogprobs",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "seed",
    "speechConfig",
    "stopSequences",
    "temperature",
    "thinkingConfig",
    "topK",
    "topP",
}
_THINKING = {"includeThoughts", "thinkingBudget", "thinkingLevel"}
_FUNCTION = {"name", "description", "parameters", "parametersJsonSchema", "response", "responseJsonSchema", "behavior"}
_LEVELS = {"MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"}
_MEDIA_TYPES = {"text/plain", "application/json", "text/x.enum"}


def message(body: dict[str, Any], names: set[str], where: str = "") -> dict[str, Any]:
    """The object with its fields named as documented: Protobuf's JSON takes names with underscores too.

    Raises:
        RefusalError: 400 for a field that the format does not have, as the vendor does; so from every function here.
    """
    found = {}
    for name, value in body.items():
        first, *rest = name.split("_")
        documented = first + "".join(word.capitalize() for word in rest)
        if documented not in names:
            at = f" at '{where}'" if where else ""
            text = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
            raise RefusalError(400, text, param=name)
        found[documented] = value
    return found


def request_of(data: bytes) -> dict[str, Any]:
    """A request to generate content, with its generation config checked."""
    body = message(fields.body_of(data), _TOP)
    return body | {"generationConfig": _config(fields.mapping(body, "generationConfig") or {})}


def _config(given: dict[str, Any]) -> dict[str, Any]:
    """Most of it has no effect on a simulated answer."""
    config = message(given, _CONFIG, "generation_config")
    fields.number(config, "temperature", 0, 2)
    fields.number(config, "topP", 0, 1)
    fields.number(config, "presencePenalty", -2, 2)
    fields.number(config, "frequencyPenalty", -2, 2)
    fields.integer(config, "topK", 1)
    fields.integer(config, "seed", -(2**31), 2**31 - 1)
    if fields.integer(config, "logprobs", 0, 20) is not None and not fields.boolean(config, "responseLogprobs"):
        raise fields.wrong("generation_config.logprobs", "response_logprobs to be true")
    schemas = [name for name in ("responseSchema", "responseJsonSchema") if config.get(name) is not None]
    media_type = fields.maybe_string(config, "responseMimeType") or "text/plain"
    if media_type not in _MEDIA_TYPES:
        raise fields.wrong("generation_config.response_mime_type", "an allowed mimetype")
    if len(schemas) > 1 or (schemas and media_type != "application/json"):
        raise fields.wrong("generation_config", "one schema, with the response mime type `application/json`")
    return config | {"thinkingConfig": _thinking(fields.mapping(config, "thinkingConfig") or {})}


def _thinking(given: dict[str, Any]) -> dict[str, Any]:
    thinking = message(given, _THINKING, "generation_config.thinking_config")
    fields.boolean(thinking, "includeThoughts")
    budget, level = fields.integer(thinking, "thinkingBudget", -1), fields.maybe_string(thinking, "thinkingLevel")
    if budget is not None and level is not None:
        raise RefusalError(400, "You can only set only one of thinking budget and thinking level.")
    if level is not None and level.upper() not in _LEVELS:
        raise fields.wrong("generation_config.thinking_config.thinking_level", "a thinking level")
    return thinking


def declarations(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and parameter schemas of the functions; the vendor's own tools have none."""
    for index, given in enumerate(fields.objects(body, "tools")):
        listed = given.get("functionDeclarations", given.get("function_declarations"))
        for function in fields.objects({"tools": listed}, "tools"):
            declared = message(function, _FUNCTION, f"tools[{index}].function_declarations")
            own, standard = fields.mapping(declared, "parameters"), fields.mapping(declared, "parametersJsonSchema")
            if own is not None and standard is not None:
                raise RefusalError(400, "Only one of parameters and parameters_json_schema may be set.")
            yield fields.string(declared, "name"), standard or as_json_schema(own or {})


def as_json_schema(schema: Any) -> Any:
    """The vendor's own kind of schema, whose types are in capitals, as JSON schema."""
    if isinstance(schema, list):
        return [as_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: value.lower() if name == "type" and isinstance(value, str) else as_json_schema(value)
        for name, value in schema.items()
    }


def check_base64(body: dict[str, Any], name: str, where: str) -> None:
    """Check a field of bytes; both alphabets are taken, with and without padding."""
    text = re.sub("=+$", "", fields.string(body, name)).translate({ord("-"): "+", ord("_"): "/"})
    try:
        b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        shown = f"Invalid value at '{where}' (TYPE_BYTES), Base64 decoding failed"
        raise RefusalError(400, shown, param=name) from error
