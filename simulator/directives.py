"""Orders to the simulator, written into the last user message.

[[echo: TEXT]]          answer exactly TEXT
[[tokens: N]]           answer N words, each one token
[[tool: NAME {…}]]      call the tool NAME with these arguments; may be repeated
[[error: STATUS]]       always fail with this HTTP status; `[[error: STATUS CODE]]` names the vendor's code too
[[fail: K]]             fail K times for this exact request, then succeed; `[[fail: K STATUS]]` says how (500)
[[delay: MS]]           answer after so many milliseconds
[[hang]]                never answer
[[reset]]               drop the connection instead of answering
[[cut]]                 drop the connection half-way through the answer
[[stall]]               stop half-way through a stream and keep the connection
[[error-frame]]         send an error half-way through a stream
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Any

_DIRECTIVE = re.compile(r"\[\[([a-z-]+)(?::\s?(.*?))?\]\](?!\])", re.DOTALL)
_TOOL = re.compile(r"\[\[tool:\s*([\w.-]+)\s*")
_FLAGS = frozenset({"hang", "reset", "cut", "stall", "error-frame"})


@dataclass(frozen=True, slots=True)
class Directives:
    """The orders found in one message; the default is none."""

    echo: str | None = None
    tokens: int | None = None
    tools: tuple[tuple[str, str], ...] = ()
    error: int | None = None
    error_code: str | None = None
    fail: int = 0
    fail_status: int = 500
    delay_ms: float | None = None
    flags: frozenset[str] = frozenset()


NONE = Directives()


def parse(message: str) -> Directives:
    """The directives in a message. Double brackets around any other word are plain text.

    Raises:
        ValueError: a known directive whose value cannot be used.
    """
    if "[[" not in message:
        return NONE
    tools = tuple((match[1], _arguments(message, match.end())) for match in _TOOL.finditer(message))
    orders = _DIRECTIVE.findall(message)
    found = Directives(tools=tools, flags=frozenset(name for name, _ in orders) & _FLAGS)
    for name, value in orders:
        found = replace(found, **_fields(name, value))
    return found


def _fields(name: str, value: str) -> dict[str, Any]:
    """The fields that one directive with a value sets."""
    if name == "echo":
        return {"echo": value}
    if name == "tokens":
        return {"tokens": int(_number(name, value))}
    if name == "delay":
        return {"delay_ms": _number(name, value)}
    if name == "error":
        status, _, code = value.partition(" ")
        return {"error": _status(name, status), "error_code": code.strip() or None}
    if name == "fail":
        times, _, status = value.partition(" ")
        return {"fail": int(_number(name, times)), "fail_status": _status(name, status) if status else 500}
    return {}


def _arguments(message: str, at: int) -> str:
    if message.startswith("]]", at):
        return "{}"
    if not message.startswith("{", at):
        raise ValueError("[[tool: NAME {…}]] needs a JSON object")
    try:
        _, end = json.JSONDecoder().raw_decode(message, at)
    except ValueError as error:
        raise ValueError("[[tool: NAME {…}]] needs a JSON object") from error
    return message[at:end]


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"[[{name}: …]] needs a number, not {value!r}") from None
    if not 0 <= number <= 1_000_000:
        raise ValueError(f"[[{name}: …]] must be between 0 and 1000000")
    return number


def _status(name: str, value: str) -> int:
    status = int(_number(name, value))
    if not 400 <= status <= 599:
        raise ValueError(f"[[{name}: …]] needs an HTTP status from 400 to 599")
    return status
