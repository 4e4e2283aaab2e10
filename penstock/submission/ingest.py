"""Reading a batch's file into jobs.

Twice: a pass that checks everything and writes nothing, then a pass that inserts page by page, each transaction moving
the batch's position, so that two readers at once cannot both insert and a reader that died is followed by another
where it stopped. Both live on the worker's event loop and yield to it.

The requests of a message batch were checked when they came, so they are read once. What is wrong inside one of them
fails that line alone: it is inserted as a job that has failed already. So is a line that no model may serve.
"""

import asyncio
import hashlib
import itertools
import time
from array import array
from collections.abc import AsyncIterator, Container, Iterator
from dataclasses import replace
from uuid import UUID

import structlog

from penstock.completion.encoding import dumps
from penstock.completion.outcome import Outcome
from penstock.dialects import registry
from penstock.dialects.batch_line import LineFacts, render_line
from penstock.dialects.facts import JobFacts
from penstock.dialects.registry import Dialect
from penstock.errors import error_to_json
from penstock.ids import new_ids
from penstock.redis import Redis
from penstock.routing.router import Router
from penstock.store import batches, files, flows, jobs, refused
from penstock.store.batches import Batch
from penstock.store.database import Database
from penstock.store.jobs import NewJob
from penstock.store.refused import RefusedJob
from penstock.submission.batch_file import BatchLine, LineError, read_line, split_lines
from penstock.submission.continuation import Continuations
from penstock.submission.doorbells import wake_dispatcher
from penstock.submission.finalize import finalize_batch
from penstock.submission.flow_ids import FlowIds
from penstock.submission.grouping import by_beginning
from penstock.submission.message_requests import RefusedLine, read_request
from penstock.submission.placing import PlacedLine, Placing
from penstock.submission.plan import inputs, request_tokens

#: lines inserted by one transaction
PAGE = 1000
#: and bytes of conversation that these may continue: a page is held in memory
PAGE_HISTORY_BYTES = 32 * 1024 * 1024
#: lines read before the event loop gets a turn
BREATH = 32
#: errors reported of one file
MAX_ERRORS = 100
LEASE_SECONDS = 30

_log = structlog.get_logger()


