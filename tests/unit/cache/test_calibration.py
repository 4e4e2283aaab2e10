"""Replays, thresholds and files of the semantic cache, on vectors small enough to reckon by hand."""

from pathlib import Path

import numpy as np
import pytest

from penstock.cache import calibration, metric
from penstock.cache.calibration import Calibration
from penstock.cache.replay import Replayed, Stream
from penstock.errors import ConfigError

TEXTS = ["how to pay", "how to pay now", "where is it", "how to pay not"]
LABELS = ["pay", "pay", "where", "no"]
VECTORS = np.array([[1, 0], [0.96, 0.28], [0, 1], [0.96, 0.28]], np.float32)


def test_a_hit_is_not_stored_and_a_wrong_one_counts_among_all_queries() -> None:
    stream = Stream(TEXTS, LABELS, VECTORS @ VECTORS.T, gated=False)
    assert stream.replay(0.9, range(4)) == Replayed(0.9, 0.5, 0.25)
    assert stream.replay(0.99, range(4)) == Replayed(0.99, 0.25, 0.25)


def test_the_gate_keeps_a_negated_question_out() -> None:
    stream = Stream(TEXTS, LABELS, VECTORS @ VECTORS.T)
    assert stream.replay(0.9, range(4)) == Replayed(0.9, 0.25, 0.0)


def test_the_threshold_is_the_lowest_before_too_much_is_wrong() -> None:
    wrong = {True: 0.0, False: 0.1}
    chosen = calibration.choose(lambda at, _: Replayed(at, 0.5, wrong[at >= 0.855]), [[0]], 0.05)
    assert chosen == pytest.approx(0.86)


def test_learning_draws_one_label_together_and_others_apart() -> None:
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(6, 16))
    rows = np.repeat(centres, 20, axis=0) + chance.normal(size=(120, 16))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    labels = [str(index // 20) for index in range(120)]
    turned = metric.apply(vectors, metric.learn(vectors, labels, steps=80))
    assert _apart(turned, labels) > _apart(vectors, labels)


def _apart(vectors: np.ndarray, labels: list[str]) -> float:
    cosines, same = vectors @ vectors.T, np.equal.outer(labels, labels)
    return float(cosines[same].mean() - cosines[~same].mean())


def test_a_calibration_survives_its_file(tmp_path: Path) -> None:
    made = Calibration("enc", np.eye(2, dtype=np.float32), {"safe": 0.9}, seen=frozenset([7]))
    made.save(tmp_path / "c.npz")
    read = Calibration.load(tmp_path / "c.npz")
    assert (read.encoder, read.thresholds, read.length_weight, read.seen) == ("enc", {"safe": 0.9}, 0.08, {7})
    assert (read.matrix == made.matrix).all()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.npz").write_bytes(b"no")
    with pytest.raises(ConfigError, match=r"c\.npz"):
        Calibration.load(tmp_path / "c.npz")


def test_a_split_is_by_text_and_about_as_large_as_asked() -> None:
    texts = [f"question {number}" for number in range(2000)]
    parts = calibration.split(texts, {"a": 0.5, "b": 0.2, "c": 0.3})
    assert calibration.split(texts[::-1], {"a": 0.5, "b": 0.2, "c": 0.3}) == parts[::-1]
    assert [round(parts.count(name) / 2000, 1) for name in "abc"] == [0.5, 0.2, 0.3]


def test_the_calibration_that_ships_is_for_the_published_weights() -> None:
    shipped = Calibration.load(calibration.SHARED)
    assert shipped.encoder == "local-53aa51172d142c89"
    assert shipped.thresholds["safe"] > shipped.thresholds["balanced"]
