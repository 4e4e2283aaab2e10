"""What calls say of a deployment."""

import random

import pytest

from penstock.routing.statistics import WINDOW_CALLS, WINDOW_SECONDS, Sample, explored, summary


def test_percentiles_of_streamed_calls() -> None:
    found = summary([(1.0, Sample(1.0 + n / 10, 101 + 10 * n, n / 10)) for n in range(10)])
    assert found is not None
    assert (found.calls, found.first_token_p50, found.first_token_p95) == (10, 0.5, 0.9)
    assert found.tokens_per_second_p50 == pytest.approx(146)
    assert (found.seconds_p50, found.seconds_p95) == (1.5, 1.9)
    assert found.seconds(146) == pytest.approx(1.5)
    assert found.tokens_p50 == 151


def test_plain_calls_have_a_rate_of_their_whole() -> None:
    found = summary([(1.0, Sample(2.0, 100))] * 5 + [(1.0, Sample(9.0, 100, 1.0))])
    assert found is not None
    assert (found.first_token_p50, found.tokens_per_second_p50) == (0.0, 50.0)


def test_vectors_take_their_whole_time_at_once() -> None:
    found = summary([(1.0, Sample(0.25, 0))])
    assert found is not None
    assert found.seconds(0) == 0.25


def test_old_calls_and_those_before_the_newest_say_nothing() -> None:
    assert summary([]) is None
    assert summary([(WINDOW_SECONDS + 1, Sample(1.0, 10))]) is None
    recent = summary([(1.0, Sample(1.0, 10))] * WINDOW_CALLS + [(2.0, Sample(99.0, 10))] * 100)
    assert recent is not None
    assert (recent.calls, recent.seconds_p95) == (WINDOW_CALLS, 1.0)


def test_what_mostly_fails_is_ill_for_a_while() -> None:
    failed = Sample(0.1, 0, failed=True)
    assert summary([(1.0, failed)] * 3).available is False  # type: ignore[union-attr]
    assert summary([(60.0, failed)] * 3).available is True  # type: ignore[union-attr]
    mixed = summary([(1.0, failed)] * 3 + [(1.0, Sample(1.0, 10))] * 4)
    assert mixed is not None
    assert (mixed.available, mixed.calls, mixed.failures) == (True, 4, 3)


def test_only_what_is_hardly_known_is_explored() -> None:
    known = summary([(1.0, Sample(1.0, 10))] * WINDOW_CALLS)
    assert known is not None
    assert explored(["a", "b"], {"a": known, "b": known}, 1.0, 20, random.Random(0)) is None
    assert explored(["a", "b"], {"a": known}, 1.0, 20, random.Random(0)) == "b"
    assert explored(["a", "b"], {"a": known}, 0.0, 20, random.Random(0)) is None
    ill = summary([(1.0, Sample(0.1, 0, failed=True))] * 5)
    assert ill is not None
    assert explored(["a", "b"], {"a": known, "b": ill}, 1.0, 20, random.Random(0)) is None
