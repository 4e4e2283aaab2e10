"""A thousand readers of running streams on one API process: what each sees, and how late.

    python -m load.subscribers [--responses 100] [--readers 10] [--chunks 60] [--per-second 5]

Background responses are streamed by a provider whose deltas are the moments at which they were sent. Every reader holds
a connection of its own (`GET /v1/responses/{id}?stream=true`). The delay of a delta is from the provider's write to the
reader's read, all on one machine: worker, Redis and API are in it, and the reader's own parsing.
"""

import argparse
import asyncio
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import orjson
from rich.console import Console
from rich.table import Table

from load import report
from load.engine import ADMIN_KEY, ROOT, BenchFailed, Penstock, throwaway_folder
from load.simulated import started

_MODEL = "timed"
#: readers are all there before the first delta comes
_SETTLE_SECONDS = 10.0


@dataclass(slots=True)
class Reader:
    """What one reader saw."""

    numbers: list[int] = field(default_factory=list)
    text: str = ""
    delays: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """One run; delays in ms, CPU in cores of the API process while deltas came."""

    responses: int
    readers: int
    per_second: float
    deltas: int
    whole: int
    p50: float
    p95: float
    p99: float
    api_cores: float


async def read(session: aiohttp.ClientSession, url: str, seen: Reader) -> None:
    """Read one stream to its end."""
    async with session.get(url, params={"stream": "true"}) as answer:
        async for line in answer.content:
            if not line.startswith(b"data: "):
                continue
            now = time.monotonic()
            event: dict[str, Any] = orjson.loads(line[6:])
            seen.numbers.append(event["sequence_number"])
            if event["type"] == "response.output_text.delta":
                seen.text += event["delta"]
                seen.delays += [(now - float(sent)) * 1000 for sent in event["delta"].split()]


async def drive(penstock: Penstock, options: argparse.Namespace) -> Result:
    """Make the responses, let everybody read, compare."""
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        f"{penstock.url}/", headers=headers, connector=connector, timeout=_PATIENT
    ) as session:
        ids = []
        for number in range(options.responses):
            body = {"model": _MODEL, "input": f"stream {number}", "background": True}
            async with session.post("v1/responses", json=body) as answer:
                ids.append((await answer.json())["id"])
        readers = {name: [Reader() for _ in range(options.readers)] for name in ids}
        reading = [
            asyncio.create_task(read(session, f"v1/responses/{name}", seen))
            for name, all_ in readers.items()
            for seen in all_
        ]
        await asyncio.sleep(_SETTLE_SECONDS)
        before, began = penstock.snapshot(), time.monotonic()
        await asyncio.gather(*reading)
        used = penstock.snapshot().since(before)["api"] / (time.monotonic() - began)
    everyone = [seen for all_ in readers.values() for seen in all_]
    texts = {name: {seen.text for seen in all_} for name, all_ in readers.items()}
    whole = sum(
        seen.numbers == list(range(len(seen.numbers))) and len(seen.delays) == options.chunks for seen in everyone
    )
    if any(len(different) != 1 for different in texts.values()):
        raise BenchFailed("readers of one response saw different texts")
    delays = [delay for seen in everyone for delay in seen.delays]
    cuts = statistics.quantiles(delays, n=100)
    return Result(
        options.responses, len(everyone), options.per_second, len(delays), whole, cuts[49], cuts[94], cuts[98], used
    )


_PATIENT = aiohttp.ClientTimeout(total=300)


def main() -> int:
    """Measure, print, write."""
    options = _options()
    arguments = (str(options.chunks), str(options.per_second), str(_SETTLE_SECONDS))
    try:
        with throwaway_folder("subscribers") as folder, started("load.timed_provider", *arguments) as url:
            config = {
                "providers": {
                    "timed": {"wire_format": "openai", "base_url": f"{url}/v1", "api_key": "sk-timed-provider"}
                },
                "models": {_MODEL: {"provider": "timed"}},
            }
            with Penstock(folder, config, workers=1) as penstock:
                found = asyncio.run(drive(penstock, options))
    except BenchFailed as failed:
        print(f"subscribers: {failed}", file=sys.stderr)
        return 1
    table = Table(title="Readers of running streams, one API process")
    for name in ("readers", "responses", "deltas/s each", "saw all, once", "p50", "p95", "p99", "API cores"):
        table.add_column(name, justify="right")
    table.add_row(
        str(found.readers), str(found.responses), f"{found.per_second:g}", str(found.whole), f"{found.p50:.1f} ms",
        f"{found.p95:.1f} ms", f"{found.p99:.1f} ms", f"{found.api_cores:.2f}",
    )  # fmt: skip
    Console().print(table)
    print(f"written to {report.write('subscribers', [asdict(found)]).relative_to(ROOT)}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load.subscribers", description=__doc__.splitlines()[0])
    parser.add_argument("--responses", type=int, default=100)
    parser.add_argument("--readers", type=int, default=10, help="of each response")
    parser.add_argument("--chunks", type=int, default=60)
    parser.add_argument("--per-second", type=float, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
