"""How answers leave: JSON in ASCII, server-sent events with their headers."""

from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import Response, StreamingResponse

from penstock.completion.encoding import dumps


def json_reply(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(dumps(value), status_code=status, headers=headers, media_type="application/json")


def event_stream(frames: AsyncIterator[bytes]) -> StreamingResponse:
    """A stream of server-sent events, which no proxy on the way should hold back."""
    return StreamingResponse(
        frames,
        media_type="text/event-stream",
        headers={"cache-control": "no-cache", "x-accel-buffering": "no"},
    )
