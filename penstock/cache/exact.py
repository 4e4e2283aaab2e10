"""Answers by their exact key: a tier in the process, and one in Redis that the fleet shares.

Both hold packed bytes within a budget. Whatever is wrong with Redis is a miss.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from penstock.cache.roundtrips import RoundTrips
from penstock.completion import CompletionResult, EmbeddingResult
from penstock.completion.encoding import dumps, loads, pack, unpack
from penstock.configuration.policies import CacheConfig
from penstock.redis import PREFIX, Redis

#: seconds after which an entry in the process is looked up in Redis again: another process may have refreshed it
MEMORY_SECONDS = 60.0
#: connections to Redis of one process: one in hand for entries and one for parts, each with one to take its place
CONNECTIONS = 4
#: for so long the part of a broken answer is kept: who asks again does so soon
_PART_MS = 600_000
_SCRIPTS = ("enter", "leave", "keep")
_TIME_DIGITS = 13
_TEXTS, _VECTORS = "result", "vectors"
_INDEX, _SIZES = f"{PREFIX}cache:index", f"{PREFIX}cache:sizes"


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer, when its call began (seconds since 1970), and what it cost in US dollars, None: unknown.

    `models` are the names of the model that gave it, and `tags` its request's: by these it is invalidated.
    """

    result: CompletionResult | EmbeddingResult
    created: float
    cost: Decimal | None
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()

    def to_bytes(self) -> bytes:
        """The time, to be compared without unpacking, and the packed rest. Numbers of vectors do not pack."""
        kind = _VECTORS if isinstance(self.result, EmbeddingResult) else _TEXTS
        value = {
            kind: self.result.to_json(),
            "cost": str(self.cost) if self.cost is not None else None,
            "models": self.models,
            "tags": self.tags,
        }
        try:
            text = orjson.dumps(value)
        except TypeError:  # half a surrogate pair, or a number over 64 bits
            text = dumps(value)
        return f"{int(self.created * 1000):0{_TIME_DIGITS}d}".encode() + (text if kind == _VECTORS else pack(text))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Entry":
        """The inverse of `to_bytes`."""
        value = loads(unpack(data[_TIME_DIGITS:]))
        cost = Decimal(value["cost"]) if value["cost"] is not None else None
        made = _created(data), cost, tuple(value["models"]), tuple(value["tags"])
        if _VECTORS in value:
            return cls(EmbeddingResult.from_json(value[_VECTORS]), *made)
        return cls(CompletionResult.from_json(value[_TEXTS]), *made)


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
    """The tier in Redis, and who is making what is not there yet. Every answer is None where Redis gives none."""

    def __init__(self, redis: Redis | None, config: CacheConfig) -> None:
        """Without a `redis`, or with no bytes there, nothing is there and nobody is asked."""
        self._budget = config.redis_bytes
        self._keep_ms = int(config.ttl * 1000)
        self._trips: RoundTrips | None = None
        self._hashes: dict[str, str] = {}
        if redis is not None and self._budget:
            self._trips = RoundTrips(redis, [_script(name) for name in _SCRIPTS])
            self._hashes = {name: redis.register_script(_script(name)).sha for name in _SCRIPTS}

    async def get(self, key: str, since: float) -> bytes | None:
        """The entry, if it was made at `since` or later."""
        found: bytes | None = await self._ask("GET", _entry_key(key))
        return found if found is not None and _created(found) >= since else None

    def enter(self, key: str, token: str, lead_ms: int, since: float) -> "asyncio.Future[bytes | int | None]":
        """The entry; or 1: the caller is to make it, 0: another is, -1: go alone."""
        return self._run("enter", (_entry_key(key), _lead_key(key)), (token, lead_ms, int(since * 1000)))

    def leave(self, key: str, token: str, data: bytes, alone_ms: int) -> "asyncio.Future[int | None]":
        """Keep an entry, if `data` is one, and give up the lead of `token`; others go alone for so long."""
        keys = (_entry_key(key), _lead_key(key), _INDEX, _SIZES)
        return self._run("leave", keys, (token, data, self._keep_ms, self._budget, alone_ms))

    async def get_part(self, key: str) -> bytes | None:
        """What there is of an answer that broke off. It is no entry: only who can go on from it may read it."""
        found: bytes | None = await self._ask("GET", _part_key(key))
        return found

    async def keep_part(self, key: str, data: bytes) -> None:
        """Keep a part for some minutes, within the budget of entries."""
        keys = (_part_key(key), _lead_key(key), _INDEX, _SIZES)
        await self._run("leave", keys, ("", data, _PART_MS, self._budget, 0))

    def keep(self, key: str, token: str, lead_ms: int) -> "asyncio.Future[int | None]":
        """Renew a lead."""
        return self._run("keep", (_lead_key(key),), (token, lead_ms))

    async def close(self) -> None:
        """Give the connection back."""
        if self._trips is not None:
            await self._trips.close()

    def _run(self, script: str, keys: tuple[str, ...], args: tuple[str | bytes | int, ...]) -> "asyncio.Future[Any]":
        return self._ask("EVALSHA", self._hashes.get(script, ""), len(keys), *keys, *args)

    def _ask(self, *command: str | bytes | int) -> "asyncio.Future[Any]":
        """Sent when this returns, or about to be: whoever is not waiting for the answer need not."""
        if self._trips is not None:
            return self._trips.ask(*command)
        nothing: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        return nothing


def _entry_key(key: str) -> str:
    return f"{PREFIX}cache:entry:{key}"


def _part_key(key: str) -> str:
    return f"{PREFIX}cache:part:{key}"


def _lead_key(key: str) -> str:
    return f"{PREFIX}cache:lead:{key}"


@cache
def _script(name: str) -> str:
    return (files("penstock.cache") / f"{name}.lua").read_text("utf-8")
