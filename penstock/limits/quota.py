"""The fleet's share of a provider's quota: reserve before a call, settle after it.

The state is in Redis, and one script decides for all processes; see `reserve.lua`. This side gathers what one process
wants at the same moment into one call, seeds what Redis does not know, and waits while Redis is away.
"""

import asyncio
import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from penstock.limits.buckets import HORIZON_MS, DeploymentLimits, Scope, TokenBucket
from penstock.limits.scripts import Scripts
from penstock.limits.sharing import SharedCall, patiently
from penstock.redis import PREFIX, Redis

_log = structlog.get_logger(__name__)

_REFUSED, _UNKNOWN = 0, -1  # what reserve.lua answers, beside 1 for go

#: seconds `close` waits for the last settlements
_LAST_WORDS = 1.0


class Spent(Protocol):
    """Asks the truth what was sent to a provider, or to one upstream model of it."""

    async def __call__(self, provider: str, model: str | None, seconds: float) -> tuple[int, int]:
        """Requests and tokens of the calls begun in the last `seconds`; a running call counts as it was reserved."""
        ...


@dataclass(slots=True)
class Reservation:
    """Leave to make one call, `wait` seconds from now. It ends with one `settle` or `release`; more do nothing."""

    limits: DeploymentLimits
    tokens: int
    wait: float = 0.0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Not now, and nothing was taken: as things stand the call could be made in `wait` seconds."""

    wait: float


@dataclass(frozen=True, slots=True)
class Room:
    """How much work a deployment can take on; infinity where nothing is limited."""

    requests: float = math.inf
    tokens: float = math.inf


@dataclass(frozen=True, slots=True)
class _Wish:
    limits: DeploymentLimits
    tokens: int
    interactive: bool


@dataclass(frozen=True, slots=True)
class _Unknown:
    scope: Scope


_Answer = Reservation | Refused | _Unknown
#: per bucket what is given back, or taken when negative
_Settlement = list[tuple[TokenBucket, int]]


class Quota:
    """One process's way to the fleet's buckets. Belongs to one event loop.

    Where nothing is limited, Redis is not asked. While Redis is away or full, everything here waits for it; the caller
    bounds the wait by cancelling. A reserve whose answer was lost is asked again, and what the lost one took is missing
    until the buckets refill: that wastes a little, and never sends too much.
    """

    def __init__(self, redis: Redis, spent: Spent) -> None:
        self._scripts = Scripts(redis)
        self._spent = spent
        self._seeding: dict[Scope, asyncio.Task[None]] = {}
        self._sender = f"{PREFIX}settled:{uuid.uuid4().hex}"
        self._batch = 1
        self._reserves: SharedCall[_Wish, _Answer] = SharedCall(self._send_wishes, self._give_back)
        self._settles: SharedCall[_Settlement, None] = SharedCall(self._send_settlements)

    async def reserve(self, limits: DeploymentLimits, tokens: int, *, interactive: bool) -> Reservation | Refused:
        """Take one request and so many tokens (estimated) from all buckets of a deployment, or nothing.

        The caller makes the call after `wait` seconds (at most 2), or hands a refused job back to the backlog.
        Cancelled in here, nothing stays taken.

        Raises:
            InvalidRequest: the request is larger than a bucket.
            RedisError: what no waiting cures.
            Exception: whatever `spent` raised, when a bucket had to be seeded.
        """
        if not limits.buckets:
            return Reservation(limits, tokens)
        limits.check(tokens)
        while True:
            answer = await self._reserve(_Wish(limits, tokens, interactive))
            if not isinstance(answer, _Unknown):
                return answer
            await self._seed(limits, answer.scope)

    def settle(self, reservation: Reservation, tokens_used: int) -> "asyncio.Future[None]":
        """The call was made: put the tokens it really used in the place of the estimate; 0 when it failed at once.

        Returns immediately. The future says when Redis has it, and need not be awaited.
        """
        unused = reservation.tokens - tokens_used
        return self._end(reservation, [(b, unused) for b in reservation.limits.buckets if b.resource == "tokens"])

    def release(self, reservation: Reservation) -> "asyncio.Future[None]":
        """The call was never made: give everything back. Returns as `settle` does."""
        tokens = reservation.tokens
        return self._end(reservation, [(b, b.amount(tokens)) for b in reservation.limits.buckets])

    async def pause(self, limits: DeploymentLimits, seconds: float, *, drain: bool = True) -> None:
        """The provider said 429 or `retry-after`: the whole fleet reserves nothing for so many seconds.

        This stops the model when it has limits of its own, else the provider. What was reserved before still goes.
        `drain` also empties the buckets, which held more than the provider lets through; they refill in the pause.
        Without limits there is no bucket to pause, and this does nothing.
        """
        buckets = limits.narrowest
        if buckets:
            arguments = [math.ceil(seconds * 1000), int(drain), *_sizes(buckets)]
            await patiently(lambda: self._scripts.pause(_keys(buckets), arguments))

    async def peek(self, limits: DeploymentLimits, seconds: float) -> Room:
        """How much bulk work this deployment can begin within the next `seconds`, if nobody else begins any."""
        room = {"requests": math.inf, "tokens": math.inf}
        for bucket, level, paused_ms in await self._levels(limits):
            room[bucket.resource] = min(room[bucket.resource], bucket.room(level, paused_ms, seconds * 1000))
        return Room(**room)

    async def close(self) -> None:
        """Stop. Who waits for a reservation is cancelled; settlements under way get a second."""
        await self._reserves.close()
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self._settles.drained()
        except TimeoutError:
            _log.warning("quota_closed_unsettled")
        await self._settles.close()

    async def _reserve(self, wish: _Wish) -> _Answer:
        future = self._reserves.submit(wish)
        try:
            return await future
        except asyncio.CancelledError:
            # The answer may have come in the very turn in which the caller was cancelled.
            if not future.cancelled() and future.exception() is None:
                self._give_back(future.result())
            raise

    def _give_back(self, answer: _Answer) -> None:
        if isinstance(answer, Reservation):
            self.release(answer)

    async def _send_wishes(self, wishes: Sequence[_Wish]) -> list[_Answer]:
        places: dict[TokenBucket, int] = {}
        claims: list[int] = []
        for wish in wishes:
            claims += (int(wish.interactive), len(wish.limits.buckets))
            for bucket in wish.limits.buckets:
                claims += (places.setdefault(bucket, len(places) + 1), bucket.amount(wish.tokens))
        buckets = list(places)
        sizes = [size for b in buckets for size in (b.rate, b.capacity, b.floor)]
        raw: list[int] = await self._scripts.reserve(_keys(buckets), [HORIZON_MS, *sizes, *claims])
        answers: list[_Answer] = []
        for wish, verdict, number in zip(wishes, raw[::2], raw[1::2], strict=True):
            if verdict == _UNKNOWN:
                answers.append(_Unknown(buckets[number - 1].scope))
            elif verdict == _REFUSED:
                answers.append(Refused(number / 1000))
            else:
                answers.append(Reservation(wish.limits, wish.tokens, number / 1000))
        return answers

    def _end(self, reservation: Reservation, settlement: _Settlement) -> "asyncio.Future[None]":
        changes = [] if reservation.ended else [entry for entry in settlement if entry[1]]
        reservation.ended = True
        if changes:
            # Shielded: who stops waiting for a settlement does not take it back.
            return asyncio.shield(self._settles.submit(changes))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def _send_settlements(self, settlements: Sequence[_Settlement]) -> list[None]:
        balance: dict[TokenBucket, tuple[int, int]] = {}
        for bucket, amount in (entry for settlement in settlements for entry in settlement):
            given_back, taken = balance.get(bucket, (0, 0))
            balance[bucket] = (given_back + max(amount, 0), taken + max(-amount, 0))
        arguments = [x for b, sums in balance.items() for x in (b.rate, b.capacity, *sums)]
        await self._scripts.settle([self._sender, *_keys(balance)], [self._batch, *arguments])
        self._batch += 1
        return [None] * len(settlements)

    async def _levels(self, limits: DeploymentLimits) -> list[tuple[TokenBucket, float, float]]:
        buckets = limits.buckets
        while buckets:
            raw = await patiently(lambda: self._scripts.peek(_keys(buckets), _sizes(buckets)))
            read = list(zip(buckets, raw[::2], raw[1::2], strict=True))
            unknown = [bucket for bucket, level, _ in read if level is None]
            if not unknown:
                return [(bucket, float(level), paused_ms) for bucket, level, paused_ms in read]
            await self._seed(limits, unknown[0].scope)
        return []

    async def _seed(self, limits: DeploymentLimits, scope: Scope) -> None:
        seeding = self._seeding.get(scope)
        if seeding is None:
            buckets = [bucket for bucket in limits.buckets if bucket.scope == scope]
            seeding = self._seeding[scope] = asyncio.create_task(self._seed_scope(scope, buckets))
            seeding.add_done_callback(lambda _: self._seeding.pop(scope))
        await asyncio.shield(seeding)  # others may wait for it too

    async def _seed_scope(self, scope: Scope, buckets: Sequence[TokenBucket]) -> None:
        requests, tokens = await self._spent(scope.provider, scope.model, max(b.fill_seconds for b in buckets))
        levels = [b.level_after(tokens if b.resource == "tokens" else requests) for b in buckets]
        await patiently(lambda: self._scripts.seed(_keys(buckets), levels))


def _keys(buckets: Iterable[TokenBucket]) -> list[str]:
    return [bucket.key for bucket in buckets]


def _sizes(buckets: Iterable[TokenBucket]) -> list[float]:
    return [size for bucket in buckets for size in (bucket.rate, bucket.capacity)]
