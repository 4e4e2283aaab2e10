"""What a worker hears from Redis: jobs and batches that are to be stopped, breakers that opened or closed."""

import asyncio
from uuid import UUID

import structlog

from penstock.completion.encoding import loads
from penstock.limits.breakers import CHANNEL as BREAKERS
from penstock.limits.quota import Quota
from penstock.redis import Redis, RedisError
from penstock.rules.lifecycle import JobState
from penstock.streams.entries import control_channel
from workers.runtime import WorkerRuntime

_log = structlog.get_logger()


async def listen(redis: Redis, runtime: WorkerRuntime, quota: Quota) -> None:
    """Pass on what is heard, until cancelled. What is missed while Redis is away is found by sweeps, or by asking."""
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(control_channel(), BREAKERS)
                while True:
                    message = await pubsub.get_message(timeout=5.0)
                    if not message:
                        continue
                    if message["channel"].decode() == BREAKERS:
                        quota.hear(*loads(message["data"]))
                    else:
                        _obey(runtime, loads(message["data"]))
        except (RedisError, OSError) as error:
            _log.warning("orders: Redis is away", error=type(error).__name__)
            await asyncio.sleep(1.0)


def _obey(runtime: WorkerRuntime, order: list[str]) -> None:
    verb, object_id, end = order
    stop = runtime.stop_batch if verb == "batch" else runtime.stop_job
    state: JobState = "expired" if end == "expired" else "cancelled"
    stop(UUID(hex=object_id), state)
