"""`/admin/routes`: the learnt policies of routes, in versions, and whether they still hold."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.auth import authenticate_admin
from api.bodies import json_object, query_integer
from api.replies import json_reply
from api.services import Services
from penstock.configuration import RouteConfig
from penstock.dialects.fields import missing, wrong_type, wrong_value
from penstock.errors import ConfigError, NotFound
from penstock.routing.learnt import LearntPolicy
from penstock.routing.watch import RouteStatus, status
from penstock.store import artefacts
from penstock.store.artefacts import ArtefactRow

router = APIRouter(prefix="/admin/routes", tags=["admin"])

#: hours that a status looks back at
HOURS = 72
_MOST_HOURS = 24 * 90
_LONGEST_NOTE = 1000


@router.get("")
async def list_routes(request: Request) -> Response:
    """The routes of the configuration, with the version of the learnt policy that each uses now."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    return json_reply({"object": "list", "data": [_route(services, name) for name in services.settings.config.routes]})


@router.get("/{route}")
async def retrieve(request: Request, route: str) -> Response:
    """One route."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    _configured(services, route)
    return json_reply(_route(services, route))


@router.get("/{route}/artefacts")
async def list_artefacts(request: Request, route: str) -> Response:
    """Every version of a route's learnt policy, the newest first, with what its calibration reported."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    _configured(services, route)
    rows = await artefacts.versions(services.database, route)
    return json_reply({"object": "list", "data": [_artefact(row) for row in rows]})


@router.post("/{route}/artefacts")
async def create_artefact(request: Request, route: str) -> Response:
    """Store a new version of a route's learnt policy; with `activate` it is in use everywhere within seconds."""
    principal = await authenticate_admin(request)
    services: Services = request.app.state.services
    _configured(services, route)
    body = await json_object(request)
    note, activate = body.get("note"), body.get("activate")
    if note is not None and (not isinstance(note, str) or len(note) > _LONGEST_NOTE):
        raise wrong_value("note", f"it is a string of at most {_LONGEST_NOTE} characters.")
    if activate is not None and not isinstance(activate, bool):
        raise wrong_type("activate", "a boolean")
    policy = await _policy(services, route, body)
    version = await artefacts.add(
        services.database,
        route,
        policy.to_json(),
        policy.artefact.report,
        made_by=principal.tenant_id,
        note=note or "",
        activate=activate or False,
    )
    return json_reply(await _version(services, route, version))


@router.post("/{route}/artefacts/{version}/activate")
async def activate_artefact(request: Request, route: str, version: str) -> Response:
    """Go back (or on) to a version."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    _configured(services, route)
    number = _number(version)
    if not await artefacts.activate(services.database, route, number):
        raise _no_version(route, version)
    return json_reply(await _version(services, route, number))


@router.delete("/{route}/artefacts/active")
async def deactivate(request: Request, route: str) -> Response:
    """Let a route work without a learnt policy; its versions stay."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    _configured(services, route)
    await artefacts.activate(services.database, route, None)
    return json_reply({"id": route, "object": "route", "active": None})


@router.get("/{route}/status")
async def retrieve_status(request: Request, route: str) -> Response:
    """Whether what the route is asked, and what becomes of it, is as it was at calibration."""
    await authenticate_admin(request)
    services: Services = request.app.state.services
    _configured(services, route)
    hours = query_integer(request, "hours", HOURS, low=1, high=_MOST_HOURS) or HOURS
    return json_reply(render_status(await status(services.database, services.learnt, route, hours), hours))


def render_status(found: RouteStatus, hours: int) -> dict[str, Any]:
    """A status as the operator sees it."""
    taken = found.shadows
    return {
        "id": found.route,
        "object": "route.status",
        "artefact": found.version,
        "hours": hours,
        **found.drift.to_json(),
        "shadow_samples": {
            "asked": taken.asked,
            "compared": taken.compared,
            "agreed": taken.agreed,
            "cost": float(taken.cost),
        },
    }


def _configured(services: Services, route: str) -> RouteConfig:
    found = services.settings.config.routes.get(route)
    if found is None:
        raise NotFound(f"There is no route '{route}'.")
    return found


def _route(services: Services, name: str) -> dict[str, Any]:
    route, policy = services.settings.config.routes[name], services.learnt.policy(name)
    return {
        "id": name,
        "object": "route",
        "strategy": route.strategy,
        "steps": list(route.steps),
        "accept": route.accept.model_dump(mode="json"),
        "shadow": route.shadow,
        "artefact": policy.version if policy is not None else None,
        "problem": services.learnt.problems.get(name),
    }


async def _policy(services: Services, route: str, body: dict[str, Any]) -> LearntPolicy:
    if body.get("document") is None:
        raise missing("document")
    try:
        # a document is a megabyte or two
        policy = await asyncio.to_thread(LearntPolicy.from_json, body["document"])
        policy.check(route, services.settings.config.routes)
    except ConfigError as error:
        raise wrong_value("document", f"{error.message}.") from error
    return policy


def _number(version: str) -> int:
    if not (version.isascii() and version.isdecimal() and len(version) < 10):
        raise NotFound(f"There is no version '{version}'.")
    return int(version)


def _no_version(route: str, version: str) -> NotFound:
    return NotFound(f"The route '{route}' has no version {version}.")


async def _version(services: Services, route: str, version: int) -> dict[str, Any]:
    rows = await artefacts.versions(services.database, route)
    row = next((one for one in rows if one.version == version), None)
    if row is None:
        raise _no_version(route, str(version))
    return _artefact(row)


def _artefact(row: ArtefactRow) -> dict[str, Any]:
    return {
        "object": "route.artefact",
        "route": row.route,
        "version": row.version,
        "active": row.active,
        "created_at": int(row.created_at.timestamp()),
        "made_by": row.made_by,
        "note": row.note,
        "report": row.report,
    }
