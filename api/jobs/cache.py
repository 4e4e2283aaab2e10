"""`/v1/cache/invalidate`: a tenant's cached answers, of the exact and the semantic cache, that are served no more."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate
from api.bodies import json_object
from api.replies import json_reply
from api.services import Services
from penstock.cache.policy import TAG
from penstock.dialects.fields import wrong_value
from penstock.errors import InvalidRequest
from penstock.store import cache_marks
from penstock.store.cache_marks import Scope

router = APIRouter(prefix="/v1/cache", tags=["cache"])

MODEL_CHARACTERS = 256
#: ten years
LONGEST_SECONDS = 315_360_000


@router.post("/invalidate")
async def invalidate(request: Request) -> Response:
    """Serve no cached answer of this tenant any more that has the tag, is of the model and is so old."""
    principal = await authenticate(request)
    services: Services = request.app.state.services
    return json_reply(await invalidated(services, principal.tenant_id, await json_object(request)))


async def invalidated(services: Services, tenant_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Invalidate what a body names, of a tenant (empty: of all), and tell what that did.

    Raises:
        InvalidRequest: a field is wrong; or none is there, and nothing says that all is meant.
    """
    scope = Scope(tenant_id, _model(body) or "", _tag(body) or "")
    older_than = _older_than(body)
    if not scope.model and not scope.tag and older_than is None and body.get("all") is not True:
        message = "Name a tag, a model or older_than_seconds; or say that all is meant: 'all' true."
        raise InvalidRequest(message, param="all", code="missing_required_parameter")
    done = await cache_marks.invalidate(services.database, scope, older_than=older_than or 0.0)
    return {
        "object": "cache.invalidation",
        "tenant": tenant_id or None,
        "model": scope.model or None,
        "tag": scope.tag or None,
        "before": done.before,
        "semantic_removed": done.removed,
    }


def _model(body: dict[str, Any]) -> str | None:
    model = body.get("model")
    if model is None:
        return None
    if not isinstance(model, str) or not 0 < len(model) <= MODEL_CHARACTERS or not model.isprintable():
        raise wrong_value("model", "it is not the name of a model or route.")
    return model


def _tag(body: dict[str, Any]) -> str | None:
    tag = body.get("tag")
    if tag is None:
        return None
    if not isinstance(tag, str) or not TAG.fullmatch(tag):
        raise wrong_value("tag", "a tag is 1 to 64 letters, digits, '-', '_', '.', ':' or '/'.")
    return tag


def _older_than(body: dict[str, Any]) -> float | None:
    seconds = body.get("older_than_seconds")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= LONGEST_SECONDS:
        raise wrong_value("older_than_seconds", f"it must be a number from 0 to {LONGEST_SECONDS}.")
    return float(seconds)
