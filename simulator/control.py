"""The simulator's own routes, for whoever steers it: what it has seen, and what it does wrong.

    GET  /_sim/stats            the ledger, and what is left of each limit; `?detail=1` adds every request
    GET  /_sim/faults           the faults in force
    POST /_sim/faults           change some of them, e.g. {"error_rate": 0.1} or {"outage": true, "outage_seconds": 5}
    POST /_sim/reset            forget everything, fill the buckets, undo changed faults

They need no key: a simulator is a tool on one's own machine.
"""

import orjson
from aiohttp import web

from simulator.calls import Provider


def routes(provider: Provider) -> list[web.RouteDef]:
    """The control routes of one provider."""

    async def stats(request: web.Request) -> web.Response:
        seen = provider.ledger.to_json(detail=request.query.get("detail", "0") not in {"", "0", "false"})
        return _json(seen | {"left": {bucket.name: bucket.remaining for bucket in provider.quota.state()}})

    async def show_faults(_: web.Request) -> web.Response:
        return _json(provider.faults.to_json())

    async def change_faults(request: web.Request) -> web.Response:
        try:
            changes = orjson.loads(await request.read())
            if not isinstance(changes, dict):
                return _json({"error": "the body must be a JSON object"}, 400)
            provider.faults = provider.faults.changed(changes)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        return _json(provider.faults.to_json())

    async def reset(_: web.Request) -> web.Response:
        provider.reset()
        return _json({"reset": True})

    return [
        web.get("/_sim/stats", stats),
        web.get("/_sim/faults", show_faults),
        web.post("/_sim/faults", change_faults),
        web.post("/_sim/reset", reset),
    ]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
