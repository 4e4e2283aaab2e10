"""What the exact cache costs a miss and a hit: one process, an embedded Valkey, no provider.

.venv/bin/python -m load.cache
"""

import asyncio
import json
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

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
ROUNDS = 3000
PROMPT = "Why is the sky blue? " * 100
ANSWER = "Because of scattering. " * 60


async def measure(url: str) -> dict[str, dict[str, float]]:
    config = Config.model_validate(
        {"providers": {"p": {"wire_format": "openai", "base_url": "http://x"}}, "models": {"m": {"provider": "p"}}}
    )
    deployment = Deployments(config).get("m")
    assert deployment
    redis = connect(url, size=CONNECTIONS)
    shared = Shared(redis, CacheConfig())
    memory = Memory(10**8)
    flights = Flights(memory, shared)
    part = ResultPart("text", ANSWER)
    result = CompletionResult((part,), ((0, 0, 0), (0, len(ANSWER), 0)), ("stop",), Usage(500, 240))
    times: dict[str, list[float]] = {"miss": [], "hit in redis": [], "hit in memory": []}
    spent = dict.fromkeys(times, 0.0)
    for number in range(ROUNDS):
        request = CompletionRequest(
            model="m", messages=(Message("user", (Text(f"{number} {PROMPT}"),)),), temperature=0.0, max_tokens=300
        )
        began, used = time.perf_counter(), time.process_time()
        key = cache_key("t", deployment, request)
        assert key
        turn = await flights.enter(key, None)
        assert not isinstance(turn, Found)
        await flights.leave(turn, Entry(result, time.time(), None).to_bytes(), passing=False)
        times["miss"].append(time.perf_counter() - began)
        spent["miss"] += time.process_time() - used
        for name, tier in (("hit in memory", flights), ("hit in redis", Flights(Memory(0), shared))):
            began, used = time.perf_counter(), time.process_time()
            key = cache_key("t", deployment, request)
            assert key
            assert isinstance(await tier.enter(key, None), Found)
            times[name].append(time.perf_counter() - began)
            spent[name] += time.process_time() - used
    await redis.aclose()
    return {name: {**quantiles(seconds), "cpu_ms": spent[name] / ROUNDS * 1e3} for name, seconds in times.items()}


def quantiles(seconds: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_ms": cuts[49] * 1e3, "p95_ms": cuts[94] * 1e3, "p99_ms": cuts[98] * 1e3}


def main() -> None:
    with servers.embedded() as found:
        result = asyncio.run(measure(found.redis))
    print("| | p50 | p95 | p99 | CPU |\n|---|---|---|---|---|")
    for name, row in result.items():
        print(f"| {name} | {' | '.join(f'{value:.2f} ms' for value in row.values())} |")
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    body = {
        "date": date,
        "rounds": ROUNDS,
        "prompt_characters": len(PROMPT),
        "answer_characters": len(ANSWER),
        **result,
    }
    (RESULTS / f"{date}-cache.json").write_text(json.dumps(body, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
