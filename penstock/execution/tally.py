"""What workers count for `/metrics`: kept in Redis, so that the whole fleet's is read in one place.

Counts are sent together, a second after they were made. Redis may forget them: a counter then begins anew, which is
what readers of counters expect. Nothing depends on them.
"""

import asyncio
from collections import Counter

import structlog

from penstock.completion.encoding import dumps, loads
from penstock.redis import PREFIX, Redis, RedisError

_KEY = f"{PREFIX}tally"
_SECONDS = 1.0
_log = structlog.get_logger()

#: a name and the values of its labels
Counted = tuple[str, ...]


class Tally:
    """The counts of one process on their way to Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._counts: Counter[Counted] = Counter()

    def add(self, name: str, *labels: str, amount: float = 1) -> None:
        """Count something."""
        self._counts[name, *labels] += amount  # type: ignore[assignment]  # amounts of money are no integers

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Send what was counted; while Redis is away it is kept."""
        counts, self._counts = self._counts, Counter()
        if not counts:
            return
        pipe = self._redis.pipeline(transaction=True)
        for counted, amount in counts.items():
            pipe.hincrbyfloat(_KEY, dumps(counted).decode(), amount)
        try:
            await pipe.execute()
        except (RedisError, OSError) as error:
            _log.warning("counts are kept: Redis is away", error=type(error).__name__)
            self._counts.update(counts)


async def read(redis: Redis) -> dict[Counted, float]:
    """Everything counted by the fleet."""
    found = await redis.hgetall(_KEY)
    return {tuple(loads(counted)): float(amount) for counted, amount in found.items()}
