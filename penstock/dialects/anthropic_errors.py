"""Errors as Anthropic's clients expect them (contract §1.5, §11)."""

from typing import Any

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def envelope(error: dict[str, Any], request_id: str | None = None) -> dict[str, Any]:
    """The body of an error response, from an error of the form of `errors.error_to_json`.

    The envelope has no place for the name of a field: a message that does not name it is led by it.
    """
    message, param, code = error["message"] or error["type"], error["param"], error["code"]
    if param is not None and str(param) not in message:
        message = f"{param}: {message}"
    shown: dict[str, Any] = {"type": error_type(error["status"]), "message": message}
    if code is not None:
        shown["details"] = {"error_code": str(code)}
    return {"type": "error", "error": shown, "request_id": request_id}


def error_type(status: int) -> str:
    """The vendor's word for a status."""
    return _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
