"""A service that Penstock asks over HTTP for a judgement."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


@asynccontextmanager
async def answering(answer: Any) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Its address and what it was asked, each with its `token`.

    It answers with `answer`: a float after so many seconds, an int as a status, text as it is, anything else as JSON.
    """
    asked: list[dict[str, Any]] = []

    async def judge(request: web.Request) -> web.Response:
        asked.append({**json.loads(await request.text()), "token": request.headers.get("authorization")})
        if isinstance(answer, float):
            await asyncio.sleep(answer)
        if isinstance(answer, int):
            return web.Response(status=answer)
        return web.Response(text=answer if isinstance(answer, str) else json.dumps(answer))

    app = web.Application()
    app.router.add_post("/check", judge)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/check", asked
    finally:
        await runner.cleanup()
