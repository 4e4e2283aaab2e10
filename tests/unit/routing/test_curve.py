"""Figures of a ranking that can be known without data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing.curve import Outcomes, apgr, area_under_roc, curve, resamples

BIT = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=5, max_size=60)


def outcomes(pairs: list[tuple[bool, bool]], paid_first: bool = False) -> Outcomes:
    cheap, strong = np.array(pairs, dtype=np.float64).T
    return Outcomes(cheap, strong, np.full(len(pairs), 0.1), np.full(len(pairs), 1.0), paid_first)


@given(BIT, st.booleans(), st.randoms(use_true_random=False))
def test_a_curve_goes_from_cheap_only_to_strong_only(
    pairs: list[tuple[bool, bool]], paid_first: bool, order: object
) -> None:
    known = outcomes([*pairs, (False, True)], paid_first)
    drawn = curve(np.random.default_rng(0).random(len(known.cheap)), known)
    assert drawn.quality[0] == pytest.approx(known.cheap.sum() / known.strong.sum())
    assert drawn.quality[-1] == pytest.approx(1)
    assert drawn.cost[0] == pytest.approx(0.1)
    assert drawn.cost[-1] == pytest.approx(1.1 if paid_first else 1)
    assert np.all(np.diff(drawn.cost) >= 0)


def test_a_random_ranking_has_half() -> None:
    draw = np.random.default_rng(1)
    known = outcomes([(bool(a), bool(b)) for a, b in zip(draw.random(400) < 0.6, draw.random(400) < 0.9, strict=True)])
    found = [apgr(draw.random(400), known) for _ in range(400)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.01)
    by_cost = [apgr(draw.random(400), known, by_cost=True) for _ in range(400)]
    assert np.mean(by_cost) == pytest.approx(0.5, abs=0.01)


@given(BIT)
def test_a_ranking_and_its_reverse_make_one(pairs: list[tuple[bool, bool]]) -> None:
    known = outcomes([*pairs, *[(False, True)] * (len(pairs) + 1)])
    need = np.random.default_rng(2).permutation(len(known.cheap)).astype(np.float64)
    assert apgr(need, known) + apgr(-need, known) == pytest.approx(1)


@given(BIT)
def test_nothing_beats_who_knows_the_answers(pairs: list[tuple[bool, bool]]) -> None:
    known = outcomes([*pairs, *[(False, True)] * (len(pairs) + 1)])
    best = apgr(known.strong - known.cheap, known)
    assert apgr(np.random.default_rng(3).random(len(known.cheap)), known) <= best + 1e-9


def test_a_gap_is_needed() -> None:
    with pytest.raises(ValueError, match="no better"):
        apgr(np.zeros(2), outcomes([(True, True), (True, False)]))


def test_the_least_cost_of_a_quality() -> None:
    known = outcomes([(False, True), (True, True), (True, True), (False, True)])
    drawn = curve(np.array([4.0, 2.0, 1.0, 3.0]), known)
    assert drawn.at(1.0) == (pytest.approx((4 * 0.1 + 2 * 0.9) / 4), 0.5)
    assert known.random_cost(0.75) == pytest.approx(0.55)
    assert known.random_cost(0.4) == pytest.approx(0.1)


def test_area_under_roc() -> None:
    assert area_under_roc(np.array([1.0, 2, 3, 4]), np.array([False, False, True, True])) == 1
    assert area_under_roc(np.zeros(4), np.array([False, True, False, True])) == 0.5


def test_resamples_repeat_themselves() -> None:
    first, second = resamples(10, 3, 7), resamples(10, 3, 7)
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))
