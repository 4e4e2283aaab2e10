"""What follows a failed call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.configuration import LaneRetries
from penstock.errors import (
    InvalidRequest,
    ProviderContentRefused,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnauthorized,
)
from penstock.rules.retries import BASE_SECONDS, CEILING_SECONDS, FallBack, GiveUp, Retry, decide

POLICY = LaneRetries(max_attempts=5, max_seconds=100)
DEFAULT = frozenset({"unavailable", "rate_limited", "unauthorized"})


@pytest.mark.parametrize("error", [ProviderRejected("no"), ProviderUnauthorized("no"), InvalidRequest("no")])
def test_what_would_fail_again_is_not_tried_again(error: Exception) -> None:
    assert decide(error, 1, POLICY) == GiveUp()


def test_attempts_are_bounded() -> None:
    error = ProviderOverloaded("busy")
    assert isinstance(decide(error, 4, POLICY), Retry)
    assert decide(error, 5, POLICY) == GiveUp()


def test_time_is_bounded() -> None:
    error = ProviderRateLimited("slow down", retry_after=30)
    assert decide(error, 1, POLICY, elapsed=70) == Retry(30)
    assert decide(error, 1, POLICY, elapsed=71) == GiveUp()
    assert decide(error, 1, POLICY, elapsed=71, fallback_on=DEFAULT) == FallBack()


@given(st.integers(1, 4), st.floats(0, 1, exclude_max=True), st.one_of(st.none(), st.floats(0, 50)))
def test_the_delay_is_under_a_doubling_ceiling_and_never_shorter_than_named(
    attempt: int, jitter: float, named: float | None
) -> None:
    decision = decide(ProviderRateLimited("slow down", retry_after=named), attempt, POLICY, jitter=jitter)
    assert isinstance(decision, Retry)
    ceiling = min(CEILING_SECONDS, BASE_SECONDS * 2 ** (attempt - 1))
    assert decision.delay >= (named or 0)
    assert decision.delay <= max(ceiling, named or 0)


def test_chance_spreads_the_delays() -> None:
    delays = {decide(ProviderTimeout("late"), 3, POLICY).delay for _ in range(20)}
    assert len(delays) > 10


def test_with_another_deployment_a_fault_is_repeated_once() -> None:
    error = ProviderOverloaded("busy")
    assert isinstance(decide(error, 1, POLICY, fallback_on=DEFAULT), Retry)
    assert decide(error, 2, POLICY, fallback_on=DEFAULT) == FallBack()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ProviderUnauthorized("no"), "unauthorized"),
        (ProviderContentRefused("no"), "content_policy"),
        (ProviderRejected("no"), "invalid_request"),
    ],
)
def test_a_route_says_which_refusals_fall_back(error: Exception, reason: str) -> None:
    assert decide(error, 1, POLICY, fallback_on={reason}) == FallBack()
    assert decide(error, 1, POLICY, fallback_on={"unavailable"}) == GiveUp()
