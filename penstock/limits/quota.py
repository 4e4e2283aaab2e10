"""The fleet's share of a provider's quota, and its circuit breakers: reserve before a call, settle after it.

The state is in Redis, and one script decides for all processes; see `reserve.lua`. This side gathers what one process
wants at the same moment into one call, seeds what Redis does not know, keeps alive what it holds, and waits while Redis
is away.
"""

import asyncio
import itertools
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import structlog

from penstock.limits import calls
from penstock.limits.buckets import (
    INTERACTIVE_HORIZON_MS,
    DeploymentLimits,
    Gate,
    Lease,
    Resource,
    Scope,
    TokenBucket,
    Tokens,
    check_size,
)
from penstock.limits.calls import End, Verdict, Wish
from penstock.limits.holding import Holding
from penstock.limits.memory import MemoryScripts
from penstock.limits.scripts import Scripts
from penstock.limits.sharing import SharedCall, patiently
from penstock.redis import PREFIX, Redis
from penstock.store.attempts import Spent

_log = structlog.get_logger(__name__)

#: seconds `close` waits for the last settlements
_LAST_WORDS = 1.0
#: seconds a wish waits for a place of its own process to become free before it looks for places of others
_LOOK_SECONDS = 0.1
#: ms in which holders put back their places after a loss, a little more than they take to renew
_GRACE_MS = 3_000

#: what a call says of the provider: that it answered, that it refused for its quota, that it failed, or nothing
Outcome = Literal["answered", "refused", "failed", "unseen"]
_NOTHING: Mapping[Resource, float] = {}
_OUTCOMES: dict[Outcome, int] = {"answered": 1, "refused": 1, "failed": 0, "unseen": -1}


class AskSpent(Protocol):
    """Asks the truth what was spent in a scope in the last `seconds`."""

    async def __call__(self, scope: Scope, seconds: float) -> Spent:
        """See above."""
        ...


@dataclass(slots=True)
class Reservation:
    """Leave to make one call, `wait` seconds from now. It ends with one `settle` or `release`; more do nothing.

    A `probe` is one of the few calls that decide whether an open breaker closes.
    """

    limits: DeploymentLimits
    tokens: Tokens
    wait: float = 0.0
    probe: bool = False
    buckets: tuple[TokenBucket, ...] = ()
    id: str = ""
    expected: tuple[int, ...] = ()
    began: float = field(default_factory=time.monotonic)
    ended: bool = False

    def begin(self) -> None:
        """The call begins now."""
        self.began = time.monotonic()


@dataclass(frozen=True, slots=True)
class Refused:
    """Not now, and nothing was taken: as things stand the call could be made in `wait` seconds.

    `why`: the provider's quota, the tenant's tier, no place for another call, or the breaker is open.
    """

    wait: float
    why: Literal["quota", "tier", "concurrency", "breaker"] = "quota"


@dataclass(frozen=True, slots=True)
class Room:
    """How much work a deployment can take on; infinity where nothing is limited.

    `shut` is for how many seconds nothing is let through; `ill` says that its breaker is open or trying.
    """

    requests: float = math.inf
    tokens: float = math.inf
    places: float = math.inf
    shut: float = 0.0
    ill: bool = False


