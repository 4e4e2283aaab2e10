"""A JSON value that fits a JSON schema, for structured outputs and for the arguments of tools."""

from collections.abc import Iterator
from typing import Any

_DEEPEST = 20


def instance(schema: dict[str, Any], words: Iterator[str]) -> Any:
    """A value that fits the schema's types, enums, bounds and required properties; strings take words in turn.

    A schema that refers to itself is cut off with null at a depth no real answer has.
    """
    return _value(schema, schema, words, 0)


def _value(schema: Any, root: dict[str, Any], words: Iterator[str], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return None
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if schema.get(key):
            return _value(schema[key][0], root, words, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: _value(inner, root, words, depth + 1) for name, inner in properties.items()}
    if kind == "array":
        size = max(1, int(schema.get("minItems", 1)))
        return [_value(schema.get("items", {}), root, words, depth + 1) for _ in range(size)]
    return _scalar(kind, schema, words)


def _scalar(kind: str, schema: dict[str, Any], words: Iterator[str]) -> Any:
    if kind in {"integer", "number"}:
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        return min(max(low, 1), schema.get("maximum", max(low, 1)))
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    text = next(words)
    while len(text) < schema.get("minLength", 0):
        text += " " + next(words)
    return text[: schema.get("maxLength", len(text))]


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    for _ in range(_DEEPEST):
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        found: Any = root
        for step in reference.removeprefix("#").strip("/").split("/"):
            found = found.get(step) if isinstance(found, dict) and step else found
        if not isinstance(found, dict):
            return {}
        schema = found
    return {}
