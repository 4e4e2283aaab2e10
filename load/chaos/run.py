"""One run: a stack, its load, the blows, and the verdict."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from load.chaos import evidence, invariants, recovery
from load.chaos.blows import Striker, connect
from load.chaos.invariants import Calls, Job
from load.chaos.receiver import Receiver, receiving
from load.chaos.schedule import Blow
from load.chaos.traffic import MODEL, PATIENT, Client, Submitted
from load.engine import ADMIN_KEY, BenchFailed, Penstock, throwaway_folder
from load.simulated import provider, stats
from penstock.embedded.urls import Urls, find_running

#: shares of the jobs that are not lines of batches
_RESPONSES, _JOBS, _CALLS = 0.04, 0.02, 0.02
_FAULTS = ("--error-rate", "0.05", "--hang-rate", "0.003", "--reset-rate", "0.005", "--cut-rate", "0.02")
_SPEED = ("--latency-ms", "800", "--latency-distribution", "lognormal", "--time-to-first-token-ms", "300",
          "--tokens-per-second", "20")  # fmt: skip
#: the last blow's traces, and webhooks that were refused, have so many seconds to come to an end
_SETTLE_SECONDS = 240.0
_WEBHOOK_SECONDS = 60.0

#: told of what happens: a blow's name, jobs ended so far
Tell = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is made of."""

    seed: int
    jobs: int
    workers: int
    concurrency: int
    freeze_seconds: float
    batch_lines: int = 1000


@dataclass(slots=True)
class Felt:
    """One blow and how long it was felt, in seconds: by the jobs of a lost worker, by a client that asked then."""

    name: str
    at: float
    jobs_back: float | None = None
    answered: float | None = None


@dataclass(slots=True)
class Verdict:
    """What came of a run; `broken` has the sentences of each rule, by its name."""

    options: Options
    seconds: float = 0.0
    jobs: int = 0
    states: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    recovered: int = 0
    #: calls that their worker's journal lost, and answers that were paid for again
    unrecorded: int = 0
    paid_twice: int = 0
    returned_subscribers: int = 0
    subscribers: int = 0
    #: subscribers that were told that their stream cannot go on
    cut_off: int = 0
    deliveries: int = 0
    turned_away: int = 0
    #: why jobs failed, and how many
    failures: dict[str, int] = field(default_factory=dict)
    felt: list[Felt] = field(default_factory=list)
    broken: dict[str, list[str]] = field(default_factory=dict)


async def run(options: Options, blows: list[Blow], tell: Tell) -> Verdict:
    """Start everything, strike, wait, judge.

    Raises:
        BenchFailed: the stack did not start or did not come to rest.
    """
    verdict, began = Verdict(options), time.monotonic()
    with throwaway_folder("chaos") as folder, _logs_kept(folder):
        async with (
            receiving(options.seed) as receiver,
            _stack(options, folder, receiver.url) as (penstock, provider_url),
        ):
            urls = find_running(folder / "data")
            assert urls is not None
            headers = {"authorization": f"Bearer {ADMIN_KEY}"}
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(
                penstock.url, headers=headers, connector=connector, timeout=PATIENT
            ) as session:
                arena = _Arena(options, verdict, urls, receiver, session, tell)
                await arena.fight(Striker(penstock.pid, urls, options.freeze_seconds), blows)
                await arena.judge(provider_url)
    verdict.seconds = time.monotonic() - began
    return verdict


@contextlib.contextmanager
def _logs_kept(folder: Path) -> Iterator[None]:
    """Keep the logs of a run that comes to no verdict, beside its folder."""
    try:
        yield
    except BaseException:
        shutil.copytree(folder / "data" / "logs", folder.with_name(f"{folder.name}-logs"), dirs_exist_ok=True)
        raise


@contextlib.asynccontextmanager
async def _stack(options: Options, folder: Path, hook: str) -> AsyncIterator[tuple[Penstock, str]]:
    with contextlib.ExitStack() as stack:
        url = await asyncio.to_thread(stack.enter_context, provider(*_SPEED, *_FAULTS, "--seed", str(options.seed)))
        penstock = Penstock(folder, _config(options, url, hook), workers=options.workers)
        await asyncio.to_thread(stack.enter_context, penstock)
        yield penstock, url


