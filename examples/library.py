"""Penstock as a library: an answer, a stream, a fallback, two vectors; in one process without queue or database.

    .venv/bin/python examples/library.py

It asks a simulated provider, so that it runs without a key; with your own `penstock.yaml`, use
`LLMGateway.from_file("penstock.yaml")`.
"""

import asyncio

from penstock import LLMGateway
from simulator.options import SimulatorOptions
from simulator.server import start


async def main() -> None:
    """Ask four times."""
    async with start(SimulatorOptions(tokens_per_second=50)) as url:
        config = {
            "providers": {
                "simulated": {
                    "wire_format": "openai",
                    "base_url": f"{url}/v1",
                    "limits": {"requests_per_minute": 600, "tokens_per_minute": 100_000},
                },
                "away": {"wire_format": "openai", "base_url": "http://127.0.0.1:9/v1"},
            },
            "models": {
                "small": {"provider": "simulated", "price": {"input": 0.25, "output": 2.0}},
                "large": {"provider": "away"},
            },
            "retries": {"interactive": {"max_attempts": 1}},
        }
        async with LLMGateway(config) as gateway:
            answer = await gateway.complete([{"role": "user", "content": "Why is the sky blue?"}], model="small")
            print(f"{answer.model}: {answer.text[:60]} …")
            print(f"{answer.usage.total_tokens} tokens, ${answer.cost:.6f}\n")

            stream = await gateway.complete(
                [{"role": "user", "content": "Count. [[tokens: 12]]"}], model="small", stream=True
            )
            async for text in stream.text():
                print(text, end="", flush=True)
            print(f"\n{(await stream.response()).finish_reason}\n")

            answer = await gateway.complete(
                [{"role": "user", "content": "Are you there?"}], model="large", fallback=["small"]
            )
            for attempt in answer.attempts:
                print(f"{attempt.deployment}: {attempt.outcome} {attempt.error_type or ''}")

            vectors = (await gateway.embed(["red apples", "green apples"], model="small")).vectors
            print(f"{len(vectors)} vectors of {len(vectors[0])} numbers")


if __name__ == "__main__":
    asyncio.run(main())
