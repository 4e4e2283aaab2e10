"""What the scripts are asked and what they answer, as objects: the files *.lua say what each number means."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.limits.buckets import (
    BULK_HORIZON_MS,
    INTERACTIVE_HORIZON_MS,
    BucketState,
    DeploymentLimits,
    Gate,
    Lease,
    TokenBucket,
    Tokens,
)

#: a place or a probe that its holder does not renew is free again after so many ms
HOLD_MS = 10_000

Arguments = list[float | int | str]
Subject = TokenBucket | Lease | Gate


@dataclass(frozen=True, slots=True)
class Wish:
    """One reservation asked for; `buckets` are the deployment's and the tenant's."""

    id: str
    limits: DeploymentLimits
    buckets: tuple[TokenBucket, ...]
    tokens: Tokens
    interactive: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What reserve.lua answers to one wish: its code, the number in ms, and what it is about.

    `expected` is, for each bucket of the wish, what the provider should have left when the call has begun.
    """

    code: int
    ms: int
    subject: Subject | None = None
    probe: bool = False
    expected: tuple[int, ...] = ()


GO, REFUSED, UNKNOWN, FULL, SHUT = 1, 0, -1, -2, -3


@dataclass(slots=True)
class End:
    """One thing to tell settle.lua: bucket by bucket what was reserved and what of it was used, and what else is so.

    `outcome` is 1 (the provider answered), 0 (it failed) or -1 (not seen), None where no call ended; `age_ms` is how
    long ago the call began; `left` is what the provider says is left in buckets, each with what was expected when the
    call began (-1 when it was said just then).
    """

    changes: list[tuple[TokenBucket, int, int]] = field(default_factory=list)
    id: str = ""
    leases: tuple[Lease, ...] = ()
    gate: Gate | None = None
    outcome: int | None = None
    age_ms: float = 0.0
    left: Mapping[TokenBucket, tuple[float, int]] = field(default_factory=dict)


def reserve_call(wishes: Sequence[Wish]) -> tuple[list[str], Arguments, list[Subject]]:
    """Keys, arguments, and the subject of each key."""
    buckets = list(dict.fromkeys(bucket for wish in wishes for bucket in wish.buckets))
    leases = list(dict.fromkeys(lease for wish in wishes for lease in wish.limits.leases))
    gates = list(dict.fromkeys(wish.limits.gate for wish in wishes))
    subjects: list[Subject] = [*buckets, *leases, *gates]
    places = {subject: place for place, subject in enumerate(subjects, 1)}
    arguments: Arguments = [BULK_HORIZON_MS, INTERACTIVE_HORIZON_MS, len(buckets), len(leases), len(gates), HOLD_MS]
    for bucket in buckets:
        arguments += (bucket.rate, bucket.capacity, bucket.reserve)
    arguments += [lease.places for lease in leases]
    for gate in gates:
        arguments += (gate.reset_ms, gate.probes)
    for wish in wishes:
        arguments += (wish.id, int(wish.interactive), places[wish.limits.gate], len(wish.buckets))
        for bucket in wish.buckets:
            arguments += (places[bucket], bucket.amount(wish.tokens))
        arguments += (len(wish.limits.leases), *(places[lease] for lease in wish.limits.leases))
    return _keys(subjects), arguments, subjects


def verdicts(raw: Sequence[int], wishes: Sequence[Wish], subjects: Sequence[Subject]) -> list[Verdict]:
    """The answers of reserve.lua."""
    found = []
    values = iter(raw)
    for wish in wishes:
        code, number, place = next(values), next(values), next(values)
        if code == GO:
            expected = tuple(next(values) for _ in wish.buckets)
            found.append(Verdict(code, number, probe=place == 1, expected=expected))
        elif code == UNKNOWN:
            found.append(Verdict(code, 0, subjects[number - 1]))
        else:
            found.append(Verdict(code, number, subjects[place - 1] if place else None))
    return found


