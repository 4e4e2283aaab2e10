"""Checks of an answer's form: valid JSON of a schema, a regular expression, code that compiles. 1 holds, 0 does not.

Code is only compiled, never run. Running given tests needs a sandbox, which is not here.
"""

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

_FENCED = re.compile(r"```(?:[\w+-]*)\n(.*?)```", re.DOTALL)
_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def matches(pattern: re.Pattern[str], answer: str) -> float:
    """Whether the whole answer, without white space around it, matches."""
    return float(pattern.fullmatch(answer.strip()) is not None)


def compiles(answer: str) -> float:
    """Whether all Python code in the answer (in fences, or the whole) can be parsed."""
    blocks = _FENCED.findall(answer) or [answer]
    try:
        for block in blocks:
            ast.parse(block)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return 0.0
    return 1.0


def fits_schema(schema: Mapping[str, Any], answer: str) -> float:
    """Whether the answer, fenced or not, is JSON that fits.

    The keywords of structured outputs are checked: type, enum, const, properties, required, additionalProperties (true
    or false), items, minItems, maxItems, minimum, maximum, anyOf. Others are not known here and hold.
    """
    fenced = _FENCED.findall(answer)
    try:
        value = json.loads(fenced[-1] if fenced else answer)
    except (ValueError, RecursionError):
        return 0.0
    return float(_fits(schema, value))


def _fits(schema: Mapping[str, Any], value: Any) -> bool:
    if "anyOf" in schema and not any(_fits(option, value) for option in schema["anyOf"]):
        return False
    kinds = schema.get("type", list(_TYPES))
    if not any(_is(kind, value) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if "enum" in schema and not any(_same(item, value) for item in schema["enum"]):
        return False
    if "const" in schema and not _same(schema["const"], value):
        return False
    if isinstance(value, dict):
        return _fits_object(schema, value)
    if isinstance(value, list):
        size = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
        return size and all(_fits(schema.get("items", {}), item) for item in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return True


def _fits_object(schema: Mapping[str, Any], value: dict[str, Any]) -> bool:
    known = schema.get("properties", {})
    if not set(schema.get("required", ())) <= value.keys():
        return False
    if schema.get("additionalProperties", True) is False and not value.keys() <= known.keys():
        return False
    return all(_fits(known[name], item) for name, item in value.items() if name in known)


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(kind, object))


def _same(first: Any, second: Any) -> bool:
    return bool(first == second) and isinstance(first, bool) == isinstance(second, bool)
