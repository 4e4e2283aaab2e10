"""The store's own statements for taking and claiming work, beside backlogs of any size."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psutil

from load.engine import input_file
from load.memory import MB
from penstock import broker
from penstock.configuration import Config
from penstock.embedded.stack import EmbeddedStack
from penstock.embedded.supervisor import Supervisor
from penstock.embedded.urls import find_running
from penstock.ids import new_id, new_ids
from penstock.limits.quota import Quota
from penstock.limits.truth import SpentBy
from penstock.providers.deployments import Deployments
from penstock.redis import connect
from penstock.routing.router import Router
from penstock.routing.speeds import Speeds
from penstock.store import flows, jobs, schema, tenants, workers
from penstock.store.database import Database
from penstock.store.flows import Flow, Turn
from penstock.store.jobs import NewJob
from workers.dispatcher import Dispatcher

SLICE = 100
#: no deployment's name: the dispatcher leaves such jobs alone
_POOL = "claims-bench"
_TENANT = "default"
#: as long as those of the measured files
_BODY = orjson.dumps(orjson.loads(input_file(1, "claims"))["body"])


def _rows(flow_id: int, count: int, pool: str, tenant: str) -> list[NewJob]:
    return [
        NewJob(
            id=job_id, tenant_id=tenant, dialect="openai.chat", model=pool, lane="bulk", flow_id=flow_id,
            deployment=pool, tokens=100, body=_BODY,
        )
        for job_id in new_ids(count)
    ]  # fmt: skip


async def _flow(database: Database, pool: str, tenant: str) -> int:
    row = await database.fetch_one(
        """
        INSERT INTO flows (pool, lane, tenant_id, active) VALUES (%(pool)s, 'bulk', %(tenant)s, false)
        ON CONFLICT (pool, lane, tenant_id) DO UPDATE SET pool = excluded.pool RETURNING id
        """,
        {"pool": pool, "tenant": tenant},
    )
    assert row is not None  # INSERT … RETURNING of one row
    return int(row["id"])


async def _insert(database: Database, rows: list[NewJob]) -> None:
    heads: dict[int, tuple[int, UUID]] = {}
    for row in rows:
        heads.setdefault(row.flow_id, (row.priority, row.id))
    async with database.transaction() as connection:
        await jobs.copy(connection, rows)
        await flows.wake(connection, heads)


@dataclass(slots=True)
class _Took:
    """Microseconds a job of each slice, and CPU seconds of the server's process."""

    taking: list[float] = field(default_factory=list)
    claiming: list[float] = field(default_factory=list)
    cpu: float = 0.0
    jobs: int = 0

    def result(self) -> dict[str, float]:
        """The median is near what the statements cost; on a busy machine the server's CPU time says it better."""
        return {
            "jobs": self.jobs,
            "take p50, µs/job": round(statistics.median(self.taking), 1),
            "claim p50, µs/job": round(statistics.median(self.claiming), 1),
            "server's CPU for both, µs/job": round(self.cpu / self.jobs * 1e6, 1),
        }


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class Claims:
    """Measures on the database of a running stack."""

    def __init__(self, data: Path) -> None:
        urls = find_running(data)
        assert urls is not None  # it is running
        self._url = urls.database

    async def measure(self, count: int, times: int) -> dict[str, float]:
        """Take and claim `count` jobs of a flow of their own, so often; never more than these are pending in it."""
        async with self._database() as database:
            flow_id = await _flow(database, _POOL, _TENANT)
            took = _Took()
            for _ in range(times):
                await _insert(database, _rows(flow_id, count, _POOL, _TENANT))
                # a backlog is older than the last checkpoint: the first change of each page logs it whole
                await database.execute("CHECKPOINT")
                ids, worker = await self._take(database, _POOL, count, took)
                assert len(ids) == count
                await database.execute(
                    "UPDATE jobs SET state = 'cancelled', finished_at = now() WHERE worker_id = %(worker)s",
                    {"worker": worker},
                )
        return took.result()

    async def measure_flow(self, pool: str, count: int) -> dict[str, float]:
        """Take and claim `count` jobs of a flow that is there; they are put back."""
        async with self._database() as database:
            took = _Took()
            ids, worker = await self._take(database, pool, count, took)
            await jobs.hand_back(database, worker, ids)
        return took.result()

    async def wait_inserted(self, batch_id: UUID, total: int) -> list[float]:
        """Until all lines of a batch are jobs; the seconds that each tenth of them took."""
        began, tenths = time.perf_counter(), list[float]()
        async with self._database() as database:
            while True:
                row = await database.fetch_one("SELECT ingested_to FROM batches WHERE id = %(id)s", {"id": batch_id})
                assert row is not None  # a batch's row stays
                while len(tenths) < 10 and row["ingested_to"] >= total * (len(tenths) + 1) / 10:
                    tenths.append(time.perf_counter() - began)
                if row["ingested_to"] >= total:
                    return [round(end - start, 1) for start, end in zip([0.0, *tenths], tenths, strict=False)]
                await asyncio.sleep(0.2)

    async def _take(self, database: Database, pool: str, count: int, took: "_Took") -> tuple[list[UUID], UUID]:
        worker, ids = new_id(), list[UUID]()
        backend = await database.fetch_one("SELECT pg_backend_pid() AS pid")
        assert backend is not None  # one row
        server = psutil.Process(backend["pid"])  # the pool holds one connection
        await workers.register(database, worker, "bench", "bench", 0)
        for _ in range(count // SLICE):
            flow = next(flow for flow in await flows.active(database) if flow.pool == pool and flow.lane == "bulk")
            cpu, began = _cpu(server), time.perf_counter()
            taken = await _slice(database, pool, flow)
            between = time.perf_counter()
            claimed = await jobs.claim(database, worker, pool, "bulk", taken)
            took.claiming.append((time.perf_counter() - between) / len(taken) * 1e6)
            took.taking.append((between - began) / len(taken) * 1e6)
            took.cpu += _cpu(server) - cpu
            took.jobs += len(claimed)
            ids += [job.id for job in claimed]
            await workers.beat(database, worker)  # or its jobs are taken for a dead worker's
        return ids, worker

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[Database]:
        database = Database(self._url, size=1, name="bench")
        await database.open()
        try:
            yield database
        finally:
            await database.close()


async def _slice(database: Database, pool: str, flow: Flow) -> list[UUID]:
    """As the dispatcher takes one."""
    async with database.transaction() as connection:
        taken = await flows.take(connection, pool, [flow], [SLICE])
        await flows.advance(connection, [Turn.of(flow, SLICE, taken, 1.0)])
    return [job.id for job in taken]


async def dispatch_for(folder: Path, count: int, each: int, rounds: int, settings: dict[str, Any]) -> dict[str, Any]:
    """A dispatcher in this process and `count` tenants with `each` jobs; what its rounds cost.

    Between rounds the queued jobs are made running, as workers would: every round finds an empty window.
    """
    config = Config.model_validate(settings)
    (pool,) = config.models
    with EmbeddedStack(folder / "data") as stack:
        async with Supervisor(folder / "data") as supervisor:
            urls = await stack.start(supervisor)
            await asyncio.to_thread(schema.migrate, urls.database)
            database = Database(urls.database, size=4, name="bench")
            await database.open()
            redis = connect(urls.redis)
            doorbell = broker.Doorbell(broker.make_app(urls.broker, list(config.providers)))
            deployments = Deployments(config)
            quota = Quota(redis, SpentBy(database, deployments.upstreams()))
            dispatcher = Dispatcher(database, doorbell, quota, Router(config, deployments, Speeds(redis)))
            await _fill(database, pool, count, each)
            before = psutil.Process().memory_info().rss
            times, cpu, sent = [], time.process_time(), 0
            for _ in range(rounds):
                began = time.perf_counter()
                sent += await dispatcher.dispatch()
                times.append(time.perf_counter() - began)
                await database.execute("UPDATE jobs SET state = 'running' WHERE state = 'queued'")
                await redis.delete(broker.queue_name("bulk", config.models[pool].provider))
            cpu = time.process_time() - cpu
            grown = psutil.Process().memory_info().rss - before
            found = await database.fetch_one("SELECT count(DISTINCT tenant_id) AS n FROM jobs WHERE state = 'running'")
            await quota.close()
            await redis.aclose()
            await database.close()
            doorbell.close()
    times.sort()
    return {
        "tenants": count, "jobs": count * each, "rounds": rounds, "sent": sent,
        "tenants served": found["n"] if found else 0,
        "round p50, ms": round(times[len(times) // 2] * 1000, 1), "round max, ms": round(times[-1] * 1000, 1),
        "CPU of this process per round, ms": round(cpu / rounds * 1000, 1),
        "CPU per job sent, µs": round(cpu / max(1, sent) * 1e6, 1),
        "memory grown, MB": round(grown / MB, 1),
    }  # fmt: skip


async def _fill(database: Database, pool: str, count: int, each: int) -> None:
    for start in range(0, count, 1000):
        names = [f"tenant-{number}" for number in range(start, min(start + 1000, count))]
        await tenants.ensure_tenants(database, dict.fromkeys(names, "unlimited"))
        rows: list[NewJob] = []
        for name in names:
            rows += _rows(await _flow(database, pool, name), each, pool, name)
        await _insert(database, rows)
