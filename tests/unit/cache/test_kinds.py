"""Kinds of questions that a calibration knows, on vectors small enough to reckon by hand."""

from pathlib import Path

import numpy as np
import pytest

from penstock.cache import calibration
from penstock.cache.calibration import Calibration
from penstock.cache.kinds import FLOOR, Kinds, Weighing, centres_of

CENTRES = np.array([[1, 0], [0, 1]], np.float32)
WEIGHING = Weighing(least=0.75, cosine=1.0, length=0.0, clear=0.5, offset=-0.2, strange=-0.1)
KINDS = Kinds(CENTRES, WEIGHING)
#: in the middle of the first kind, between the two, and of no kind
CLEAR, BETWEEN, STRANGE = [1.0, 0.0], [0.8, 0.6], [-0.8, -0.6]


def test_a_question_is_clear_by_how_much_nearer_it_is_to_one_kind() -> None:
    placed = KINDS.place(np.array([CLEAR, BETWEEN], np.float32))
    assert placed.nearest.tolist() == pytest.approx([1.0, 0.8])
    assert placed.clear.tolist() == pytest.approx([1.0, 0.2])


def scores(*vectors: list[float]) -> np.ndarray:
    rows = np.array(vectors, np.float32)
    made = Calibration("enc", np.eye(2, dtype=np.float32), {}, length_weight=0.0, kinds=KINDS)
    return made.scores(["how to pay"] * len(rows), rows, ["how to pay"] * len(rows), rows)


def test_the_less_clear_of_two_known_questions_decides() -> None:
    found = scores(CLEAR, BETWEEN)
    assert found[0, 0] == pytest.approx(1.0 + 0.5 * 1.0 - 0.2)
    assert found[1, 1] == pytest.approx(1.0 + 0.5 * 0.2 - 0.2)
    assert found[0, 1] == pytest.approx(0.7), "too unlike for kinds to say anything"
    assert FLOOR > 0.8


def test_of_a_question_of_no_known_kind_kinds_say_nothing() -> None:
    assert scores(STRANGE)[0, 0] == pytest.approx(0.9)
    assert scores(CLEAR, STRANGE)[0, 1] == pytest.approx(-0.9)


def test_only_known_labels_have_centres_and_they_lie_in_the_middle() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
    found = centres_of(vectors, ["a", "a", "b"], frozenset("a"))
    assert found == pytest.approx(np.array([[0.894, 0.447]]), abs=0.001)


def test_kinds_survive_the_calibrations_file(tmp_path: Path) -> None:
    Calibration("enc", np.eye(2, dtype=np.float32), {"safe": 0.9}, kinds=KINDS).save(tmp_path / "c.npz")
    read = Calibration.load(tmp_path / "c.npz").kinds
    assert read is not None
    assert (read.weighing, read.centres.tolist()) == (WEIGHING, CENTRES.tolist())


def test_the_calibration_that_ships_knows_kinds() -> None:
    assert Calibration.load(calibration.SHARED).kinds is not None
