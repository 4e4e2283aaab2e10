"""How large the backlog may become: files of a million lines, a thousand batches, ten thousand tenants.

    python -m load.backlog million | executed | batches | tenants [--count N]

Each runs `penstock up` on a throw-away folder (`tenants`: the embedded servers and a dispatcher in this process), takes
some minutes, prints what it found and writes `results/<date>-backlog-<name>-<count>.json`. README.md has the figures.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson

from load import report
from load.bench import provider
from load.claims import Claims, dispatch_for
from load.engine import ADMIN_KEY, ENDED, MODEL, BenchFailed, Penstock, bench_config, input_file, throwaway_folder
from load.memory import MB, MemoryWatch
from penstock.ids import parse_id

_LIMIT_SECONDS = 420.0
#: so that a backlog stays one: the fleet begins one call a second
_SLOW = {"requests_per_minute": 60}


def write_lines(path: Path, lines: int) -> None:
    """An input file, made piece by piece: nobody here holds all of it either."""
    with path.open("wb") as output:
        for start in range(0, lines, 10_000):
            output.write(input_file(min(10_000, lines - start), f"p{start}"))


def client_of(penstock: Penstock) -> openai.OpenAI:
    """The vendor's own SDK."""
    return openai.OpenAI(base_url=f"{penstock.url}/v1", api_key=ADMIN_KEY, timeout=300, max_retries=0)


def wait(client: openai.OpenAI, batch_id: str, until: Callable[[openai.types.Batch], bool]) -> openai.types.Batch:
    """Look five times a second until a batch is as it should be.

    Raises:
        BenchFailed: it ended otherwise, or is not so within some minutes.
    """
    deadline = time.monotonic() + _LIMIT_SECONDS
    while not until(batch := client.batches.retrieve(batch_id)):
        if batch.status in ENDED or time.monotonic() > deadline:
            raise BenchFailed(f"the batch is {batch.status}: {batch.request_counts} {batch.errors}")
        time.sleep(0.2)
    return batch


def has_ended(batch: openai.types.Batch) -> bool:
    """Whether nothing changes it any more."""
    return batch.status in ENDED


def download(penstock: Penstock, file_id: str) -> dict[str, float]:
    """Read a file to its end and keep nothing: lines, bytes, seconds."""
    lines = size = 0
    began = time.perf_counter()
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.stream("GET", f"{penstock.url}/v1/files/{file_id}/content", headers=headers, timeout=120) as answer:
        for piece in answer.raise_for_status().iter_bytes():
            lines += piece.count(b"\n")
            size += len(piece)
    return {"lines": lines, "megabytes": round(size / MB, 1), "seconds": round(time.perf_counter() - began, 1)}


