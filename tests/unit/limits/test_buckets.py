import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.configuration import Config
from penstock.errors import InvalidRequest
from penstock.limits.buckets import HORIZON_MS, DeploymentLimits, Scope, TokenBucket


def config(provider_limits: dict[str, float], **models: dict[str, object]) -> Config:
    return Config.model_validate(
        {
            "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1", "limits": provider_limits}},
            "models": {name.replace("_", "-"): {"provider": "p", **row} for name, row in models.items()},
        }
    )


def bucket(per_minute: int = 600, burst: float = 60, reserve: float = 0.05, resource: str = "tokens") -> TokenBucket:
    return TokenBucket(Scope("p"), resource, per_minute, burst, reserve)


def keys(limits: DeploymentLimits) -> list[str]:
    return [bucket.key for bucket in limits.buckets]


def test_what_is_not_limited_has_no_bucket() -> None:
    assert DeploymentLimits.of(config({}, m={}), "m").buckets == ()
    assert keys(DeploymentLimits.of(config({"tokens_per_minute": 9}, m={}), "m")) == ["penstock:bucket:tokens:p"]


def test_a_model_with_limits_of_its_own_draws_from_both() -> None:
    both = config({"requests_per_minute": 60}, m={"upstream_model": "up", "limits": {"requests_per_minute": 6}})
    limits = DeploymentLimits.of(both, "m")
    assert keys(limits) == ["penstock:bucket:requests:p", "penstock:bucket:requests:p/up"]
    assert [b.key for b in limits.narrowest] == ["penstock:bucket:requests:p/up"]


def test_without_limits_of_its_own_the_provider_is_the_narrowest_scope() -> None:
    limits = DeploymentLimits.of(config({"requests_per_minute": 60}, m={}), "m")
    assert limits.narrowest == limits.buckets


def test_two_public_names_of_one_upstream_model_share_its_bucket() -> None:
    """Also when only one row states limits, and when both state different ones: a shared bucket has one size."""
    shared = config(
        {},
        a={"upstream_model": "up"},
        b={"upstream_model": "up", "limits": {"tokens_per_minute": 100}},
        c={"upstream_model": "up", "limits": {"tokens_per_minute": 900}},
    )
    assert {DeploymentLimits.of(shared, name).buckets for name in "abc"} == {DeploymentLimits.of(shared, "b").buckets}
    assert DeploymentLimits.of(shared, "a").buckets[0].per_minute == 100


def test_a_request_larger_than_a_bucket_is_refused_with_the_limit_and_its_size() -> None:
    limits = DeploymentLimits.of(config({"tokens_per_minute": 6000, "burst_seconds": 10}, m={}), "m")
    limits.check(1000)
    with pytest.raises(InvalidRequest) as caught:
        limits.check(1001)
    for fact in ("1001 tokens", "`p`", "at most 1000", "tokens_per_minute 6000", "burst_seconds 10"):
        assert fact in caught.value.message


def test_a_short_burst_of_a_low_limit_still_lets_one_request_through() -> None:
    limits = DeploymentLimits.of(config({"requests_per_minute": 6, "burst_seconds": 1}, m={}), "m")
    assert limits.buckets[0].capacity == 1
    limits.check(10_000)


def test_the_floor_keeps_what_is_reserved_ahead_out_of_the_reserve() -> None:
    assert bucket(reserve=0.05).floor == 600 * 0.05 + 600 / 60 * HORIZON_MS / 1000
    assert bucket(reserve=0).floor == 0


def test_seeding_counts_what_was_spent_and_a_debt_no_deeper_than_the_horizon() -> None:
    assert bucket().level_after(0) == 600
    assert bucket().level_after(250) == 350
    assert bucket().level_after(5000) == -20
    assert bucket(per_minute=6, burst=1).fill_seconds == pytest.approx(10)


def test_room_is_what_bulk_may_take_now_and_what_flows_in() -> None:
    assert bucket(reserve=0).room(100, 0, 5000) == pytest.approx(150)
    assert bucket().room(100, 0, 2000) == pytest.approx(100 + 20 - 50)
    assert bucket().room(10, 0, 2000) == 0


def test_a_full_bucket_has_room_for_whatever_fits_into_it() -> None:
    assert bucket(reserve=0.9).room(600, 0, 2000) == 600


def test_a_pause_leaves_room_only_after_its_end() -> None:
    assert bucket(reserve=0).room(100, 2001, 2000) == 0
    assert bucket(reserve=0).room(100, 1000, 2000) == pytest.approx(120)
    assert bucket(reserve=0).room(600, 1000, 2000) == pytest.approx(610)


@given(st.floats(-100, 600), st.floats(0, 5000), st.floats(0, 5000), st.floats(0, 0.9))
def test_room_is_never_negative_and_never_more_than_burst_and_refill(
    level: float, paused: float, ahead: float, reserve: float
) -> None:
    one = bucket(reserve=reserve)
    room = one.room(level, paused, ahead)
    assert 0 <= room <= one.capacity + one.rate * ahead + 1e-6
    assert not math.isnan(room)
