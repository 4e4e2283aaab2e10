"""Rings in Redis: work for the dispatcher, orders for workers. Any may be lost; sweeps find what they meant."""

import asyncio
from uuid import UUID

import structlog

from penstock.completion.encoding import dumps
from penstock.redis import PREFIX, Redis, RedisError
from penstock.streams.entries import control_channel

#: the dispatcher listens here
WAKE_CHANNEL = f"{PREFIX}wake"

#: a ring that takes longer than this is given up: whoever rings has a client waiting
_SECONDS = 1.0

_log = structlog.get_logger()


async def wake_dispatcher(redis: Redis) -> None:
    """Say that jobs became pending."""
    await _publish(redis, WAKE_CHANNEL, b"")


async def order_stop(redis: Redis, kind: str, object_id: UUID, end: str) -> None:
    """Tell the workers to close the calls of a `job` or `batch`, which end as `cancelled` or `expired`."""
    await _publish(redis, control_channel(), dumps([kind, object_id.hex, end]))


async def _publish(redis: Redis, channel: str, message: bytes) -> None:
    try:
        async with asyncio.timeout(_SECONDS):
            await redis.publish(channel, message)
    except (RedisError, OSError) as error:
        _log.warning("a ring was lost, the sweep will find it", channel=channel, error=type(error).__name__)
