"""Reading request bodies strictly: a vendor refuses what it does not understand, and so does its simulator."""

from typing import Any

import orjson

from simulator.refusal import RefusalError


def missing(name: str) -> RefusalError:
    """A required field is not there."""
    return RefusalError(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)


def wrong(name: str, expected: str) -> RefusalError:
    """A field has the wrong type or value."""
    return RefusalError(400, f"Invalid value for '{name}': expected {expected}.", code="invalid_value", param=name)


def body_of(data: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        RefusalError: 400, as from every function here.
    """
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise RefusalError(400, f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(body, dict):
        raise RefusalError(400, "The body of your request is not a JSON object.")
    return body


def string(body: dict[str, Any], name: str) -> str:
    """A required, non-empty string."""
    value = body.get(name)
    if value is None:
        raise missing(name)
    if not isinstance(value, str) or not value:
        raise wrong(name, "a non-empty string")
    return value


def maybe_string(body: dict[str, Any], name: str) -> str | None:
    """An optional string."""
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong(name, "a string")
    return value


def integer(body: dict[str, Any], name: str, low: int, high: int | None = None) -> int | None:
    """An optional integer between two bounds."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong(name, "an integer")
    if value < low or (high is not None and value > high):
        raise wrong(name, f"an integer of at least {low}" + (f" and at most {high}" if high is not None else ""))
    return value


def number(body: dict[str, Any], name: str, low: float, high: float) -> None:
    """Check an optional number that has no effect on a simulated answer."""
    value = body.get(name)
    if value is None:
        return
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise wrong(name, f"a number between {low:g} and {high:g}")


def boolean(body: dict[str, Any], name: str) -> bool:
    """An optional boolean, false when it is absent."""
    value = body.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise wrong(name, "a boolean")
    return value


def objects(body: dict[str, Any], name: str, *, required: bool = False) -> list[dict[str, Any]]:
    """A list of objects; a required one must not be empty."""
    value = body.get(name)
    if value is None:
        if required:
            raise missing(name)
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise wrong(name, "an array of objects")
    if required and not value:
        raise wrong(name, "a non-empty array")
    return value


def mapping(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    """An optional object."""
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise wrong(name, "an object")
    return value


def strings(body: dict[str, Any], name: str, most: int) -> tuple[str, ...]:
    """An optional string or array of at most `most` strings."""
    value = body.get(name)
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong(name, "a string or an array of strings")
    if len(value) > most:
        raise wrong(name, f"at most {most} strings")
    return tuple(value)