class Ingest:
    """The batch files one worker is reading."""

    def __init__(self, database: Database, redis: Redis, router: Router) -> None:
        self._database = database
        self._redis = redis
        self._deployments = router.deployments
        self._config = router.config
        self._placing = Placing(router)
        self._flow_ids = FlowIds(database)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, batch_id: UUID) -> None:
        """Begin to read a batch's file, on the running event loop."""
        task = asyncio.get_running_loop().create_task(self._guarded(batch_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, batch_id: UUID) -> None:
        try:
            await self.run(batch_id)
        except Exception:  # noqa: BLE001 — the lease runs out and another worker goes on from the same place
            _log.exception("ingest stopped", batch=batch_id.hex)

    async def run(self, batch_id: UUID) -> None:
        """Read a batch's file, unless somebody else does or has done so."""
        batch = await batches.lease_ingest(self._database, batch_id, LEASE_SECONDS)
        if batch is None:
            return
        lease = _Lease(self._database, batch_id)
        total = batch.total
        if not batch.checked:
            errors, tally = await self._check(batch, lease)
            if errors:
                await batches.fail_validation(self._database, batch, [error.to_json() for error in errors])
                return
            total = tally.digests.count
            await batches.start(self._database, batch_id, total, tally.model)
        await self._insert(batch, lease, total)
        await batches.end_ingest(self._database, batch_id)
        # the last line to end may have been one that never ran
        await finalize_batch(self._database, batch_id)

    async def _check(self, batch: Batch, lease: "_Lease") -> tuple[list[LineError], "_Tally"]:
        """Everything wrong with the file, and what it holds."""
        tally = _Tally()
        if await self._too_large(batch):
            limit = self._config.batches.max_file_bytes
            return [LineError("file_too_large", f"The file is larger than the limit of {limit} bytes.")], tally
        errors: list[LineError] = []
        async for line in self._read(batch, lease):
            if isinstance(line, LineError):
                errors.append(line)
                if len(errors) >= MAX_ERRORS:
                    break
            else:
                tally.add(line)
        if not errors and not tally.digests.count:
            return [LineError("empty_file", "The file holds no request.")], tally
        too_many = self._too_many(batch, tally)
        if too_many is not None:
            return [too_many], tally
        errors += await self._repetitions(batch, lease, tally.digests)
        errors.sort(key=lambda error: error.line or 0)
        return errors[:MAX_ERRORS], tally

    def _too_many(self, batch: Batch, tally: "_Tally") -> LineError | None:
        limits, requests = self._config.batches, tally.digests.count
        if requests > limits.max_requests:
            message = f"The file holds {requests} requests; the limit is {limits.max_requests}."
            return LineError("too_many_requests", message)
        embeds = not registry.for_endpoint(batch.endpoint).answered
        if embeds and tally.inputs > limits.max_embedding_inputs:
            message = f"The requests hold {tally.inputs} inputs together; the limit is {limits.max_embedding_inputs}."
            return LineError("too_many_inputs", message)
        return None

    async def _too_large(self, batch: Batch) -> bool:
        size = await files.size(self._database, batch.input_file_id)
        return size > self._config.batches.max_file_bytes

    async def _repetitions(self, batch: Batch, lease: "_Lease", digests: "_Digests") -> list[LineError]:
        """Lines that repeat a custom_id. Eight bytes a line find the candidates; their texts are compared."""
        twice = await digests.repeated()
        if not twice:
            return []
        seen: set[str] = set()
        errors = []
        async for line in self._read(batch, lease):
            if isinstance(line, BatchLine) and _digest(line.custom_id) in twice:
                if line.custom_id in seen:
                    message = f"The custom_id '{line.custom_id[:100]}' was used on an earlier line."
                    errors.append(LineError("duplicate_custom_id", message, line.number, "custom_id"))
                seen.add(line.custom_id)
        return errors

    async def _read(
        self, batch: Batch, lease: "_Lease", models: Container[str] | None = None
    ) -> AsyncIterator[BatchLine | LineError | RefusedLine]:
        """Every line; `models` may be asked for, the configured ones unless told otherwise."""
        count = 0
        async for number, text in split_lines(files.chunks(self._database, batch.input_file_id)):
            if batch.of_messages:
                yield read_request(number, text, self._deployments)
            else:
                yield read_line(number, text, batch.endpoint, self._deployments if models is None else models)
            count += 1
            if count % BREATH == 0:
                await asyncio.sleep(0)
                await lease.keep()

    async def _insert(self, batch: Batch, lease: "_Lease", total: int) -> None:
        skip = position = batch.ingested_to
        flow_ids: dict[str, int] = {}
        page: list[BatchLine | RefusedLine] = []
        continued, history = Continuations(self._database, remember=True), 0
        dialect = registry.for_endpoint(batch.endpoint).name
        # the file was good when it was checked; a model that has left the configuration since must not stop the others
        async for line in self._read(batch, lease, _AnyModel()):
            if isinstance(line, LineError):
                _log.error("a checked line is bad now", batch=batch.id.hex, line=line.line, code=line.code)
                return
            if skip:
                skip -= 1
                continue
            whole = line
            if isinstance(line, BatchLine):
                body = await continued.attach_or_note(batch.tenant_id, dialect, line.body)
                if body is not line.body:
                    whole = replace(line, body=body, raw=dumps(body))
                    history += len(whole.raw)
            page.append(whole)
            if len(page) == PAGE or position + len(page) == total or history > PAGE_HISTORY_BYTES:
                if not await self._insert_page(batch, page, position, flow_ids):
                    return
                position += len(page)
                page, history = [], 0

    async def _insert_page(
        self, batch: Batch, page: list[BatchLine | RefusedLine], position: int, flow_ids: dict[str, int]
    ) -> bool:
        good = by_beginning([line for line in page if isinstance(line, BatchLine)])
        bad = [line for line in page if isinstance(line, RefusedLine)]
        dialect = registry.for_endpoint(batch.endpoint)
        placed, unserved = await self._placing.place(good, batch.tenant_id, dialect, batch.residency)
        for name in {line.pool for line in placed} - flow_ids.keys():
            flow_ids[name] = await self._flow_ids.of(name, "bulk", batch.tenant_id)
        rows = list(self._jobs(batch, placed, flow_ids, dialect))
        heads: dict[int, tuple[int, UUID]] = {}
        for row in rows:
            heads.setdefault(row.flow_id, (row.priority, row.id))
        async with self._database.transaction() as connection:
            if not await batches.advance_ingest(connection, batch.id, position, position + len(page)):
                return False
            await refused.insert(connection, batch, dialect.name, _refused([*bad, *unserved], dialect, batch))
            await jobs.copy(connection, rows)
            await flows.wake(connection, heads)
        await wake_dispatcher(self._redis)
        return True

    def _jobs(
        self, batch: Batch, page: list[PlacedLine], flow_ids: dict[str, int], dialect: Dialect
    ) -> Iterator[NewJob]:
        for placed, job_id in zip(page, new_ids(len(page)), strict=True):
            line, (deployment, *others) = placed.line, placed.order
            yield NewJob(
                id=job_id,
                tenant_id=batch.tenant_id,
                dialect=dialect.name,
                model=line.model,
                lane="bulk",
                flow_id=flow_ids[placed.pool],
                deployment=deployment,
                tokens=request_tokens(line.body, len(line.raw), answered=dialect.answered),
                body=line.raw,
                batch_id=batch.id,
                line=line.number,
                custom_id=line.custom_id,
                expires_at=batch.expires_at,
                priority=batch.priority,
                fallback=others or None,
                routing=placed.routing,
            )


def _refused(page: list[RefusedLine], dialect: Dialect, batch: Batch) -> list[RefusedJob]:
    return [
        RefusedJob(
            id=job_id,
            line=line.number,
            custom_id=line.custom_id,
            model=line.model,
            body=line.raw,
            result=Outcome(error=error_to_json(line.error)).to_bytes(),
            status_code=line.error.status,
            line_bytes=None if batch.of_messages else len(_error_line(line, job_id, dialect)),
        )
        for line, job_id in zip(page, new_ids(len(page)), strict=True)
    ]


def _error_line(line: RefusedLine, job_id: UUID, dialect: Dialect) -> bytes:
    """The line that this request will have in the error file: its length is counted once, here, and stored."""
    failed = JobFacts(
        id=job_id,
        created_at=0,
        finished_at=None,
        state="failed",
        started=False,
        background=False,
        model=line.model,
        body={},
        result=None,
        error=error_to_json(line.error),
    )
    return render_line(LineFacts(line.custom_id, line.error.status, dialect.name, failed))


class _Tally:
    """What a file holds: a digest of each custom_id, the texts to be embedded, the one model of all requests."""

    def __init__(self) -> None:
        self.digests = _Digests()
        self.inputs = 0
        self._models: set[str] = set()

    def add(self, line: BatchLine | RefusedLine) -> None:
        self.digests.add(_digest(line.custom_id))
        if isinstance(line, BatchLine):
            self.inputs += inputs(line.body)
            self._models.add(line.model)

    @property
    def model(self) -> str | None:
        """None when they name several."""
        return next(iter(self._models)) if len(self._models) == 1 else None


class _AnyModel(Container[str]):
    def __contains__(self, _: object) -> bool:
        return True


class _Digests:
    """64-bit digests in eight bytes each, apart by their first byte: none of the parts is sorted for long."""

    def __init__(self) -> None:
        self.count = 0
        self._parts = [array("Q") for _ in range(256)]

    def add(self, digest: int) -> None:
        self._parts[digest >> 56].append(digest)
        self.count += 1

    async def repeated(self) -> set[int]:
        """Those that are there more than once. Others get their turn meanwhile."""
        found: set[int] = set()
        for part in self._parts:
            found |= {one for one, other in itertools.pairwise(sorted(part)) if one == other}
            await asyncio.sleep(0)
        return found


class _Lease:
    """Renews the right to read a file while reading goes on."""

    def __init__(self, database: Database, batch_id: UUID) -> None:
        self._database = database
        self._batch_id = batch_id
        self._renewed = time.monotonic()

    async def keep(self) -> None:
        if time.monotonic() - self._renewed > LEASE_SECONDS / 3:
            self._renewed = time.monotonic()
            await batches.renew_ingest(self._database, self._batch_id, LEASE_SECONDS)


def _digest(custom_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=8).digest())
