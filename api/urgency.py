"""How soon work is wanted: its priority among its tenant's work, and the window after which it is of no more use.

Both are Penstock's own. A priority is a number from -100 to 100; the lowest goes first, as with `nice` and in vLLM. It
is a field of the body where the body is ours to extend, and the header `Penstock-Priority` where it is a vendor's.
"""

import re
from typing import Any

from fastapi import Request

from penstock.errors import InvalidRequest

HEADER = "Penstock-Priority"
LOWEST, HIGHEST = -100, 100
#: the longest window, in hours: two weeks
MAX_HOURS = 336

_INTEGER = re.compile("-?[0-9]{1,3}")
_HOURS = re.compile("([1-9][0-9]{0,2})h")


def priority_of(request: Request, body: dict[str, Any] | None = None) -> int:
    """The priority of a request: in its body, else in its header, else 0.

    Raises:
        InvalidRequest: it is not an integer from -100 to 100.
    """
    value, param = (body or {}).get("priority"), "priority"
    if value is None and (text := request.headers.get(HEADER, "").strip()):
        value, param = int(text) if _INTEGER.fullmatch(text) else text, HEADER
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest(f"'{param}' must be an integer.", param=param, code="invalid_type")
    if not LOWEST <= value <= HIGHEST:
        message = f"'{param}' must be from {LOWEST} (first) to {HIGHEST} (last)."
        raise InvalidRequest(message, param=param, code="invalid_value")
    return value


def window_seconds(text: Any, param: str = "completion_window") -> int:
    """A completion window in seconds; `24h` and any other whole number of hours.

    Raises:
        InvalidRequest: it is none.
    """
    found = _HOURS.fullmatch(text) if isinstance(text, str) else None
    if found is None or int(found[1]) > MAX_HOURS:
        message = f"'{text}' is not supported; use 24h, or another number of hours from 1h to {MAX_HOURS}h."
        raise InvalidRequest(message, param=param, code="invalid_value")
    return int(found[1]) * 3600


def window_name(seconds: int) -> str:
    """The inverse of `window_seconds`."""
    return f"{seconds // 3600}h"
