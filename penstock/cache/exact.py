"""Answers by their exact key: a tier in the process, and one in Redis that the fleet shares.

Both hold packed bytes within a budget. Whatever is wrong with Redis is a miss: the cache saves money, it must not cost
an answer. Where Redis is slow or away it is left alone for some seconds.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import structlog

from penstock.completion import CompletionResult
from penstock.completion.encoding import dumps, loads, pack, unpack
from penstock.configuration.policies import CacheConfig
from penstock.redis import PREFIX, Redis, RedisError

#: seconds after which an entry in the process is looked up in Redis again: another process may have refreshed it
MEMORY_SECONDS = 60.0
#: a call to Redis that takes longer than this is a miss. More than a process that just started is late by itself: it
#: would take its own lateness for that of Redis
_PATIENCE = 2.0
#: seconds for which Redis is left alone after it failed
_PAUSE = 5.0
#: calls to Redis at one moment: the pool has no more connections
CONNECTIONS = 24
_TIME_DIGITS = 13
_INDEX, _SIZES = f"{PREFIX}cache:index", f"{PREFIX}cache:sizes"
_log = structlog.get_logger()
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer, when its call began (seconds since 1970), and what it cost in US dollars, None: unknown.

    `models` are the names of the model that gave it, and `tags` its request's: by these it is invalidated.
    """

    result: CompletionResult
    created: float
    cost: Decimal | None
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The time, to be compared without unpacking, and the packed rest."""
        value = {
            "result": self.result.to_json(),
            "cost": str(self.cost) if self.cost is not None else None,
            "models": self.models,
            "tags": self.tags,
        }
        return f"{int(self.created * 1000):0{_TIME_DIGITS}d}".encode() + pack(dumps(value))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Entry":
        """The inverse of `to_bytes`."""
        value = loads(unpack(data[_TIME_DIGITS:]))
        cost = Decimal(value["cost"]) if value["cost"] is not None else None
        models, tags = tuple(value.get("models", ())), tuple(value.get("tags", ()))
        return cls(CompletionResult.from_json(value["result"]), _created(data), cost, models, tags)


def _created(data: bytes) -> float:
    return int(data[:_TIME_DIGITS]) / 1000


class Memory:
    """The tier in the process: the entries used last, within a budget of bytes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.bytes = 0

    def get(self, key: str, since: float) -> bytes | None:
        """The entry, if it was made at `since` (seconds since 1970) or later."""
        known = self._entries.get(key)
        if known is None:
            return None
        put, data = known
        if time.monotonic() > put + MEMORY_SECONDS:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return data if _created(data) >= since else None

    def put(self, key: str, data: bytes) -> bool:
        """Keep an entry; False where it is larger than the whole budget."""
        if key in self._entries:
            self._drop(key)
        if len(data) > self._budget:
            return False
        self._entries[key] = (time.monotonic(), data)
        self.bytes += len(data)
        while self.bytes > self._budget:
            self._drop(next(iter(self._entries)))
        return True

    def _drop(self, key: str) -> None:
        self.bytes -= len(self._entries.pop(key)[1])


class Shared:
    """The tier in Redis, and who is making what is not there yet. Every method answers None where Redis does not."""

    def __init__(self, redis: Redis, config: CacheConfig) -> None:
        self._budget = config.redis_bytes
        self._keep_ms = int(config.ttl * 1000)
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._pause_until = 0.0
        self._get = redis.get
        self._enter, self._leave, self._renew = (redis.register_script(_script(n)) for n in ("enter", "leave", "keep"))

    async def get(self, key: str, since: float) -> bytes | None:
        """The entry, if it was made at `since` or later."""
        found: Any = await self._ask(lambda: self._get(_entry_key(key)))
        return found if found is not None and _created(found) >= since else None

    async def enter(self, key: str, token: str, lead_ms: int, since: float) -> bytes | int | None:
        """The entry; or 1: the caller is to make it, 0: another is, -1: go alone."""
        keys = [_entry_key(key), _lead_key(key)]
        args: list[str | int] = [token, lead_ms, int(since * 1000)]
        answer: bytes | int | None = await self._ask(lambda: self._enter(keys=keys, args=args))
        return answer

    async def leave(self, key: str, token: str, data: bytes, alone_ms: int) -> int | None:
        """Keep an entry, if `data` is one, and give up the lead of `token`; others go alone for so long."""
        keys = [_entry_key(key), _lead_key(key), _INDEX, _SIZES]
        args: list[str | bytes | int] = [token, data, self._keep_ms, self._budget, alone_ms]
        moved: int | None = await self._ask(lambda: self._leave(keys=keys, args=args))
        return moved

    async def keep(self, key: str, token: str, lead_ms: int) -> None:
        """Renew a lead."""
        await self._ask(lambda: self._renew(keys=[_lead_key(key)], args=[token, lead_ms]))

    async def _ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        if self._budget == 0:
            return None
        try:
            async with self._places:
                if time.monotonic() < self._pause_until:
                    return None
                async with asyncio.timeout(_PATIENCE):
                    return await call()
        except (RedisError, OSError, TimeoutError) as error:
            if time.monotonic() > self._pause_until:
                _log.warning("the cache does without Redis", error=f"{type(error).__name__}: {error}"[:200])
            self._pause_until = time.monotonic() + _PAUSE
            return None


def _entry_key(key: str) -> str:
    return f"{PREFIX}cache:entry:{key}"


def _lead_key(key: str) -> str:
    return f"{PREFIX}cache:lead:{key}"


@cache
def _script(name: str) -> str:
    return (files("penstock.cache") / f"{name}.lua").read_text("utf-8")
