"""A provider that writes down every call: what was asked, when it came, when its answer went out, and to which port.

python -m load.witness MEDIAN_LATENCY_MS

Each answer is one of its own, so two answers to one question can be told apart. GET /calls gives what was written down.
"""

import asyncio
import itertools
import random
import sys
import time
from typing import Any

import orjson
from aiohttp import web

from load.serving import serve


def application(latency: float) -> web.Application:
    """OpenAI's chat completions, not streamed; seconds are log-normal around `latency`."""
    calls: list[dict[str, Any]] = []
    numbers = itertools.count(1)
    chance = random.Random(7)

    async def answer(request: web.Request) -> web.Response:
        address = request.transport.get_extra_info("peername") if request.transport is not None else None
        body = orjson.loads(await request.read())
        call = {
            "asked": body["messages"][-1]["content"],
            "came": time.time(),
            "ended": None,
            "port": address[1] if address else 0,
        }
        calls.append(call)
        await asyncio.sleep(latency * chance.lognormvariate(0, 0.3))
        if request.transport is None or request.transport.is_closing():
            raise web.HTTPRequestTimeout  # nobody is there to read it
        call["ended"] = time.time()
        return web.json_response(_completion(body["model"], f"answer {next(numbers)}"), dumps=_dumps)

    async def show(_: web.Request) -> web.Response:
        return web.json_response(calls, dumps=_dumps)

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_get("/calls", show)
    return app


def _completion(model: str, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-witness",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30},
    }


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


if __name__ == "__main__":
    asyncio.run(serve(application(float(sys.argv[1]) / 1000)))
