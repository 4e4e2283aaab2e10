"""The yardstick: what the calls alone cost, with nothing durable around them.

    python -m load.bare_loop --url http://127.0.0.1:1234/v1/chat/completions --file batch.jsonl --in-flight 400

One process, one uvloop event loop, one aiohttp client, a fixed number of calls in flight. Each call sends a body that
was encoded beforehand and parses its answer; nothing else is done. Prints one line of JSON.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import uvloop

_HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-bench"}
_SECONDS = 60.0


async def _client(session: aiohttp.ClientSession, url: str, bodies: Iterator[bytes]) -> int:
    done = 0
    for body in bodies:
        async with session.post(url, data=body, headers=_HEADERS) as answer:
            answer.raise_for_status()
            parsed = orjson.loads(await answer.read())
        done += bool(parsed["choices"][0]["message"]["content"])
    return done


async def measure(url: str, bodies: list[bytes], in_flight: int) -> dict[str, float]:
    """Send every body once; wall and CPU time of this process are counted from the first call to the last answer."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        # connections are made beforehand, as they are in a worker that has been running for a while
        await asyncio.gather(*(_client(session, url, iter(bodies[:1])) for _ in range(in_flight)))
        work = iter(bodies)
        wall, cpu = time.perf_counter(), time.process_time()
        done = sum(await asyncio.gather(*(_client(session, url, work) for _ in range(in_flight))))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "calls": done,
        "in_flight": in_flight,
        "seconds": round(wall, 3),
        "calls_per_second": round(done / wall, 1),
        "cpu_ms_per_call": round(cpu * 1000 / done, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--file", type=Path, required=True, help="a batch input file; its bodies are sent")
    parser.add_argument("--in-flight", type=int, default=400)
    options = parser.parse_args()
    bodies = [orjson.dumps(orjson.loads(line)["body"]) for line in options.file.read_bytes().splitlines()]
    print(orjson.dumps(uvloop.run(measure(options.url, bodies, options.in_flight))).decode(), flush=True)


if __name__ == "__main__":
    main()
