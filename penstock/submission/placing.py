"""Where the lines of a batch go: decided page by page as its file is read. One that no model may serve fails alone."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from penstock.completion.encoding import dumps
from penstock.dialects.fields import kept_in
from penstock.dialects.registry import Dialect
from penstock.errors import InvalidRequest, PenstockError
from penstock.routing.router import Live, Router
from penstock.submission.batch_file import BatchLine
from penstock.submission.message_requests import RefusedLine

#: fields of a request by which it may demand something of its models, however plain it is
_DEMANDS = ("residency", "max_cost")
#: lines decided before the event loop gets a turn
_BREATH = 32

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class PlacedLine:
    """A line with the deployments to ask for it, in this order, the pool where it waits, and what was decided."""

    line: BatchLine
    order: tuple[str, ...]
    pool: str
    routing: bytes | None = None


class Placing:
    """Decides where lines go."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def place(
        self, lines: Sequence[BatchLine], tenant: str, dialect: Dialect, residency: str | None = None
    ) -> tuple[list[PlacedLine], list[RefusedLine]]:
        """The lines that go somewhere, and those that no model may serve, each in the order given.

        `residency` is where their data must stay, whatever they say themselves.
        """
        live = await self._router.live({name for line in lines for name in (line.model, *line.fallback)})
        placed: list[PlacedLine] = []
        refused: list[RefusedLine] = []
        for count, line in enumerate(lines, 1):
            found = self._one(line, tenant, dialect, live, residency)
            if isinstance(found, PlacedLine):
                placed.append(found)
            else:
                refused.append(found)
            if count % _BREATH == 0:
                await asyncio.sleep(0)
        return placed, refused

    def _one(
        self, line: BatchLine, tenant: str, dialect: Dialect, live: Live, residency: str | None
    ) -> PlacedLine | RefusedLine:
        if residency is not None:
            try:
                body = kept_in(line.body, residency)
            except InvalidRequest as error:
                return RefusedLine(line.number, line.custom_id, line.model, line.raw, error)
            line = replace(line, body=body, raw=dumps(body))
        configured = self._router.deployments
        gone = [name for name in (line.model, *line.fallback) if name not in configured]
        if gone:
            _log.warning("a model left the configuration while its batch was read", models=gone)
        if line.model in gone:
            # it may come back, and the line waits for it
            return PlacedLine(line, (line.model,), line.model)
        fallback = tuple(name for name in line.fallback if name not in gone)
        named = (line.model, *fallback)
        if self._router.unconditional(named, tenant) and not any(line.body.get(name) for name in _DEMANDS):
            return PlacedLine(line, tuple(dict.fromkeys(named)), line.model)
        try:
            request = dialect.parse(line.body)
        except Exception as error:  # noqa: BLE001 — a fault of ours must not stop the file: the line meets it when it runs
            if not isinstance(error, InvalidRequest):
                _log.exception("a line met a fault of Penstock's own", line=line.number)
            # what is wrong inside a request is its error when it runs, before any model is asked
            order = tuple(configured.of(line.model))
            return PlacedLine(line, order, order[0])
        try:
            routed = self._router.decide(replace(request, fallback=fallback), tenant, live, prompt=dialect.prompt)
        except PenstockError as error:
            return RefusedLine(line.number, line.custom_id, line.model, line.raw, error)
        pool = routed.pool(line.model, queued=True)
        return PlacedLine(line, routed.order, pool, routed.stored(queued=True))
