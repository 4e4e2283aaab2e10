"""The scripts of this room without a Redis: the same Lua, on a store in this process's memory.

For the library (`penstock.gateway`): limits of one process, with nothing to run beside it. Whatever the scripts decide,
they decide here as there, since they are the same files; only the few commands that they use are answered by Python.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from lupa import lua51

from penstock.limits.scripts import source

Command = Callable[..., Any]


class MemoryScripts:
    """As `Scripts`. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._store = _Store(clock)
        self._lua: Any = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
        self.reserve = self._script("reserve")
        self.settle = self._script("settle")
        self.renew = self._script("renew")
        self.pause = self._script("pause")
        self.seed = self._script("seed")
        self.peek = self._script("peek")

    def _script(self, name: str) -> Callable[[Sequence[str], Sequence[Any]], Any]:
        function = self._lua.execute(f"return function(KEYS, ARGV, redis, cjson)\n{source(name)}\nend")
        redis = self._lua.table_from({"call": self._call})
        cjson = self._lua.table_from({"encode": lambda _: ""})

        async def run(keys: Sequence[str], arguments: Sequence[Any]) -> Any:
            found = function(self._list(keys), self._list([_text(value) for value in arguments]), redis, cjson)
            return self._answer(found)

        return run

    def _call(self, name: str, *arguments: Any) -> Any:
        found = getattr(self._store, name.lower())(*(_text(argument) for argument in arguments))
        if isinstance(found, list):
            return self._list([False if value is None else value for value in found])
        return False if found is None else found

    def _list(self, values: Sequence[Any]) -> Any:
        return self._lua.table_from(list(values))

    def _answer(self, value: Any) -> Any:
        """As Redis gives it back: numbers are cut to integers, text is bytes, false is nothing."""
        if lua51.lua_type(value) == "table":
            return [self._answer(value[place]) for place in range(1, len(value) + 1)]
        if isinstance(value, str):
            return value.encode()
        if value is False or value is None:
            return None
        return int(value)


class _Store:
    """The commands that the scripts use, by Redis's names, in lower case. All values are text, as they are there."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._hashes: dict[str, dict[str, str]] = {}
        self._sets: dict[str, dict[str, float]] = {}
        self._texts: dict[str, str] = {}

    def time(self) -> list[str]:
        now = self._clock()
        return [str(int(now)), str(int(now % 1 * 1_000_000))]

    def get(self, key: str) -> str | None:
        return self._texts.get(key)

    def set(self, key: str, value: str, *_: str) -> None:
        """Without an expiry: the keys live as long as the process."""
        self._texts[key] = value

    def hget(self, key: str, field: str) -> str | None:
        return self._hashes.get(key, {}).get(field)

    def hmget(self, key: str, *fields: str) -> list[str | None]:
        found = self._hashes.get(key, {})
        return [found.get(field) for field in fields]

    def hgetall(self, key: str) -> list[str]:
        return [part for pair in self._hashes.get(key, {}).items() for part in pair]

    def hkeys(self, key: str) -> list[str]:
        return list(self._hashes.get(key, {}))

    def hexists(self, key: str, field: str) -> int:
        return int(field in self._hashes.get(key, {}))

    def hset(self, key: str, *pairs: str) -> int:
        self._hashes.setdefault(key, {}).update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(pairs) // 2

    def hsetnx(self, key: str, field: str, value: str) -> int:
        return int(self._hashes.setdefault(key, {}).setdefault(field, value) is value)

    def hdel(self, key: str, *fields: str) -> int:
        found = self._hashes.get(key, {})
        return sum(found.pop(field, None) is not None for field in fields)

    def hincrby(self, key: str, field: str, amount: str) -> int:
        found = self._hashes.setdefault(key, {})
        found[field] = str(int(found.get(field, "0")) + int(amount))
        return int(found[field])

    def zadd(self, key: str, *arguments: str) -> int:
        """One member; `NX` leaves one that is there as it is."""
        *flags, score, member = arguments
        found = self._sets.setdefault(key, {})
        new = member not in found
        if new or "NX" not in flags:
            found[member] = float(score)
        return int(new)

    def zrem(self, key: str, member: str) -> int:
        return int(self._sets.get(key, {}).pop(member, None) is not None)

    def zcard(self, key: str) -> int:
        return len(self._sets.get(key, {}))

    def zscore(self, key: str, member: str) -> str | None:
        score = self._sets.get(key, {}).get(member)
        return None if score is None else _text(score)

    def zcount(self, key: str, low: str, high: str) -> int:
        return len(self.zrangebyscore(key, low, high))

    def zrangebyscore(self, key: str, low: str, high: str) -> list[str]:
        found = self._sets.get(key, {})
        return sorted((m for m, score in found.items() if float(low) <= score <= float(high)), key=found.__getitem__)

    def zremrangebyscore(self, key: str, low: str, high: str) -> int:
        return sum(self.zrem(key, member) for member in self.zrangebyscore(key, low, high))

    def xadd(self, *_: str) -> None:
        """Transitions are kept for operators of a fleet; one process sees its own."""

    def publish(self, *_: str) -> int:
        """Nobody else listens."""
        return 0


def _text(value: Any) -> str:
    """As Redis turns a script's numbers into text."""
    return format(value, ".17g") if isinstance(value, float) else str(value)
