"""`/admin/workers`: who is at work."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate_admin
from api.replies import json_reply
from api.services import Services
from penstock.ids import public_id
from penstock.store import workers

router = APIRouter(prefix="/admin", tags=["admin"])


@router.get("/workers")
async def list_workers(request: Request) -> Response:
    """Worker processes that have not stopped, with their last heartbeat."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    rows = await workers.living(services.database)
    data = [
        {
            "id": public_id("worker_", row.id),
            "object": "worker",
            "lane": row.lane,
            "host": row.host,
            "pid": row.pid,
            "started_at": int(row.started_at.timestamp()),
            "beat_at": int(row.beat_at.timestamp()),
        }
        for row in rows
    ]
    return json_reply({"object": "list", "data": data})
