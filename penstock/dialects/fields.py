"""Reading single fields of a request body: the value, None where it was left out or null, or a clear 400.

Flat checks by hand: a small request must be read in some ten microseconds.
"""

import re
from typing import Any

from penstock.errors import InvalidRequest

_INT64 = 2**63 - 1
_FALLBACKS = 8
_MOST_DOLLARS = 1e6
_TAG = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_METADATA_PAIRS, _METADATA_KEY, _METADATA_VALUE = 16, 64, 512


def missing(param: str) -> InvalidRequest:
    """The error for a required field that is not there."""
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def wrong_type(param: str, expected: str) -> InvalidRequest:
    """The error for a value of the wrong JSON type; `expected` is a noun with its article."""
    return InvalidRequest(f"Invalid type for '{param}': expected {expected}.", param=param, code="invalid_type")


def wrong_value(param: str, message: str) -> InvalidRequest:
    """The error for a value of the right type that cannot be used."""
    return InvalidRequest(f"Invalid value for '{param}': {message}", param=param, code="invalid_value")


def required(body: dict[str, Any], name: str, at: str = "") -> Any:
    """A field that must be there. `at` is the path of `body` itself, with its dot.

    Raises:
        InvalidRequest: it is missing or null.
    """
    value = body.get(name)
    if value is None:
        raise missing(at + name)
    return value


def required_string(body: dict[str, Any], name: str, at: str = "", *, empty: bool = False) -> str:
    """A string that must be there, and must not be empty unless `empty`.

    Raises:
        InvalidRequest: it is not.
    """
    value = required(body, name, at)
    if not isinstance(value, str):
        raise wrong_type(at + name, "a string")
    if not value and not empty:
        raise wrong_value(at + name, "it is empty.")
    return value


def string(body: dict[str, Any], name: str, at: str = "") -> str | None:
    """An optional string.

    Raises:
        InvalidRequest: it is something else.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise wrong_type(at + name, "a string")
    return value


def word(body: dict[str, Any], name: str, allowed: tuple[str, ...], at: str = "") -> str | None:
    """An optional string out of a few.

    Raises:
        InvalidRequest: it is none of them.
    """
    value = string(body, name, at)
    if value is not None and value not in allowed:
        raise wrong_value(at + name, f"use one of {', '.join(allowed)}.")
    return value


def boolean(body: dict[str, Any], name: str, at: str = "") -> bool | None:
    """An optional boolean.

    Raises:
        InvalidRequest: it is something else.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong_type(at + name, "a boolean")
    return value


def number(body: dict[str, Any], name: str, low: float, high: float) -> float | None:
    """An optional number from `low` to `high`.

    Raises:
        InvalidRequest: it is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    # True is an int to Python, but not a number to JSON
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise wrong_type(name, "a number")
    if not low <= value <= high:
        raise wrong_value(name, f"it must be from {low:g} to {high:g}.")
    return value


def integer(body: dict[str, Any], name: str, low: int = -_INT64 - 1, high: int = _INT64, at: str = "") -> int | None:
    """An optional integer from `low` to `high`.

    Raises:
        InvalidRequest: it is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(at + name, "an integer")
    if not low <= value <= high:
        if high == _INT64:
            raise wrong_value(at + name, f"it must be at least {low}." if low >= 0 else "it is out of range.")
        raise wrong_value(at + name, f"it must be from {low} to {high}.")
    return value


def array(body: dict[str, Any], name: str, at: str = "") -> list[Any] | None:
    """An optional array.

    Raises:
        InvalidRequest: it is something else.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, list):
        raise wrong_type(at + name, "an array")
    return value


def mapping(body: dict[str, Any], name: str, at: str = "") -> dict[str, Any] | None:
    """An optional object.

    Raises:
        InvalidRequest: it is something else.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        raise wrong_type(at + name, "an object")
    return value


def as_mapping(value: Any, param: str) -> dict[str, Any]:
    """A value, found at `param`, that must be an object.

    Raises:
        InvalidRequest: it is not.
    """
    if not isinstance(value, dict):
        raise wrong_type(param, "an object")
    return value


def fallback(body: dict[str, Any]) -> tuple[str, ...]:
    """`fallback`, this service's own field: the models to ask, in this order, when the one asked for fails.

    Raises:
        InvalidRequest: it is not an array of a few names.
    """
    names = array(body, "fallback") or []
    if len(names) > _FALLBACKS:
        raise wrong_value("fallback", f"it names more than {_FALLBACKS} models.")
    for place, name in enumerate(names):
        if not isinstance(name, str):
            raise wrong_type(f"fallback[{place}]", "a string")
    return tuple(names)


def residency(body: dict[str, Any]) -> str | None:
    """`residency`, this service's own field: the tag of where the data of the request must stay.

    Raises:
        InvalidRequest: it is not a word.
    """
    value = string(body, "residency")
    if value is not None and not _TAG.fullmatch(value):
        raise wrong_value("residency", "a tag is 1 to 64 letters, digits, '_', '.' or '-'.")
    return value


def kept_in(body: dict[str, Any], demanded: str | None) -> dict[str, Any]:
    """The body of a request whose data must stay at the tag `demanded`, so that it says so itself; None: anywhere.

    Raises:
        InvalidRequest: it names another place.
    """
    if demanded is None:
        return body
    if residency(body) not in (None, demanded):
        raise wrong_value("residency", f"the data of this API key must stay in {demanded}.")
    return {**body, "residency": demanded}


def max_cost(body: dict[str, Any]) -> float | None:
    """`max_cost`, this service's own field: US dollars that the request may cost.

    Raises:
        InvalidRequest: it is no amount above 0.
    """
    value = number(body, "max_cost", 0, _MOST_DOLLARS)
    if value == 0:
        raise wrong_value("max_cost", "it must be above 0.")
    return value


def check_metadata(body: dict[str, Any]) -> None:
    """Check `metadata`: up to 16 pairs of short strings (contract §1.8).

    Raises:
        InvalidRequest: it is not that.
    """
    value = mapping(body, "metadata")
    if not value:
        return
    if len(value) > _METADATA_PAIRS:
        raise wrong_value("metadata", f"it has more than {_METADATA_PAIRS} pairs.")
    for key, text in value.items():
        if not isinstance(text, str):
            raise wrong_type("metadata", "an object whose values are strings")
        if len(key) > _METADATA_KEY or len(text) > _METADATA_VALUE:
            raise wrong_value("metadata", f"keys hold {_METADATA_KEY} characters, values {_METADATA_VALUE}.")
