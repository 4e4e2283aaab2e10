"""How requests are read: a JSON object, or a clear 400."""

from typing import Any

from fastapi import Request

from penstock.completion.encoding import loads_input
from penstock.errors import InvalidRequest, PayloadTooLarge

#: a single request may carry pictures, but not a data set
MAX_BODY_BYTES = 64 * 1024 * 1024


async def json_object(request: Request) -> dict[str, Any]:
    """The body of a request.

    Raises:
        InvalidRequest: it is not a JSON object.
        PayloadTooLarge: it is larger than `MAX_BODY_BYTES`.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BODY_BYTES:
            raise PayloadTooLarge(f"The request is larger than the limit of {MAX_BODY_BYTES} bytes.")
    try:
        value = loads_input(bytes(data))
    except ValueError:
        raise InvalidRequest("We could not parse the JSON body of your request.") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The JSON body of your request must be an object.")
    return value


def query_integer(request: Request, name: str, default: int | None, *, low: int, high: int) -> int | None:
    """An integer of the query string.

    Raises:
        InvalidRequest: it is not an integer, or outside `low` to `high`.
    """
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        raise InvalidRequest(f"'{name}' must be an integer.", param=name, code="invalid_type") from None
    if not low <= value <= high:
        raise InvalidRequest(f"'{name}' must be between {low} and {high}.", param=name, code="invalid_value")
    return value
