"""A provider whose streams tell the time: each delta is the moment at which it was sent, on this machine's clock.

python -m load.timed_provider CHUNKS CHUNKS_PER_SECOND SECONDS_BEFORE_THE_FIRST
"""

import asyncio
import sys
import time

import orjson
from aiohttp import web

from load.serving import serve


def application(chunks: int, per_second: float, wait: float) -> web.Application:
    """OpenAI's chat completions, streamed only."""

    async def stream(request: web.Request) -> web.StreamResponse:
        await request.read()
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(wait)
        for _ in range(chunks):
            await response.write(_frame({"content": f"{time.monotonic():.6f} "}))
            await asyncio.sleep(1 / per_second)
        await response.write(_frame({}, "stop") + b"data: [DONE]\n\n")
        return response

    app = web.Application()
    app.router.add_post("/v1/chat/completions", stream)
    return app


def _frame(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def main() -> None:
    """Serve until killed."""
    chunks, per_second, wait = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    asyncio.run(serve(application(chunks, per_second, wait)))


if __name__ == "__main__":
    main()
