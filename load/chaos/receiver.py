"""A webhook receiver that is ill now and then: one delivery in ten is answered 503, so that it must come again."""

import contextlib
import random
from collections.abc import AsyncIterator

import orjson
from aiohttp import web

_REFUSED = 0.1


class Receiver:
    """What was accepted: (webhook id, event type, object id) of each delivery."""

    def __init__(self, seed: int) -> None:
        self.received: list[tuple[str, str, str]] = []
        self.url = ""
        self._rng = random.Random(seed)

    async def handle(self, request: web.Request) -> web.Response:
        """Take one delivery, or refuse it."""
        event = orjson.loads(await request.read())
        if self._rng.random() < _REFUSED:
            return web.Response(status=503)
        self.received.append((request.headers["webhook-id"], event["type"], event["data"]["id"]))
        return web.Response(status=204)


@contextlib.asynccontextmanager
async def receiving(seed: int) -> AsyncIterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""
    receiver = Receiver(seed)
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield receiver
    finally:
        await runner.cleanup()