def settle_call(sender: str, batch: int, ends: Sequence[End]) -> tuple[list[str], Arguments, list[Gate]]:
    """Keys, arguments, and the gates that are answered for."""
    sums: dict[TokenBucket, list[int]] = {}
    left: dict[TokenBucket, list[float]] = {}
    held: dict[Lease, list[str]] = {}
    outcomes: dict[Gate, Arguments] = {}
    for end in ends:
        for bucket, reserved, used in end.changes:
            total = sums.setdefault(bucket, [0, 0, 0])
            total[0] += max(reserved - used, 0)
            total[1] += max(used - reserved, 0)
            total[2] += reserved
        for bucket, amount in end.left.items():
            sums.setdefault(bucket, [0, 0, 0])
            left.setdefault(bucket, []).extend(amount)
        for lease in end.leases:
            held.setdefault(lease, []).append(end.id)
        if end.gate is not None and end.outcome is not None:
            outcomes.setdefault(end.gate, []).extend((end.id, end.outcome, end.age_ms))
    arguments: Arguments = [batch, len(sums), len(held), len(outcomes)]
    for bucket, total in sums.items():
        told = left.get(bucket, [])
        arguments += (bucket.rate, bucket.capacity, *total, len(told) // 2, *told)
    for ids in held.values():
        arguments += (len(ids), *ids)
    for gate, ended in outcomes.items():
        arguments += (gate.failures, gate.probes, gate.reset_ms, len(ended) // 3, *ended)
    keys = [sender, *_keys(sums, held, outcomes)]
    return keys, arguments, list(outcomes)


def renew_call(
    held: Mapping[Lease, Iterable[str]], probes: Mapping[Gate, Iterable[str]]
) -> tuple[list[str], Arguments]:
    """Keys and arguments of renew.lua."""
    arguments: Arguments = [len(held), HOLD_MS]
    for ids in (*held.values(), *probes.values()):
        listed = list(ids)
        arguments += (len(listed), *listed)
    return _keys(held, probes), arguments


def pause_call(
    subjects: Sequence[TokenBucket | Gate], ms: int, *, drain: bool, blind: bool
) -> tuple[list[str], Arguments]:
    """Keys and arguments of pause.lua."""
    arguments: Arguments = [ms, int(drain), int(blind)]
    for subject in subjects:
        arguments += (subject.rate, subject.capacity) if isinstance(subject, TokenBucket) else (0, 0)
    return _keys(subjects), arguments


@dataclass(frozen=True, slots=True)
class GateState:
    """A gate at one moment: for how many ms it lets nothing through, and how many probes it has left."""

    state: str
    shut_ms: int
    probes_left: int


@dataclass(frozen=True, slots=True)
class Peeked:
    """What peek.lua answers; None stands for what Redis does not know."""

    buckets: dict[TokenBucket, BucketState | None]
    held: dict[Lease, int | None]
    gates: dict[Gate, GateState]


def peek_call(
    buckets: Sequence[TokenBucket], leases: Sequence[Lease], gates: Sequence[Gate]
) -> tuple[list[str], Arguments]:
    """Keys and arguments of peek.lua."""
    arguments: Arguments = [len(buckets), len(leases), len(gates)]
    for bucket in buckets:
        arguments += (bucket.rate, bucket.capacity)
    for gate in gates:
        arguments += (gate.reset_ms, gate.probes)
    return _keys(buckets, leases, gates), arguments


def peeked(
    raw: Sequence[Any], buckets: Sequence[TokenBucket], leases: Sequence[Lease], gates: Sequence[Gate]
) -> Peeked:
    """The answer of peek.lua."""
    values = iter(raw)
    states: dict[TokenBucket, BucketState | None] = {}
    for bucket in buckets:
        level, rate, room, margin, paused, idle = (next(values) for _ in range(6))
        known = level is not None
        states[bucket] = (
            BucketState(
                bucket, float(level), float(rate), float(room), float(margin), paused, idle if idle >= 0 else None
            )
            if known
            else None
        )
    held = {lease: next(values) for lease in leases}
    doors = {gate: GateState(next(values).decode(), next(values), next(values)) for gate in gates}
    return Peeked(states, held, doors)


def seed_call(levels: Mapping[TokenBucket, float], leases: Mapping[Lease, float]) -> tuple[list[str], Arguments]:
    """Keys and arguments of seed.lua; leases with the ms until they may be given out."""
    arguments: Arguments = [len(levels)]
    for bucket, level in levels.items():
        arguments += (level, bucket.room if bucket.cautious else -1)
    arguments += leases.values()
    return _keys(levels, leases), arguments


def _keys(*groups: Iterable[Subject]) -> list[str]:
    return [subject.key for group in groups for subject in group]
