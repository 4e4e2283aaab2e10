"""Whether a calibration still holds: what differs is noticed, and of too little nothing is said."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing.drift import drift, edges, shift, tenth

BASELINE = {"escalated": 0.3, "agreed": 0.6, "same": 0.95}


def counts(answered: int, escalated: float, scores: Any = ()) -> dict[str, float]:
    found = Counter(tenth(score, edges(list(np.arange(1000) / 1000))) for score in scores)
    return {"answered": answered, "escalated": answered * escalated, **found}


def test_what_is_as_at_calibration_is_ok():
    scores = np.random.default_rng(1).random(400)
    found = drift(BASELINE, counts(400, 0.32, scores), (40, 39), None)
    assert (found.state, found.reasons) == ("ok", ("as at calibration",))
    assert found.shift < 0.1


@pytest.mark.parametrize(
    ("seen", "samples", "word"),
    [
        (counts(400, 0.31, np.random.default_rng(1).random(400) * 0.4), (0, 0), "unlike what was calibrated on"),
        (counts(400, 0.55), (0, 0), "55% escalated, 30% at calibration"),
        (counts(400, 0.05), (0, 0), "escalated"),
        ({**counts(400, 0.3), "compared": 300, "agreed": 120}, (0, 0), "40% agreed, 60% at calibration"),
        ({**counts(400, 0.3, np.arange(400) / 400), "strange": 80}, (0, 0), "20% of the prompts are unlike"),
        (counts(400, 0.3), (200, 160), "80% of the cheap answers that were kept"),
    ],
)
def test_what_is_not_is_noticed(seen: dict[str, float], samples: tuple[int, int], word: str):
    found = drift(BASELINE, seen, samples, None)
    assert found.state == "drifting"
    assert len(found.reasons) == 1
    assert word in found.reasons[0]


@pytest.mark.parametrize(
    ("baseline", "seen", "problem", "word"),
    [
        (None, counts(400, 0.3), None, "nothing was calibrated"),
        (BASELINE, counts(400, 0.3), "version 2 is not used: why", "version 2 is not used"),
        (BASELINE, counts(99, 0.3), None, "99 answers lately"),
        (BASELINE, {}, None, "0 answers lately"),
        ({}, counts(20, 0.9), None, "20 answers lately"),
    ],
)
def test_of_too_little_nothing_is_said(baseline: Any, seen: dict[str, float], problem: str | None, word: str):
    found = drift(baseline, seen, (0, 0), problem)
    assert found.state == "unknown"
    assert word in found.reasons[0]


def test_better_quality_than_expected_is_no_drift():
    assert drift({**BASELINE, "same": 0.7}, counts(400, 0.3), (200, 200), None).state == "ok"


@given(st.lists(st.floats(-1e6, 1e6), min_size=10, max_size=300), st.floats(-1e9, 1e9))
def test_each_score_falls_into_one_of_ten_parts(scores: list[float], other: float):
    bounds = edges(scores)
    assert bounds == sorted(bounds)
    assert len(bounds) == 9
    assert {tenth(score, bounds) for score in [*scores, other]} <= {f"score:{place}" for place in range(10)}


@given(st.lists(st.integers(0, 1000), min_size=10, max_size=10))
def test_a_shift_is_never_negative(found: list[int]):
    value = shift({f"score:{place}": float(count) for place, count in enumerate(found)})
    assert value is None if sum(found) < 100 else value >= 0
