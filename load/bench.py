"""What a durable job costs on this machine, beside the bare calls in the same run.

    python -m load.bench [--jobs 6000] [--workers 2] [--flower] [--write]

Starts a cheap local provider, measures a bare aiohttp loop on it, starts `penstock up` on a throw-away folder, runs a
small batch to warm up and then the measured one, stops everything, and measures the bare loop again.
"""

import argparse
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from load import report
from load.engine import ROOT, BenchFailed, Penstock, Run, bench_config, input_file, throwaway_folder

_WARM_UP_JOBS = 400
_IDLE_SECONDS = 3.0
#: a bench that is this slow (jobs/s) is given up; and the seconds it has in any case
_SLOWEST = 20.0
_LEAST_SECONDS = 60.0


class Provider:
    """The cheap provider, in its own process."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self.url = f"{self._root}/v1"

    def stats(self) -> dict[str, float]:
        """Calls so far, calls in flight, and CPU seconds of the process."""
        with urllib.request.urlopen(f"{self._root}/stats", timeout=10) as answer:
            found: dict[str, float] = orjson.loads(answer.read())
            return found


@contextmanager
def provider(latency_ms: float) -> Iterator[Provider]:
    """Run the cheap provider; it ends with its standard input."""
    command = [sys.executable, "-m", "load.cheap_provider", "--latency-ms", str(latency_ms)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Provider(orjson.loads(process.stdout.readline())["port"])
        finally:
            process.stdin.close()


def bare_loop(target: Provider, file: Path, in_flight: int, limit: float) -> dict[str, float]:
    """Measure the bare loop once."""
    command = [
        sys.executable, "-m", "load.bare_loop", "--url", f"{target.url}/chat/completions", "--file", str(file),
        "--in-flight", str(in_flight),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        raise BenchFailed(f"the bare loop failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = orjson.loads(done.stdout)
    return found


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The whole bench.

    Raises:
        BenchFailed: no figure can be given; the message says why.
    """
    limit = max(_LEAST_SECONDS, options.jobs / _SLOWEST)
    lines = input_file(options.jobs, "q")
    file = folder / "bench.jsonl"
    file.write_bytes(lines)
    facts = report.machine()
    with provider(options.latency_ms) as target:
        _say("bare loop")
        before = bare_loop(target, file, options.in_flight, limit)
        worker = {"permits": options.permits, "slice_size": options.slice_size}
        _say("starting Penstock")
        config = bench_config(target.url, worker)
        with Penstock(folder, config, workers=options.workers, flower=options.flower) as penstock:
            _say("warming up")
            penstock.run_batch(input_file(_WARM_UP_JOBS, "warm"), _WARM_UP_JOBS, limit)
            quiet = penstock.snapshot()
            time.sleep(_IDLE_SECONDS)
            idle = penstock.snapshot()
            calls = target.stats()
            _say(f"{options.jobs} jobs")
            run = penstock.run_batch(lines, options.jobs, limit)
            answered = target.stats()
        _say("bare loop again")
        after = bare_loop(target, file, options.in_flight, limit)
    made = answered["calls"] - calls["calls"]
    if made != options.jobs:
        raise BenchFailed(f"{options.jobs} jobs, but the provider was called {made:g} times")
    if run.restarted:
        raise BenchFailed(f"processes ended during the bench: {', '.join(run.restarted)}")
    engine = _engine(run)
    engine["processes"] = {group: len(pids) for group, pids in idle.processes.items()}
    engine["idle_cpu_ms_per_second"] = _rounded(idle.since(quiet), 1000 / _IDLE_SECONDS, 2)
    engine["peak_in_flight"] = answered["peak_in_flight"]
    bare = _bare(before, after)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": facts,
        "options": {name: getattr(options, name) for name in vars(options) if name not in ("write", "keep")},
        "engine": engine,
        "bare_loop": bare,
        "ratio_to_bare_loop": {
            "throughput": round(engine["jobs_per_second"] / bare["calls_per_second"], 3),
            "cpu": round(engine["cpu_ms_per_job"] / bare["cpu_ms_per_call"], 2),
        },
        "provider_cpu_us_per_call": round((answered["cpu_seconds"] - calls["cpu_seconds"]) * 1e6 / made, 1),
    }


def _engine(run: Run) -> dict[str, Any]:
    return {
        "jobs": run.jobs,
        "jobs_per_second": round(run.jobs / run.create_to_end, 1),
        "jobs_per_second_from_start": round(run.jobs / max(0.001, run.create_to_end - run.create_to_start), 1),
        "cpu_ms_per_job": round(sum(run.cpu.values()) * 1000 / run.jobs, 4),
        "cpu_ms_per_job_by_group": _rounded(run.cpu, 1000 / run.jobs, 4),
        "seconds": round(run.create_to_end, 3),
        "upload_s": round(run.upload, 3),
        "ingest_s": round(run.create_to_start, 3),
        "download_s": round(run.download, 3),
        "download_cpu_ms_per_job": round(sum(run.download_cpu.values()) * 1000 / run.jobs, 4),
    }


def _bare(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    return {
        "calls_per_second": round((before["calls_per_second"] + after["calls_per_second"]) / 2, 1),
        "calls_per_second_range": [before["calls_per_second"], after["calls_per_second"]],
        "cpu_ms_per_call": round((before["cpu_ms_per_call"] + after["cpu_ms_per_call"]) / 2, 4),
        "in_flight": before["in_flight"],
    }


def _rounded(seconds: dict[str, float], factor: float, digits: int) -> dict[str, float]:
    return {group: round(used * factor, digits) for group, used in seconds.items()}


def _say(what: str) -> None:
    print(f"  {what} …", file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--jobs", type=int, default=6000, help="lines of the measured batch, up to 50000 (default 6000)"
    )
    parser.add_argument("--workers", type=int, default=2, help="bulk worker processes (default 2)")
    parser.add_argument("--permits", type=int, default=400, help="calls at once of one worker process (default 400)")
    parser.add_argument("--slice-size", type=int, default=50, help="jobs in one Celery message (default 50)")
    parser.add_argument("--latency-ms", type=float, default=100.0, help="of the provider (default 100)")
    parser.add_argument("--in-flight", type=int, default=400, help="calls at once of the bare loop (default 400)")
    parser.add_argument("--flower", action="store_true", help="run Flower too")
    parser.add_argument("--write", action="store_true", help="add a dated line to load/README.md")
    parser.add_argument("--keep", action="store_true", help="keep the data folder with its logs")
    options = parser.parse_args()
    if not 100 <= options.jobs <= 50_000:
        parser.error("--jobs: from 100 to 50000, which is what one batch may hold")
    return options


def main() -> int:
    """Run the bench; 1 if there is no figure."""
    options = _options()
    try:
        with throwaway_folder("bench", keep=options.keep) as folder:
            result = measure(options, folder)
    except (BenchFailed, subprocess.TimeoutExpired) as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return 1
    report.print_result(result)
    print(f"written to {report.save(result).relative_to(ROOT)}")
    if options.write:
        report.add_line(result)
        print("a line was added to load/README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
