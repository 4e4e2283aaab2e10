"""The simulated quota: never more than it allows, never less."""

import math

from hypothesis import given
from hypothesis import strategies as st

from simulator.limits import Quota, TokenBucket
from simulator.options import SimulatorOptions


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


_STEPS = st.lists(st.tuples(st.floats(0, 30), st.integers(1, 400)), max_size=60)


@given(per_minute=st.integers(1, 5_000), burst=st.floats(0.1, 120), steps=_STEPS)
def test_no_window_lets_through_more_than_burst_plus_refill(per_minute, burst, steps):
    clock = Clock()
    bucket = TokenBucket(per_minute, burst, clock)
    taken = []
    for pause, amount in steps:
        clock.now += pause
        if bucket.seconds_until(amount) == 0:
            bucket.take(amount)
            taken.append((clock.now, amount))
    for first, (start, _) in enumerate(taken):
        for last in range(first, len(taken)):
            end = taken[last][0]
            through = sum(amount for _, amount in taken[first : last + 1])
            assert through <= bucket.capacity + (end - start) * per_minute / 60 + 1e-3


@given(per_minute=st.integers(1, 5_000), burst=st.floats(0.1, 120), drained=st.floats(0, 1), wanted=st.integers(1, 500))
def test_the_announced_wait_is_long_enough_and_not_too_long(per_minute, burst, drained, wanted):
    clock = Clock()
    bucket = TokenBucket(per_minute, burst, clock)
    bucket.take(bucket.capacity * drained)
    wait = bucket.seconds_until(wanted)
    if wanted > bucket.capacity + 1e-6:
        assert wait == math.inf
    elif math.isfinite(wait):
        clock.now += wait + 1e-6
        assert bucket.seconds_until(wanted) == 0
        if wait > 0.01:
            clock.now -= wait / 2
            fresh = TokenBucket(per_minute, burst, clock)
            fresh.take(bucket.capacity * drained)
            assert fresh.seconds_until(wanted) > 0


def test_a_level_never_exceeds_the_capacity():
    clock = Clock()
    bucket = TokenBucket(60, 10, clock)
    bucket.take(3)
    clock.now += 1_000
    assert bucket.level == bucket.capacity == 10


def _quota(clock, **limits):
    return Quota(SimulatorOptions(burst_seconds=60, **limits), clock)


def test_estimate_takes_prompt_and_limit_and_never_gives_back():
    clock = Clock()
    quota = _quota(clock, tokens_per_minute=100, charge="estimate")
    assert quota.admit(20, 50) is None
    quota.settle(1)
    assert [s.remaining for s in quota.state()] == [30]


def test_actual_takes_the_answer_afterwards_and_may_owe():
    clock = Clock()
    quota = _quota(clock, tokens_per_minute=100, charge="actual")
    assert quota.admit(20, 5_000) is None
    quota.settle(140)
    hit = quota.admit(10, 0)
    assert hit is not None
    assert hit.retry_after == 42  # 60 owed and 10 wanted, at 100 a minute
    clock.now += 42
    assert quota.admit(10, 0) is None


def test_a_refused_call_takes_from_no_bucket():
    clock = Clock()
    quota = _quota(clock, requests_per_minute=10, tokens_per_minute=100)
    assert quota.admit(60, 0) is None
    hit = quota.admit(60, 0)
    assert hit is not None
    assert (hit.name, hit.limit, hit.remaining, hit.requested) == ("tokens", 100, 40, 60)
    assert [(s.name, s.remaining) for s in quota.state()] == [("requests", 9), ("tokens", 40)]


def test_a_call_larger_than_the_bucket_is_never_told_to_come_back():
    hit = _quota(Clock(), tokens_per_minute=100).admit(50, 51)
    assert hit is not None
    assert hit.retry_after == math.inf


def test_unlimited_admits_anything_and_reports_nothing():
    quota = Quota(SimulatorOptions(), Clock())
    assert quota.admit(10**9, 10**9) is None
    assert quota.state() == []
