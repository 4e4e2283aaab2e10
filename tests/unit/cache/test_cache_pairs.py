"""Thresholds from pairs and from what a shadow noted."""

import numpy as np
import pytest

from penstock.cache.calibration import LEVELS, plain
from penstock.cache.pairs import Judged, of_shadows, pair_scores, replay, thresholds
from penstock.cache.replay import Replayed
from penstock.store.semantic_answers import Shadow

#: of 1,000 questions: 300 good ones at 0.95, 10 wrong ones at 0.85, 100 good ones at 0.8, 20 wrong ones at 0.7
JUDGED = [
    *[Judged(0.955, True)] * 300,
    *[Judged(0.855, False)] * 10,
    *[Judged(0.805, True)] * 100,
    *[Judged(0.705, False)] * 20,
    *[Judged(None, False)] * 570,
]


def test_shares_are_of_all_questions() -> None:
    assert replay(JUDGED, 0.9) == Replayed(0.9, 0.3, 0.0)
    assert replay(JUDGED, 0.8) == Replayed(0.8, 0.41, 0.01)


def test_each_level_has_the_lowest_threshold_that_keeps_to_it() -> None:
    found = thresholds(JUDGED, 1.0)
    assert found == {"safe": pytest.approx(0.86), "balanced": pytest.approx(0.71)}
    assert set(found) == set(LEVELS)
    assert thresholds(JUDGED, 0.5)["balanced"] == pytest.approx(0.86), "a margin is kept"


def test_nothing_is_promised_of_where_a_shadow_did_not_look() -> None:
    assert thresholds([Judged(0.9, True)] * 10, 1.0, lowest=0.9) == {"safe": 0.9, "balanced": 0.9}


def test_a_shadow_says_the_same_where_its_answers_are_nearly_equal() -> None:
    noted = [Shadow("a", "b", 0.9, 0.95), Shadow("a", "c", 0.8, 0.89), Shadow("d")]
    assert of_shadows(noted) == [Judged(0.9, True), Judged(0.8, False), Judged(None, False)]


def test_a_pair_that_the_gate_keeps_apart_has_no_score() -> None:
    vectors = np.array([[1, 0], [1, 0]], np.float32)
    others = np.array([[0.6, 0.8], [1, 0]], np.float32)
    asked, stored = ["how to pay", "how to pay"], ["how to pay now", "how not to pay"]
    found = pair_scores(plain("enc", 2), asked, stored, vectors, others)
    assert found == [pytest.approx(0.6), None]
