"""`/healthz` and `/readyz`: whether the process lives, and whether it can do its work."""

from collections.abc import Awaitable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.replies import json_reply
from api.services import Services
from penstock.errors import Unavailable
from penstock.redis import RedisError
from penstock.store import workers

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> Response:
    """Alive."""
    return json_reply({"status": "ok"})


@router.get("/readyz")
async def readyz(request: Request) -> Response:
    """Ready: database, Redis and broker answer, and each lane has a worker. 503 names what does not.

    A process that was told to stop is not ready from then on, though it serves what comes.
    """
    services: Services = request.app.state.services
    checks = {
        "database": await _check(services.database.ping()),
        "redis": await _check(services.redis.ping()),
        "broker": await _check(services.doorbell.ping()),
    }
    lanes: dict[str, int] = {}
    if checks["database"] == "ok":
        lanes = await workers.present(services.database)
    for lane in ("bulk", "interactive"):
        checks[f"{lane} worker"] = "ok" if lanes.get(lane) else "none present"
    if getattr(request.app.state, "leaving", False):
        checks["process"] = "stopping"
    ready = all(state == "ok" for state in checks.values())
    return json_reply({"status": "ok" if ready else "not ready", "checks": checks}, status=200 if ready else 503)


async def _check(question: Awaitable[object]) -> str:
    try:
        await question
    except (Unavailable, RedisError, OSError) as error:
        return f"unreachable ({type(error).__name__})"
    return "ok"
