"""How a provider of a bench serves when `load.simulated.started` runs it."""

import asyncio

from aiohttp import web


async def serve(app: web.Application) -> None:
    """Serve on a free port until killed, and print the address."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(f"listening on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()
