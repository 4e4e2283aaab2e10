"""Errors as OpenAI's clients expect them (contract §1.5)."""

from typing import Any


def envelope(error: dict[str, Any]) -> dict[str, Any]:
    """The body of an error response, from an error of the form of `errors.error_to_json`.

    All four keys are always there; `param` and `code` are strings or null, whatever a provider put into them.
    """
    code = _text(error["code"])
    return {
        "error": {
            "message": error["message"] or error["type"],
            "type": _type(error["status"], code),
            "param": _text(error["param"]),
            "code": code,
        }
    }


def _type(status: int, code: str | None) -> str:
    if status >= 500:
        return "server_error"
    if status == 429:
        return "insufficient_quota" if code == "insufficient_quota" else "rate_limit_error"
    return "invalid_request_error"


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
