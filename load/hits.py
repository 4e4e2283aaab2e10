"""Answers from the cache in Redis through the whole durable path, beside the same jobs that call the provider.

    python -m load.hits [--jobs 6000] [--workers 2] [--calls 300]

The tier in the processes is switched off, so that every hit comes from Redis. One batch fills the cache, the same lines
again find it. Then a client waits for single calls, cached and not, one after the other.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from load import report, simulated
from load.bench import provider
from load.engine import ADMIN_KEY, BenchFailed, Penstock, Run, bench_config, input_file, throwaway_folder

_WARM_UP_JOBS = 400
_LIMIT_SECONDS = 600.0
_SINGLE = "single"


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Both batches, and the single calls.

    Raises:
        BenchFailed: a repeated line was not answered from the cache, or a batch did not end well.
    """
    lines = input_file(options.jobs, "q")
    latency = ("--latency-ms", str(options.latency_ms), "--time-to-first-token-ms", str(options.latency_ms))
    with provider(options.latency_ms) as target, simulated.provider(*latency) as streaming:
        config = bench_config(target.url, {})
        # a call with a client waiting is streamed, which the cheap provider does not do
        config["providers"]["streaming"] = {"wire_format": "openai", "base_url": f"{streaming}/v1"}
        config["models"][_SINGLE] = {"provider": "streaming"}
        config["cache"] = {"memory_bytes": 0, "rules": [{"temperatures": "any"}]}
        with Penstock(folder, config, workers=options.workers) as penstock:
            penstock.run_batch(input_file(_WARM_UP_JOBS, "warm"), _WARM_UP_JOBS, _LIMIT_SECONDS)
            runs, made = {}, []
            for name in ("calls", "hits in Redis"):
                before = target.stats()["calls"]
                runs[name] = penstock.run_batch(lines, options.jobs, _LIMIT_SECONDS)
                made.append(int(target.stats()["calls"] - before))
            if made != [options.jobs, 0]:
                raise BenchFailed(f"the provider was called {made} times for two batches of {options.jobs} lines")
            single = {
                name: _waited(penstock.url, options.calls, wish)
                for name, wish in (("a call", "off"), ("a hit in Redis", "on"))
            }
    return {
        "options": vars(options),
        "machine": report.machine(),
        "batches": {name: _figures(run, options.jobs) for name, run in runs.items()},
        "single calls": single,
    }


def _figures(run: Run, jobs: int) -> dict[str, Any]:
    return {
        "jobs_per_second": round(jobs / run.create_to_end, 1),
        "cpu_ms_per_job": round(sum(run.cpu.values()) * 1000 / jobs, 3),
        "cpu_ms_per_job_by_group": {group: round(used * 1000 / jobs, 3) for group, used in run.cpu.items()},
    }


def _waited(url: str, calls: int, wish: str) -> dict[str, float]:
    """Milliseconds of one client that waits for one call after the other."""
    headers = {"authorization": f"Bearer {ADMIN_KEY}", "x-penstock-cache": wish}
    body = {"model": _SINGLE, "messages": [{"role": "user", "content": f"How much is it? ({wish})"}]}
    expected = None if wish == "off" else "hit"
    taken = []
    with httpx.Client(base_url=url, headers=headers, timeout=60.0, trust_env=False) as client:
        client.post("/v1/chat/completions", json=body).raise_for_status()
        for _ in range(calls):
            began = time.perf_counter()
            answer = client.post("/v1/chat/completions", json=body).raise_for_status()
            taken.append((time.perf_counter() - began) * 1000)
            if answer.headers.get("x-penstock-cache") != expected:
                raise BenchFailed(f"a call was to be {expected}, and is {answer.headers.get('x-penstock-cache')}")
    cuts = statistics.quantiles(taken, n=100)
    return {"p50_ms": round(cuts[49], 2), "p95_ms": round(cuts[94], 2), "p99_ms": round(cuts[98], 2)}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m load.hits", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=6000, help="lines of each batch")
    parser.add_argument("--workers", type=int, default=2, help="bulk worker processes")
    parser.add_argument("--calls", type=int, default=300, help="single calls of each kind")
    parser.add_argument("--latency-ms", type=float, default=100.0, help="of the provider")
    options = parser.parse_args()
    try:
        with throwaway_folder("hits") as folder:
            result = measure(options, folder)
    except BenchFailed as failed:
        print(f"hits: {failed}", file=sys.stderr)
        return 1
    batches = Table(title=f"{options.jobs} lines, {options.workers} bulk workers")
    for name in ("batch of", "jobs/s", "CPU-ms per job", "by group"):
        batches.add_column(name)
    for name, row in result["batches"].items():
        groups = ", ".join(
            f"{group} {used:.2f}" for group, used in row["cpu_ms_per_job_by_group"].items() if used > 0.005
        )
        batches.add_row(name, f"{row['jobs_per_second']:.0f}", f"{row['cpu_ms_per_job']:.2f}", groups)
    single = Table(title=f"{options.calls} single calls, provider {options.latency_ms:g} ms")
    for name in ("one waits for", "p50", "p95", "p99"):
        single.add_column(name)
    for name, row in result["single calls"].items():
        single.add_row(name, *(f"{value:.1f} ms" for value in row.values()))
    Console().print(batches, single)
    print(f"written to {report.write('hits', [result]).name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
