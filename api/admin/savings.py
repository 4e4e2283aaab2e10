"""`/admin/savings`: what was not paid, by tenant and model, as far as Redis remembers."""

from collections import defaultdict
from collections.abc import Mapping

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate_admin
from api.replies import json_reply
from api.services import Services
from penstock.execution import tally
from penstock.execution.tally import Counted

router = APIRouter(prefix="/admin/savings", tags=["admin"])


@router.get("")
async def list_savings(request: Request) -> Response:
    """What caches saved each tenant at each model, in US dollars."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    return json_reply({"object": "list", "data": rows(await tally.read(services.redis))})


def rows(counted: Mapping[Counted, float]) -> list[dict[str, str | float]]:
    """The counts as rows, by tenant and model."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for (name, *labels), amount in counted.items():
        if name in {"cache_saved", "prompt_saved", "prompt_surcharge"} and len(labels) == 2:
            found[labels[1], labels[0]][name] += amount
    return [
        {
            "object": "saving",
            "tenant": tenant,
            "model": model,
            "answers_usd": amounts["cache_saved"],
            "kept_prompts_usd": amounts["prompt_saved"],
            "keeping_prompts_usd": amounts["prompt_surcharge"],
            "total_usd": amounts["cache_saved"] + amounts["prompt_saved"] - amounts["prompt_surcharge"],
        }
        for (tenant, model), amounts in sorted(found.items())
    ]


def by_model(counted: Mapping[Counted, float], name: str) -> dict[str, float]:
    """One kind of count, of all tenants together."""
    found: dict[str, float] = defaultdict(float)
    for (counted_name, *labels), amount in counted.items():
        if counted_name == name:
            found[labels[0]] += amount
    return dict(found)
