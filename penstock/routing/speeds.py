"""Live statistics: workers write what their calls were like, whoever decides reads it.

In Redis each deployment has one stream. Its entries are groups of calls, with the Redis server's own time, so that no
worker's clock decides anything. It holds a bounded number of them and expires; after a loss it begins anew, and
deciders use the order of the configuration until then. Without a Redis the same is kept in the process.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog

from penstock.completion.encoding import dumps, loads
from penstock.redis import PREFIX, Redis, RedisError
from penstock.routing.statistics import WINDOW_CALLS, WINDOW_SECONDS, Sample, Statistics, summary

#: seconds between two writes of one process, and for which what was read is good
FLUSH_SECONDS = 1.0
CACHE_SECONDS = 1.0
#: a decision waits no longer for Redis, in seconds, and then takes what was read so many seconds ago
_PATIENCE = 2.0
STALE_SECONDS = 10.0
#: groups kept of one deployment; a group has at most `WINDOW_CALLS` calls
_GROUPS = WINDOW_CALLS

_log = structlog.get_logger()


def speed_key(deployment: str) -> str:
    """The stream of a deployment."""
    return f"{PREFIX}speed:{deployment}"


class Speeds:
    """What the calls to deployments were like lately; None in place of statistics while Redis is away."""

    def __init__(self, redis: Redis | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis = redis
        self._clock = clock
        self._new: dict[str, list[Sample]] = {}
        self._own: dict[str, deque[tuple[float, Sample]]] = {}
        self._read: dict[str, tuple[float, Statistics | None]] = {}
        self._away_until = 0.0

    def add(self, deployment: str, sample: Sample) -> None:
        """One call has ended. It is told to others within a second."""
        if self._redis is None:
            seen = self._own.setdefault(deployment, deque(maxlen=WINDOW_CALLS))
            seen.appendleft((self._clock(), sample))
            return
        self._new.setdefault(deployment, []).append(sample)

    async def run(self) -> None:
        """Write now and then, until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Write what is new, all deployments in one trip. While Redis is away it is dropped: it would be old then."""
        if self._redis is None or not self._new:
            return
        new, self._new = self._new, {}
        pipe = self._redis.pipeline(transaction=False)
        for deployment, samples in new.items():
            fields: Any = {b"d": dumps([_packed(sample) for sample in samples[-WINDOW_CALLS:]])}
            pipe.xadd(speed_key(deployment), fields, maxlen=_GROUPS, approximate=False)
            pipe.expire(speed_key(deployment), int(WINDOW_SECONDS))
        try:
            await pipe.execute()
        except (RedisError, OSError) as error:
            _log.warning("speeds: Redis is away", error=type(error).__name__)

    async def known(self, deployments: Iterable[str]) -> Mapping[str, Statistics] | None:
        """The statistics of those of which anything is known; None where nobody can tell, as Redis is away."""
        names, now = list(deployments), self._clock()
        if self._redis is None:
            found = {name: summary([(now - at, one) for at, one in self._own.get(name, ())]) for name in names}
            return {name: value for name, value in found.items() if value is not None}
        stale = [name for name in names if not self._read_since(name, now - CACHE_SECONDS)]
        if stale and now >= self._away_until:
            try:
                await asyncio.wait_for(self._look(self._redis, stale), _PATIENCE)
            except (RedisError, OSError, TimeoutError) as error:
                _log.warning("speeds: Redis is away", error=type(error).__name__)
                self._away_until = self._clock() + CACHE_SECONDS
        if not all(self._read_since(name, now - STALE_SECONDS) for name in names):
            return None
        read = {name: self._read[name][1] for name in names}
        return {name: value for name, value in read.items() if value is not None}

    def _read_since(self, name: str, moment: float) -> bool:
        return name in self._read and self._read[name][0] >= moment

    async def _look(self, redis: Redis, names: list[str]) -> None:
        pipe = redis.pipeline(transaction=False)
        pipe.time()
        for name in names:
            pipe.xrevrange(speed_key(name), count=_GROUPS)
        (seconds, micros), *streams = await pipe.execute()
        now, at = seconds + micros / 1e6, self._clock()
        for name, entries in zip(names, streams, strict=True):
            samples = [
                (now - int(entry_id.split(b"-")[0]) / 1000, _unpacked(packed))
                for entry_id, fields in entries
                for packed in reversed(loads(fields[b"d"]))
            ]
            self._read[name] = (at, summary(samples))


def _packed(sample: Sample) -> list[Any]:
    first = None if sample.first_token is None else round(sample.first_token, 4)
    return [round(sample.seconds, 4), sample.tokens, first, int(sample.failed)]


def _unpacked(value: list[Any]) -> Sample:
    seconds, tokens, first, failed = value
    return Sample(seconds, tokens, first, bool(failed))