def _config(options: Options, provider_url: str, hook: str) -> dict[str, Any]:
    timeouts = {"connect": 5, "first_chunk": 15, "between_chunks": 10, "total": 40}
    return {
        "providers": {
            "sim": {
                "wire_format": "openai", "base_url": f"{provider_url}/v1", "api_key": "sk-chaos",
                "limits": {"concurrency": options.concurrency}, "timeouts": timeouts,
            }
        },
        "models": {MODEL: {"provider": "sim", "price": {"input": 1, "output": 2}}},
        "breaker": {"failures": 20, "reset_seconds": 5},
        # faults of the provider are to be survived: with eight attempts one job in 10^8 fails by chance
        "retries": {"bulk": {"max_attempts": 8}, "interactive": {"max_attempts": 8}},
        "webhooks": {
            "endpoints": [{"url": hook, "secret": "whsec_" + "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"}],
            "retry_schedule": [0.5, 1, 2, 4, 8, 15, 30],
            "timeout": 5,
            "allow_networks": ["127.0.0.0/8"],
        },
    }  # fmt: skip


class _Arena:
    """The load and the blows of one run, and what is asked when they are over."""

    def __init__(
        self,
        options: Options,
        verdict: Verdict,
        urls: Urls,
        receiver: Receiver,
        session: aiohttp.ClientSession,
        tell: Tell,
    ) -> None:
        self._options, self._verdict, self._urls, self._tell = options, verdict, urls, tell
        self._receiver, self._session = receiver, session
        self._client = Client(session, f"chaos-{options.seed}")
        self._submitted = Submitted()
        self._ended = 0

    async def fight(self, striker: Striker, blows: list[Blow]) -> None:
        """Load and blows side by side, until every submission was accepted and every subscriber has its end."""
        began, length = time.monotonic(), blows[-1].at
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch())
            work = [group.create_task(part) for part in self._load(began, length)]
            work += [group.create_task(self._strike(striker, blow, began)) for blow in blows]
            try:
                async with asyncio.timeout(length + _SETTLE_SECONDS):
                    await asyncio.gather(*work)
                    await self._rest()
            except TimeoutError:
                raise BenchFailed(
                    f"it did not come to rest: {self._ended} of {self._options.jobs} jobs ended"
                ) from None
            watching.cancel()

    def _load(self, began: float, length: float) -> list[Coroutine[Any, Any, None]]:
        """Everything that is submitted, spread over the first nine tenths of the blows."""
        jobs = self._options.jobs
        counts = {"r": int(jobs * _RESPONSES), "j": int(jobs * _JOBS), "f": int(jobs * _CALLS)}
        left, parts, client, submitted = jobs - sum(counts.values()), [], self._client, self._submitted
        batches = max(1, round(left / self._options.batch_lines))

        def at(place: int, of: int, work: Coroutine[Any, Any, None]) -> None:
            parts.append(_later(began + 0.9 * length * place / of, work))

        for n in range(batches):
            lines = left // batches + (n < left % batches)
            at(n, batches, client.batch(f"chaos-b{n}", lines, submitted))
        for n in range(counts["r"]):
            at(n, counts["r"], client.response(f"chaos-r{n}", 1 + n % 2, submitted))
        for n in range(counts["j"]):
            at(n, counts["j"], client.job(f"chaos-j{n}", self._receiver.url, submitted))
        for n in range(counts["f"]):
            at(n, counts["f"], client.call(f"chaos-f{n}", submitted))
        return parts

    async def _strike(self, striker: Striker, blow: Blow, began: float) -> None:
        await asyncio.sleep(max(0.0, began + blow.at - time.monotonic()))
        felt = Felt(blow.name, blow.at)
        self._verdict.felt.append(felt)
        self._tell(blow.name, self._ended)
        moment, number = time.time(), len(self._verdict.felt)
        probe = asyncio.create_task(
            recovery.until_answered(lambda: self._client.call(f"chaos-p{number}", self._submitted))
        )
        struck = await striker.strike(blow)
        if struck.pid is not None and blow.role.endswith("worker") and blow.kind != "freeze":
            felt.jobs_back = await recovery.until_jobs_are_back(self._urls.database, struck.pid, moment)
        felt.answered = await probe

    async def _watch(self) -> None:
        """Count what has ended, for whoever looks on."""
        while True:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(5), await connect(self._urls.database) as connection:
                    rows = await connection.execute("SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL")
                    self._ended = int(str((await rows.fetchone() or (0,))[0]))
                    self._tell("", self._ended)
            await asyncio.sleep(2)

    async def _rest(self) -> None:
        """Until every batch ended and every job did."""
        for batch_id in self._submitted.batches:
            while (await self._client.get(f"/v1/batches/{batch_id}"))["status"] in (
                "validating",
                "in_progress",
                "finalizing",
            ):
                await asyncio.sleep(1)
        for job_id in self._submitted.responses:
            while (await self._client.get(f"/v1/responses/{job_id}"))["status"] in ("queued", "in_progress"):
                await asyncio.sleep(1)
        for job_id in self._submitted.jobs:
            while (await self._client.get(f"/v1/jobs/{job_id}"))["status"] in ("pending", "queued", "running"):
                await asyncio.sleep(1)

    async def judge(self, provider_url: str) -> None:
        """Gather the evidence and apply every rule."""
        told = [*self._submitted.batches, *self._submitted.responses, *self._submitted.jobs]
        deadline = time.monotonic() + _WEBHOOK_SECONDS
        while time.monotonic() < deadline and set(told) - {object_id for _, _, object_id in self._receiver.received}:
            await asyncio.sleep(0.5)
        async with await connect(self._urls.database) as connection:
            jobs = await evidence.jobs(connection)
            self._verdict.failures = await evidence.failures(connection, jobs)
        ledger = evidence.ledger(await asyncio.to_thread(stats, provider_url, detail=True))
        batches = await evidence.batches(self._client, self._submitted.batches)
        reads = await evidence.reads(self._client, self._submitted.seen)
        self._verdict.cut_off = sum(read.cut_off for read in reads)
        accepted = [name.split("_", 1)[1] for name in (*self._submitted.responses, *self._submitted.jobs)]
        self._verdict.broken = {
            "every job ended": invariants.every_job_ended(accepted, jobs),
            "every line answered once": invariants.every_line_answered_once(batches),
            "counts equal files": invariants.counts_equal_files(batches),
            "no stale result": invariants.no_stale_result(jobs.values()),
            "each event delivered": invariants.each_event_delivered(told, self._receiver.received),
            "no glued stream": invariants.no_glued_stream(reads),
            "journal equals ledger": invariants.journal_equals_ledger(jobs.values(), ledger),
            "repeated only in flight": invariants.repeated_only_in_flight(jobs.values(), ledger),
        }
        self._count(jobs, ledger)

    def _count(self, jobs: dict[str, Job], ledger: dict[str, Calls]) -> None:
        verdict = self._verdict
        verdict.jobs = len(jobs)
        for job in jobs.values():
            verdict.states[job.state] = verdict.states.get(job.state, 0) + 1
            seen = ledger.get(job.tag, Calls(0, 0))
            verdict.unrecorded += max(0, seen.calls - len(job.attempts))
            verdict.paid_twice += max(0, seen.succeeded - 1)
            verdict.recovered += job.recoveries
        verdict.calls = sum(seen.calls for seen in ledger.values())
        verdict.subscribers = len(self._submitted.seen)
        verdict.returned_subscribers = sum(each.returned for each in self._submitted.seen)
        verdict.deliveries = len(self._receiver.received)
        verdict.turned_away = self._submitted.turned_away


async def _later(moment: float, work: Coroutine[Any, Any, None]) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
    await work
