"""The circuit breakers as an operator sees them: the state of each deployment's, and what became of them lately."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from penstock.configuration import Config
from penstock.limits.buckets import DeploymentLimits, Gate
from penstock.limits.quota import Quota
from penstock.redis import PREFIX, Redis

#: where state.lua keeps transitions and tells them
LOG_KEY = f"{PREFIX}gates:log"
CHANNEL = f"{PREFIX}gates"
#: the states, as they are counted
STATES = ("closed", "open", "half_open")


@dataclass(frozen=True, slots=True)
class Breaker:
    """One breaker. `shut` is in seconds; `became` counts how often it came to each state since Redis knows it."""

    deployments: tuple[str, ...]
    gate: Gate
    state: str
    shut: float
    probes_left: int
    became: dict[str, int]


@dataclass(frozen=True, slots=True)
class Transition:
    """One change: which upstream (`provider/model`) came to which state, and when."""

    upstream: str
    state: str
    at: datetime


class Breakers:
    """Reads the breakers of every configured deployment."""

    def __init__(self, redis: Redis, quota: Quota, config: Config) -> None:
        self._redis = redis
        self._quota = quota
        self._gates: dict[Gate, list[str]] = {}
        for name in config.models:
            self._gates.setdefault(DeploymentLimits.of(config, name).gate, []).append(name)

    async def states(self) -> list[Breaker]:
        """Every breaker; names of one upstream model share it.

        Raises:
            RedisError: Redis cannot be reached.
        """
        gates = list(self._gates)
        if not gates:
            return []
        found = (await self._quota.look((), (), gates)).gates
        pipe = self._redis.pipeline(transaction=False)
        for gate in gates:
            pipe.hmget(gate.key, ["closed", "opened", "half_open"])
        counts: Sequence[Sequence[bytes | None]] = await pipe.execute()
        return [
            Breaker(
                deployments=tuple(self._gates[gate]),
                gate=gate,
                state=found[gate].state,
                shut=found[gate].shut_ms / 1000,
                probes_left=found[gate].probes_left,
                became=dict(zip(STATES, (int(count or 0) for count in row), strict=True)),
            )
            for gate, row in zip(gates, counts, strict=True)
        ]

    async def transitions(self, limit: int) -> list[Transition]:
        """The latest changes, newest first.

        Raises:
            RedisError: Redis cannot be reached.
        """
        rows: Any = await self._redis.xrevrange(LOG_KEY, count=limit)
        return [
            Transition(
                upstream=fields[b"gate"].decode().removeprefix(f"{PREFIX}gate:"),
                state=fields[b"state"].decode(),
                at=datetime.fromtimestamp(int(fields[b"at"]) / 1000, UTC),
            )
            for _, fields in rows
        ]