class Quota:
    """One process's way to the fleet's buckets, leases and gates. Belongs to one event loop.

    While Redis is away or full, everything here waits for it; the caller bounds the wait by cancelling. A reserve
    whose answer was lost is asked again, and what the lost one took is missing until the buckets refill: that wastes a
    little, and never sends too much.
    """

    def __init__(self, redis: Redis | None, spent: AskSpent) -> None:
        """Without a Redis the limits are this process's own."""
        self._scripts = Scripts(redis) if redis is not None else MemoryScripts()
        self._spent = spent
        self._seeding: dict[Scope, asyncio.Task[None]] = {}
        self._name = uuid.uuid4().hex
        self._numbers = itertools.count(1)
        self._batch = 1
        self._gates: dict[str, Gate] = {}
        self._shut: dict[Gate, float] = {}
        self._holding = Holding(self._scripts)
        self._reserves: SharedCall[Wish, Verdict] = SharedCall(self._send_wishes, self._give_back)
        self._settles: SharedCall[End, None] = SharedCall(self._send_ends)

    async def reserve(
        self,
        limits: DeploymentLimits,
        tokens: Tokens,
        *,
        interactive: bool,
        tier: tuple[TokenBucket, ...] = (),
    ) -> Reservation | Refused:
        """Take one request, so many tokens (estimated) and a place from all that a call draws from, or nothing.

        The caller makes the call after `wait` seconds (at most 1 for bulk, 2 for interactive), or hands a refused job
        back to the backlog. Cancelled in here, nothing stays taken.

        Raises:
            InvalidRequest: the request is larger than a bucket.
            RedisError: what no waiting cures.
            Exception: whatever `spent` raised, when something had to be seeded.
        """
        buckets = (*limits.buckets, *tier)
        self._gates[limits.gate.key] = limits.gate
        check_size(buckets, tokens)
        deadline = time.monotonic() + INTERACTIVE_HORIZON_MS / 1000
        while True:
            wish = Wish(f"{self._name[:12]}:{next(self._numbers)}", limits, buckets, tokens, interactive)
            verdict = await self._reserve(wish)
            if verdict.code == calls.GO:
                return self._granted(wish, verdict)
            if verdict.code == calls.UNKNOWN:
                assert verdict.subject is not None
                await self._seed(buckets, limits.leases, verdict.subject.scope)
            elif verdict.code == calls.FULL and time.monotonic() < deadline:
                await self._holding.freed(limits.leases, _LOOK_SECONDS)
            else:
                return self._refused(verdict)

    def settle(
        self,
        reservation: Reservation,
        used: Tokens,
        outcome: Outcome = "answered",
        left: Mapping[Resource, float] = _NOTHING,
    ) -> "asyncio.Future[None]":
        """The call ended: put the tokens it really used in the place of the estimate; none when it failed at once.

        `left` is what the provider says is left now that it has counted this call: the fleet's buckets follow. Returns
        immediately. The future says when Redis has it, and need not be awaited.
        """
        told = _told(reservation.limits, left)
        expected = dict(zip(reservation.buckets, reservation.expected, strict=True))
        changes = []
        for bucket in reservation.buckets:
            reserved = bucket.amount(reservation.tokens)
            spent = _not_there(bucket, reserved, told) if outcome == "refused" else bucket.amount(used)
            changes.append((bucket, reserved, spent))
        said = {bucket: (amount, expected.get(bucket, -1)) for bucket, amount in told.items()}
        return self._end(reservation, changes, outcome, said)

    def release(self, reservation: Reservation) -> "asyncio.Future[None]":
        """The call was never made: give everything back. Returns as `settle` does."""
        changes = [(bucket, bucket.amount(reservation.tokens), 0) for bucket in reservation.buckets]
        return self._end(reservation, changes, "unseen", {})

    def observe(self, limits: DeploymentLimits, left: Mapping[Resource, float]) -> None:
        """The provider said in the midst of a call how much is left: the fleet's buckets follow. Returns at once."""
        found = _told(limits, left)
        if found:
            said = {bucket: (amount, -1) for bucket, amount in found.items()}
            self._settles.submit(End(left=said)).add_done_callback(_forget)

    async def pause(self, limits: DeploymentLimits, seconds: float, *, drain: bool = True, blind: bool = False) -> None:
        """The provider said 429 or `retry-after`: the whole fleet reserves nothing for so many seconds.

        This stops the model when it has limits of its own, else the provider; the deployment, when nothing is limited.
        What was reserved before still goes. `drain` also empties the buckets, which held more than the provider lets
        through; they refill in the pause. `blind` says that the provider did not tell how much is left.
        """
        subjects: Sequence[TokenBucket | Gate] = limits.narrowest or (limits.gate,)
        keys, arguments = calls.pause_call(subjects, math.ceil(seconds * 1000), drain=drain, blind=blind)
        await patiently(lambda: self._scripts.pause(keys, arguments))

    async def peek(self, limits: DeploymentLimits, seconds: float) -> Room:
        """How much bulk work this deployment can begin within the next `seconds`, if nobody else begins any."""
        state = await self.known(limits.buckets, limits.leases, (limits.gate,))
        room: dict[str, float] = {"requests": math.inf, "tokens": math.inf}
        for bucket, found in state.buckets.items():
            assert found is not None
            name = "requests" if bucket.resource == "requests" else "tokens"
            room[name] = min(room[name], found.available(seconds * 1000))
        gate = state.gates[limits.gate]
        places = min((lease.places - (held or 0) for lease, held in state.held.items()), default=math.inf)
        ill = gate.state != "closed"
        if ill:
            places = min(places, gate.probes_left)
        return Room(room["requests"], room["tokens"], places, gate.shut_ms / 1000, ill)

    async def known(
        self, buckets: Sequence[TokenBucket], leases: Sequence[Lease] = (), gates: Sequence[Gate] = ()
    ) -> calls.Peeked:
        """As `look`, but what Redis does not know is told to it first.

        Ask before work is sent: what runs when a bucket is filled counts as spent from it.
        """
        while True:
            state = await self.look(buckets, leases, gates)
            unknown = {s.scope for known in (state.buckets, state.held) for s, found in known.items() if found is None}
            if not unknown:
                return state
            for scope in unknown:
                await self._seed(buckets, leases, scope)

    async def look(
        self, buckets: Sequence[TokenBucket], leases: Sequence[Lease] = (), gates: Sequence[Gate] = ()
    ) -> calls.Peeked:
        """Read without changing anything; what Redis does not know stays unknown."""
        keys, arguments = calls.peek_call(buckets, leases, gates)
        raw = await patiently(lambda: self._scripts.peek(keys, arguments))
        return calls.peeked(raw, buckets, leases, gates)

    def shut_for(self, limits: DeploymentLimits) -> float:
        """For how many seconds the breaker is open, as far as this process has heard; 0 when it is not."""
        return max(self._shut.get(limits.gate, 0.0) - time.monotonic(), 0.0)

    def hear(self, gate_key: str, state: str) -> None:
        """A breaker changed somewhere in the fleet: those that this process knows are opened or closed here too."""
        gate = self._gates.get(gate_key)
        if gate is None:
            return
        _log.warning("breaker", upstream=str(gate.scope), state=state)
        if state == "open":
            self._shut[gate] = time.monotonic() + gate.reset_ms / 1000
        else:
            self._shut.pop(gate, None)

    async def close(self) -> None:
        """Stop. Who waits for a reservation is cancelled; settlements under way get a second."""
        await self._reserves.close()
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self._settles.drained()
        except TimeoutError:
            _log.warning("quota_closed_unsettled")
        await self._settles.close()
        await self._holding.close()

    async def _reserve(self, wish: Wish) -> Verdict:
        future = self._reserves.submit(wish)
        try:
            return await future
        except asyncio.CancelledError:
            # The answer may have come in the very turn in which the caller was cancelled.
            if not future.cancelled() and future.exception() is None:
                self._give_back(wish, future.result())
            raise

    def _give_back(self, wish: Wish, verdict: Verdict) -> None:
        if verdict.code == calls.GO:
            self.release(self._granted(wish, verdict))

    def _granted(self, wish: Wish, verdict: Verdict) -> Reservation:
        self._holding.add(wish.id, wish.limits.leases, wish.limits.gate if verdict.probe else None)
        return Reservation(
            wish.limits, wish.tokens, verdict.ms / 1000, verdict.probe, wish.buckets, wish.id, verdict.expected
        )

    def _refused(self, verdict: Verdict) -> Refused:
        wait = verdict.ms / 1000
        if verdict.code == calls.SHUT:
            assert isinstance(verdict.subject, Gate)
            self._shut[verdict.subject] = time.monotonic() + wait
            return Refused(wait, "breaker")
        if verdict.code == calls.FULL:
            return Refused(max(wait, _LOOK_SECONDS), "concurrency")
        tier = verdict.subject is not None and verdict.subject.scope.tenant is not None
        return Refused(wait, "tier" if tier else "quota")

    async def _send_wishes(self, wishes: Sequence[Wish]) -> list[Verdict]:
        keys, arguments, subjects = calls.reserve_call(wishes)
        return calls.verdicts(await self._scripts.reserve(keys, arguments), wishes, subjects)

    def _end(
        self,
        reservation: Reservation,
        changes: list[tuple[TokenBucket, int, int]],
        outcome: Outcome,
        left: Mapping[TokenBucket, tuple[float, int]],
    ) -> "asyncio.Future[None]":
        limits = reservation.limits
        if reservation.ended:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            done.set_result(None)
            return done
        reservation.ended = True
        self._holding.drop(reservation.id, limits.leases, limits.gate)
        age_ms = (time.monotonic() - reservation.began) * 1000
        end = End(
            changes,
            reservation.id,
            limits.leases,
            limits.gate,
            _OUTCOMES[outcome] if outcome != "unseen" or reservation.probe else None,
            age_ms,
            left,
        )
        settled = self._settles.submit(end)
        if limits.leases:
            settled.add_done_callback(lambda _: self._holding.free(limits.leases))
        # Shielded: who stops waiting for a settlement does not take it back.
        return asyncio.shield(settled)

    async def _send_ends(self, ends: Sequence[End]) -> list[None]:
        keys, arguments, gates = calls.settle_call(f"{PREFIX}settled:{self._name}", self._batch, ends)
        for gate, ms in zip(gates, await self._scripts.settle(keys, arguments), strict=True):
            if ms:
                self._shut[gate] = time.monotonic() + ms / 1000
            else:
                self._shut.pop(gate, None)
        self._batch += 1
        return [None] * len(ends)

    async def _seed(self, buckets: Sequence[TokenBucket], leases: Sequence[Lease], scope: Scope) -> None:
        seeding = self._seeding.get(scope)
        if seeding is None:
            mine = [bucket for bucket in buckets if bucket.scope == scope]
            held = [lease for lease in leases if lease.scope == scope]
            seeding = self._seeding[scope] = asyncio.create_task(self._seed_scope(scope, mine, held))
            seeding.add_done_callback(lambda _: self._seeding.pop(scope))
        await asyncio.shield(seeding)  # others may wait for it too

    async def _seed_scope(self, scope: Scope, buckets: Sequence[TokenBucket], leases: Sequence[Lease]) -> None:
        spent = await self._spent(scope, max((bucket.fill_seconds for bucket in buckets), default=0.0))
        levels = {bucket: bucket.level_after(_counted(bucket, spent)) for bucket in buckets}
        grace = _GRACE_MS if spent.running else 0
        keys, arguments = calls.seed_call(levels, dict.fromkeys(leases, grace))
        await patiently(lambda: self._scripts.seed(keys, arguments))


def _told(limits: DeploymentLimits, left: Mapping[Resource, float]) -> dict[TokenBucket, float]:
    """Which buckets the provider spoke of."""
    return {bucket: left[bucket.resource] for bucket in limits.narrowest if bucket.resource in left}


def _not_there(bucket: TokenBucket, reserved: int, told: Mapping[TokenBucket, float]) -> int:
    """What a refused call's reservation was short of: our bucket held it, the provider's did not.

    Given back as a whole, it would send the next call into the same refusal. Where the provider does not say how much
    it had, half is the best guess.
    """
    if bucket.scope.tenant is not None:
        return 0
    return max(0, math.ceil(reserved - told.get(bucket, reserved / 2)))


def _counted(bucket: TokenBucket, spent: Spent) -> int:
    """What of the spent a bucket counts."""
    if bucket.resource == "requests":
        return spent.requests
    return bucket.amount(Tokens(spent.input_tokens, spent.output_tokens))


def _forget(done: "asyncio.Future[None]") -> None:
    """Nobody waits for an observation; its error was told to whoever settled in the same call, or is told here."""
    if not done.cancelled() and done.exception() is not None:
        _log.warning("quota_observation_lost", error=repr(done.exception()))
