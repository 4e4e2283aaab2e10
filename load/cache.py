"""What the exact cache costs a miss and a hit: one process, an embedded Valkey, no provider.

.venv/bin/python -m load.cache

Of a miss a caller waits for what comes before the call and after the answer. The whole has what is done behind too,
until every other process can find the answer. The event loop is that of the workers.
"""

import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from penstock.cache.coalesce import Flights, Found
from penstock.cache.exact import CONNECTIONS, Entry, Memory, Shared
from penstock.cache.key import cache_key
from penstock.completion import CompletionRequest, CompletionResult, Message, ResultPart, Text, Usage
from penstock.configuration import Config
from penstock.configuration.policies import CacheConfig
from penstock.providers.deployments import Deployments
from penstock.redis import connect

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import servers

RESULTS = Path(__file__).parent / "results"
WARM, ROUNDS = 100, 3000
MISS = "a miss, until it is kept for all"
PROMPT = "Why is the sky blue? " * 100
ANSWER = "Because of scattering. " * 60


async def measure(url: str) -> dict[str, dict[str, float]]:
    config = Config.model_validate(
        {"providers": {"p": {"wire_format": "openai", "base_url": "http://x"}}, "models": {"m": {"provider": "p"}}}
    )
    deployment = Deployments(config).get("m")
    assert deployment
    redis = connect(url, size=2 * CONNECTIONS, timeout=None)
    cache = CacheConfig()
    shared, others = Shared(redis, cache), Shared(redis, cache)
    flights = Flights(Memory(cache.memory_bytes), shared, cache.max_entry_bytes)
    part = ResultPart("text", ANSWER)
    result = CompletionResult((part,), ((0, 0, 0), (0, len(ANSWER), 0)), ("stop",), Usage(500, 240))
    taken = {name: Taken() for name in ("before the call", "after the answer", MISS, "hit in redis", "hit in memory")}
    for number in range(-WARM, ROUNDS):
        if number == 0:
            taken = {name: Taken() for name in taken}
        request = CompletionRequest(
            model="m", messages=(Message("user", (Text(f"{number} {PROMPT}"),)),), temperature=0.0, max_tokens=300
        )
        with taken[MISS]:
            with taken["before the call"]:
                key = cache_key("t", deployment, request)
                assert key
                turn = await flights.enter(key, None)
                assert not isinstance(turn, Found)
            with taken["after the answer"]:
                kept = flights.leave(turn, Entry(result, time.time(), None), passing=False)
            await kept
        for name, tier in (("hit in memory", flights), ("hit in redis", Flights(Memory(0), others, 1))):
            with taken[name]:
                key = cache_key("t", deployment, request)
                assert key
                assert isinstance(await tier.enter(key, None), Found)
    await shared.close()
    await others.close()
    await redis.aclose()
    return {name: one.figures() for name, one in taken.items()}


class Taken:
    """What one part took, round by round: seconds of the clock, and of this process's CPU."""

    def __init__(self) -> None:
        self._seconds: list[float] = []
        self._cpu = 0.0

    def __enter__(self) -> None:
        self._began, self._used = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self._seconds.append(time.perf_counter() - self._began)
        self._cpu += time.process_time() - self._used

    def figures(self) -> dict[str, float]:
        """In ms."""
        cuts = statistics.quantiles(self._seconds, n=100)
        return {
            "p50_ms": cuts[49] * 1e3,
            "p95_ms": cuts[94] * 1e3,
            "p99_ms": cuts[98] * 1e3,
            "cpu_ms": self._cpu / len(self._seconds) * 1e3,
        }


def main() -> None:
    with servers.embedded() as found:
        result = uvloop.run(measure(found.redis))
    print("| | p50 | p95 | p99 | CPU |\n|---|---|---|---|---|")
    for name, row in result.items():
        print(f"| {name} | {' | '.join(f'{value:.2f} ms' for value in row.values())} |")
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    body = {
        "date": date,
        "rounds": ROUNDS,
        "prompt_characters": len(PROMPT),
        "answer_characters": len(ANSWER),
        "load_average": os.getloadavg()[0],
        **result,
    }
    (RESULTS / f"{date}-cache.json").write_text(json.dumps(body, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
