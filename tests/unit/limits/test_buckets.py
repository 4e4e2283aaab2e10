import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.configuration import Config
from penstock.errors import InvalidRequest
from penstock.limits.buckets import (
    BULK_HORIZON_MS,
    INTERACTIVE_HORIZON_MS,
    BucketState,
    DeploymentLimits,
    Scope,
    TokenBucket,
    Tokens,
    check_size,
    tier_buckets,
)


def config(provider_limits: dict[str, float], **models: dict[str, object]) -> Config:
    return Config.model_validate(
        {
            "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1", "limits": provider_limits}},
            "models": {name.replace("_", "-"): {"provider": "p", **row} for name, row in models.items()},
        }
    )


def bucket(per_minute: int = 600, burst: float = 60, reserve: float = 0.05, cautious: bool = False) -> TokenBucket:
    return TokenBucket(Scope("p"), "tokens", per_minute, burst, reserve, cautious)


def state(
    level: float, paused_ms: float = 0, reserve: float = 0.05, idle_ms: float | None = 0, margin: float = 0
) -> BucketState:
    one = bucket(reserve=reserve)
    return BucketState(one, level, one.rate, one.capacity, margin, paused_ms, idle_ms)


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


def test_each_resource_counts_its_own() -> None:
    limits = DeploymentLimits.of(
        config(
            {
                "requests_per_minute": 60,
                "tokens_per_minute": 6000,
                "input_tokens_per_minute": 4000,
                "output_tokens_per_minute": 2000,
            },
            m={},
        ),
        "m",
    )
    assert [b.amount(Tokens(700, 30)) for b in limits.buckets] == [1, 730, 700, 30]


def test_concurrency_of_provider_and_model_are_leases_of_their_own() -> None:
    both = config({"concurrency": 9}, m={"upstream_model": "up", "limits": {"concurrency": 2}}, n={})
    assert [(lease.key, lease.places) for lease in DeploymentLimits.of(both, "m").leases] == [
        ("penstock:lease:p", 9),
        ("penstock:lease:p/up", 2),
    ]
    assert len(DeploymentLimits.of(both, "n").leases) == 1


def test_names_of_one_upstream_model_share_its_breaker() -> None:
    shared = config({}, a={"upstream_model": "up"}, b={"upstream_model": "up"}, c={})
    gates = {name: DeploymentLimits.of(shared, name).gate for name in "abc"}
    assert gates["a"] == gates["b"] != gates["c"]
    assert (gates["a"].failures, gates["a"].reset_ms, gates["a"].probes) == (5, 30_000, 3)


def test_a_tier_has_buckets_of_its_tenant() -> None:
    known = config({}, m={})
    assert [(b.key, b.per_minute) for b in tier_buckets(known, "acme", "free")] == [
        ("penstock:bucket:requests:tenant:acme", 60),
        ("penstock:bucket:tokens:tenant:acme", 10_000),
    ]
    assert tier_buckets(known, "acme", "unlimited") == ()
    assert tier_buckets(known, "acme", "gone") == ()


def test_a_request_larger_than_a_bucket_is_refused_with_the_limit_and_its_size() -> None:
    limits = DeploymentLimits.of(config({"tokens_per_minute": 6000, "burst_seconds": 10}, m={}), "m")
    check_size(limits.buckets, Tokens(900, 100))
    with pytest.raises(InvalidRequest) as caught:
        check_size(limits.buckets, Tokens(900, 101))
    for fact in ("1001 tokens", "`p`", "at most 1000", "tokens_per_minute 6000", "burst_seconds 10"):
        assert fact in caught.value.message


def test_a_request_larger_than_a_tier_is_told_that_it_is_the_tier() -> None:
    with pytest.raises(InvalidRequest, match="your tier lets at most 10000"):
        check_size(tier_buckets(config({}, m={}), "acme", "free"), Tokens(10_001))


def test_a_short_burst_of_a_low_limit_still_lets_one_request_through() -> None:
    limits = DeploymentLimits.of(config({"requests_per_minute": 6, "burst_seconds": 1}, m={}), "m")
    assert limits.buckets[0].capacity == 1
    check_size(limits.buckets, Tokens(10_000))


def test_what_is_let_through_at_once_is_assumed_with_care_unless_it_was_said() -> None:
    said = DeploymentLimits.of(config({"tokens_per_minute": 6000, "burst_seconds": 60}, m={}), "m").buckets[0]
    unsaid = DeploymentLimits.of(config({"tokens_per_minute": 6000}, m={}), "m").buckets[0]
    assert (said.capacity, said.room) == (6000, 6000)
    assert (unsaid.capacity, unsaid.room) == (6000, 500)


def test_seeding_counts_what_was_spent_and_a_debt_no_deeper_than_the_horizon() -> None:
    assert bucket().level_after(0) == 600
    assert bucket().level_after(250) == 350
    assert bucket().level_after(5000) == -600 / 60 * INTERACTIVE_HORIZON_MS / 1000
    assert bucket(cautious=True).level_after(0) == 50
    assert bucket(per_minute=6, burst=1).fill_seconds == pytest.approx(10)


def test_available_is_what_bulk_may_take_now_and_what_flows_in() -> None:
    assert state(100, reserve=0).available(5000) == pytest.approx(150)
    assert state(100).available(2000) == pytest.approx(100 + 20 - 30 - 600 / 60 * BULK_HORIZON_MS / 1000)
    assert state(10).available(2000) == 0


def test_the_reserve_is_kept_only_while_there_are_interactive_calls() -> None:
    for idle in (None, 600_001):
        assert state(100, idle_ms=idle).available(2000) == pytest.approx(120)
    kept = 30 + 600 / 60 * BULK_HORIZON_MS / 1000
    assert state(100, idle_ms=599_000).available(2000) == pytest.approx(120 - kept)


def test_the_margin_is_left_in_the_bucket() -> None:
    assert state(100, reserve=0, margin=30).available(2000) == pytest.approx(100 + 20 - 30)


def test_what_others_seem_to_use_does_not_flow_in() -> None:
    one = bucket(reserve=0)
    assert BucketState(one, 100, one.rate / 2, one.capacity).available(2000) == pytest.approx(100 + 10)


def test_a_full_bucket_has_room_for_whatever_fits_into_it() -> None:
    assert state(600, reserve=0.9).available(2000) == 600


def test_a_pause_leaves_room_only_after_its_end() -> None:
    assert state(100, 2001, reserve=0).available(2000) == 0
    assert state(100, 1000, reserve=0).available(2000) == pytest.approx(120)
    assert state(600, 1000, reserve=0).available(2000) == pytest.approx(610)


@given(st.floats(-100, 600), st.floats(0, 5000), st.floats(0, 5000), st.floats(0, 0.9))
def test_available_is_never_negative_and_never_more_than_burst_and_refill(
    level: float, paused: float, ahead: float, reserve: float
) -> None:
    found = state(level, paused, reserve).available(ahead)
    assert 0 <= found <= bucket().capacity + bucket().rate * ahead + 1e-6
    assert not math.isnan(found)
