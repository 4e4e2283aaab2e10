"""What a reservation costs: reserve and settle, by one process against one Valkey, with so many calls in flight.

    python -m load.reserve [--in-flight 1 --in-flight 100] [--seconds 8]

Every call draws from what a bulk call of a limited tenant draws from: the breaker, the provider's requests and tokens a
minute, a concurrency lease, the tier's requests and tokens; it is settled with real usage. The limits are wide enough
never to be reached. Between the two a call takes no time, so that nothing but reserving and settling is measured.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from load import report
from load.engine import ROOT, throwaway_folder
from penstock.configuration import Config
from penstock.embedded.folders import DataFolder
from penstock.embedded.valkey import Valkey
from penstock.limits.buckets import DeploymentLimits, Scope, Tokens, tier_buckets
from penstock.limits.quota import Quota, Reservation
from penstock.redis import RedisError, connect
from penstock.store.attempts import Spent

_WIDE = 1_000_000_000
_CONFIG = Config.model_validate(
    {
        "providers": {
            "p": {
                "wire_format": "openai",
                "base_url": "http://127.0.0.1",
                "limits": {
                    "requests_per_minute": _WIDE, "tokens_per_minute": _WIDE, "concurrency": 100_000,
                    "burst_seconds": 60,
                },
            }
        },
        "models": {"m": {"provider": "p"}},
        "tiers": {"wide": {"requests_per_minute": _WIDE, "tokens_per_minute": _WIDE}},
    }
)  # fmt: skip


@dataclass(slots=True)
class Result:
    """One run: latencies in ms, CPU in µs per job (a reserve and a settle)."""

    in_flight: int
    jobs: int
    seconds: float
    reserve_p50: float
    reserve_p99: float
    settle_p50: float
    settle_p99: float
    cpu_here: float
    cpu_valkey: float


@contextmanager
def valkey() -> Iterator[tuple[str, psutil.Process]]:
    """A server of our own, as `penstock up` starts it; gives its address and its process."""
    with throwaway_folder("reserve") as folder, closing(DataFolder(folder)) as data:
        server = Valkey(data)
        process = subprocess.Popen(server.child().command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield server.url, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(10)


async def measure(url: str, server: psutil.Process, in_flight: int, seconds: float) -> Result:
    """Reserve and settle for so long."""
    redis = connect(url)
    while True:
        try:
            await redis.flushall()
            break
        except RedisError:
            await asyncio.sleep(0.05)
    quota = Quota(redis, _nothing)
    limits, tier = DeploymentLimits.of(_CONFIG, "m"), tier_buckets(_CONFIG, "tenant", "wide")
    reserves: list[float] = []
    settles: list[float] = []

    async def one(until: float) -> None:
        while time.perf_counter() < until:
            begun = time.perf_counter()
            found = await quota.reserve(limits, Tokens(100, 200), interactive=False, tier=tier)
            assert isinstance(found, Reservation), found
            reserved = time.perf_counter()
            await quota.settle(found, Tokens(100, 150))
            reserves.append(reserved - begun)
            settles.append(time.perf_counter() - reserved)

    async def all_of_them(length: float) -> None:
        until = time.perf_counter() + length
        await asyncio.gather(*(one(until) for _ in range(in_flight)))

    await all_of_them(1.0)  # warm
    reserves.clear()
    settles.clear()
    used, server_used, begun = time.process_time(), _cpu(server), time.perf_counter()
    await all_of_them(seconds)
    took, jobs = time.perf_counter() - begun, len(reserves)
    result = Result(
        in_flight=in_flight,
        jobs=jobs,
        seconds=took,
        reserve_p50=_percentile(reserves, 50),
        reserve_p99=_percentile(reserves, 99),
        settle_p50=_percentile(settles, 50),
        settle_p99=_percentile(settles, 99),
        cpu_here=(time.process_time() - used) / jobs * 1e6,
        cpu_valkey=(_cpu(server) - server_used) / jobs * 1e6,
    )
    await quota.close()
    await redis.aclose()
    return result


async def _nothing(scope: Scope, seconds: float) -> Spent:  # noqa: ARG001
    return Spent()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    used: float = times.user + times.system
    return used


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] * 1000


def main() -> int:
    """Measure, print, write."""
    options = _options()
    with valkey() as (url, server):
        found = [
            uvloop.run(measure(url, server, number, options.seconds)) for number in options.in_flight or (1, 100, 1000)
        ]
    table = Table(title="Reserve and settle, one process")
    for name in ("in flight", "jobs/s", "reserve p50 / p99", "settle p50 / p99", "CPU-µs per job: here", "Valkey"):
        table.add_column(name, justify="right")
    for r in found:
        table.add_row(
            str(r.in_flight), f"{r.jobs / r.seconds:,.0f}", f"{r.reserve_p50:.2f} / {r.reserve_p99:.2f} ms",
            f"{r.settle_p50:.2f} / {r.settle_p99:.2f} ms", f"{r.cpu_here:.0f}", f"{r.cpu_valkey:.0f}",
        )  # fmt: skip
    Console().print(table)
    print(f"written to {report.write('reserve', [asdict(result) for result in found]).relative_to(ROOT)}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.reserve", description=__doc__.splitlines()[0])
    parser.add_argument("--in-flight", action="append", type=int, help="may be repeated (default: 1, 100 and 1000)")
    parser.add_argument("--seconds", type=float, default=8)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
