"""What would become of requests, before anything is stored, asked or paid: where each goes, and for about how much."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.configuration import RouteConfig
from penstock.errors import PenstockError
from penstock.routing.router import Routed
from penstock.store import hops
from penstock.store.database import Database
from penstock.submission.jobs import Submission

#: requests looked at before the event loop gets a turn
_BREATH = 32


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One request: where it would go, or why it would be refused. `model` is what it names, None for none."""

    model: str | None
    routed: Routed | None
    error: PenstockError | None = None


async def rehearse(
    submission: Submission, tenant: str, dialect: str, bodies: Sequence[dict[str, Any]], residency: str | None = None
) -> list[Rehearsed]:
    """Where requests would go now, in the order given. Choices at random, and those by speed, may differ next time.

    `residency` is where their data must stay, whatever they say themselves.
    """
    found = []
    for count, body in enumerate(bodies, 1):
        name = body.get("model")
        model = name if isinstance(name, str) else None
        try:
            found.append(Rehearsed(model, await submission.route(tenant, dialect, body, residency)))
        except PenstockError as error:
            found.append(Rehearsed(model, None, error))
        if count % _BREATH == 0:
            await asyncio.sleep(0)
    return found


async def shares_of_steps(
    database: Database, tenant: str, rehearsed: Sequence[Rehearsed], routes: Mapping[str, RouteConfig]
) -> dict[str, list[float]]:
    """By name, where it escalates: the share of the latest jobs that was asked each step that any was.

    Steps that are asked at the same time are asked by all.
    """
    names = {one.model for one in rehearsed if one.routed is not None and "stages" in (one.routed.decision or {})}
    known = await hops.went_on(database, tenant, [name for name in names if name is not None]) if names else {}
    shares = {name: [jobs / asked[0] for jobs in asked] for name, asked in known.items()}
    return {
        name: [1.0] * abreast + found[abreast:]
        for name, found in shares.items()
        for abreast in (routes[name].parallel if name in routes else 1,)
    }