def million(folder: Path, lines: int) -> dict[str, Any]:
    """One file: uploaded, checked, made into jobs, claimed from, cancelled, its error file read. None is executed."""
    path = folder / "million.jsonl"
    write_lines(path, lines)
    found: dict[str, Any] = {"lines": lines, "megabytes": round(path.stat().st_size / MB, 1)}
    with provider(100.0) as target:
        config = bench_config(target.url, {"permits": 400})
        config["providers"]["cheap"]["limits"] = _SLOW
        config["batches"] = {"max_requests": lines, "max_file_bytes": 2_000_000_000, "max_upload_bytes": 2_000_000_000}
        with Penstock(folder, config, workers=1) as penstock:
            client = client_of(penstock)
            claims = Claims(folder / "data")
            found["claims with 1,000 pending"] = asyncio.run(claims.measure(1_000, 10))
            with MemoryWatch(penstock.pid, folder / "data") as memory:
                began = time.perf_counter()
                with path.open("rb") as content:
                    file = client.files.create(file=content, purpose="batch")
                found["upload, s"] = round(time.perf_counter() - began, 1)
                _say(f"uploaded in {found['upload, s']} s")
                found["read, s"], batch = read_in(client, claims, file.id)
                _say(f"read: {found['read, s']}")
                found["rows/s"] = round(lines / found["read, s"]["inserted"])
                found[f"claims beside {lines:,} pending"] = asyncio.run(claims.measure(1_000, 10))
                found[f"claims of {lines:,} pending"] = asyncio.run(claims.measure_flow(MODEL, 20_000))
                _say(str({name: value for name, value in found.items() if name.startswith("claims")}))
                began = time.perf_counter()
                client.batches.cancel(batch.id)
                found["cancel answered, s"] = round(time.perf_counter() - began, 3)
                ended = wait(client, batch.id, has_ended)
                found["cancelled, s"] = round(time.perf_counter() - began, 1)
                assert ended.error_file_id is not None
                found["error file"] = download(penstock, ended.error_file_id)
            found["memory, MB"] = memory.result()
            found["memory over time"] = memory.series[:: max(1, len(memory.series) // 30)]
    return found


def read_in(client: openai.OpenAI, claims: Claims, file_id: str) -> tuple[dict[str, Any], openai.types.Batch]:
    """Create a batch; seconds until its file was checked, and until all lines were jobs."""
    began = time.perf_counter()
    batch = client.batches.create(input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h")
    checked = wait(client, batch.id, lambda batch: batch.status == "in_progress")
    seconds: dict[str, Any] = {"checked": round(time.perf_counter() - began, 1)}
    total = checked.request_counts.total if checked.request_counts else 0
    seconds["tenths of inserting"] = asyncio.run(claims.wait_inserted(parse_id("batch_", batch.id, "batch"), total))
    seconds["inserted"] = round(time.perf_counter() - began, 1)
    return seconds, batch


def executed(folder: Path, lines: int) -> dict[str, Any]:
    """One file through the vendor's SDK, executed against a provider that answers after 100 ms."""
    path = folder / "executed.jsonl"
    write_lines(path, lines)
    found: dict[str, Any] = {"lines": lines, "megabytes": round(path.stat().st_size / MB, 1)}
    with provider(100.0) as target:
        config = bench_config(target.url, {"permits": 400})
        config["batches"] = {"max_requests": max(lines, 50_000), "max_file_bytes": 2_000_000_000}
        with Penstock(folder, config, workers=2) as penstock, MemoryWatch(penstock.pid, folder / "data") as memory:
            client = client_of(penstock)
            began = time.perf_counter()
            with path.open("rb") as content:
                file = client.files.create(file=content, purpose="batch")
            found["upload, s"] = round(time.perf_counter() - began, 1)
            began = time.perf_counter()
            batch = client.batches.create(
                input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
            ended = wait(client, batch.id, has_ended)
            found["from creation to completed, s"] = round(time.perf_counter() - began, 1)
            if ended.status != "completed" or ended.output_file_id is None or ended.error_file_id is not None:
                raise BenchFailed(f"the batch is {ended.status}: {ended.request_counts}")
            found["output file"] = download(penstock, ended.output_file_id)
            found["calls"] = target.stats()["calls"]
    found["memory, MB"] = memory.result()
    return found


def thousand(folder: Path, count: int) -> dict[str, Any]:
    """So many batches open at once: a provider that takes 90 s keeps them so while they are made."""
    found: dict[str, Any] = {"batches": count}
    with provider(90_000.0) as target:
        config = bench_config(target.url, {"permits": 2 * count})
        with Penstock(folder, config, workers=1) as penstock, MemoryWatch(penstock.pid, folder / "data") as memory:
            client = client_of(penstock)

            def create(number: int) -> str:
                file = client.files.create(file=input_file(2, f"b{number}"), purpose="batch")
                return client.batches.create(
                    input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
                ).id

            before, began = penstock.snapshot(), time.perf_counter()
            with ThreadPoolExecutor(8) as threads:
                ids = list(threads.map(create, range(count)))
            found["created, s"] = round(time.perf_counter() - began, 1)
            began = time.perf_counter()
            found["open when all were created"] = sum(
                1 for batch in client.batches.list(limit=100) if batch.status not in ENDED
            )
            found["listed by the SDK, s"] = round(time.perf_counter() - began, 2)
            seconds = time.perf_counter()
            for batch_id in ids:
                if wait(client, batch_id, has_ended).status != "completed":
                    raise BenchFailed(f"batch {batch_id} did not complete")
            found["all completed, s after the last was created"] = round(time.perf_counter() - seconds, 1)
            found["CPU, s"] = {group: round(used, 1) for group, used in penstock.snapshot().since(before).items()}
    found["memory, MB"] = memory.result()
    return found


def ten_thousand(folder: Path, count: int) -> dict[str, Any]:
    """So many tenants with ten jobs each, and what a round of the dispatcher costs then."""
    settings = bench_config("http://127.0.0.1:1/v1", {"permits": 400})
    return asyncio.run(dispatch_for(folder, count, 10, 40, settings))


_SCENARIOS: dict[str, tuple[Callable[[Path, int], dict[str, Any]], int]] = {
    "million": (million, 1_000_000),
    "executed": (executed, 10_000),
    "batches": (thousand, 1_000),
    "tenants": (ten_thousand, 10_000),
}


def _say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def main() -> int:
    """Run one; 1 if there is no figure."""
    parser = argparse.ArgumentParser(prog="python -m load.backlog", description=__doc__.splitlines()[0])
    parser.add_argument("scenario", choices=_SCENARIOS)
    parser.add_argument("--count", type=int, help="lines, batches or tenants (default: as the scenario's name says)")
    options = parser.parse_args()
    run, count = _SCENARIOS[options.scenario]
    facts = report.machine()
    try:
        with throwaway_folder("backlog") as folder:
            found = run(folder, options.count or count)
    except BenchFailed as failed:
        print(f"backlog: {failed}", file=sys.stderr)
        return 1
    now = datetime.now(UTC)
    result = {"date": now.isoformat(timespec="seconds"), "machine": facts, **found}
    text = orjson.dumps(result, option=orjson.OPT_INDENT_2).decode()
    file = report.FOLDER / "results" / f"{now:%Y-%m-%d}-backlog-{options.scenario}-{options.count or count}.json"
    file.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
