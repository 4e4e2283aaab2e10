"""Trees are walked as they were grown, and what is no tree is refused; what is unlike calibration is told."""

import json
from dataclasses import replace

import numpy as np
import pytest

from penstock.routing.artefact import Artefact
from penstock.routing.calibration import corpus_of
from penstock.routing.difficulty import LearnedScore
from penstock.routing.familiarity import Familiarity
from penstock.routing.features import Exchange, features
from penstock.routing.training import Encoder, familiarity, forest_of, grow_trees, unknown_share
from penstock.routing.trees import LEAF, Forest

WORDS = ("river", "lake", "sea", "7", "12", "why", "how", "many", "is", "not")


def prompts(size: int) -> list[Exchange]:
    draw = np.random.default_rng(3)
    return [Exchange(" ".join(draw.choice(WORDS, draw.integers(4, 30)))) for _ in range(size)]


def test_serving_walks_trees_as_training_grew_them() -> None:
    exchanges = prompts(200)
    corpus, everything = corpus_of(exchanges, False), np.arange(200)
    long = np.array([len(exchange.prompt) > 60 for exchange in exchanges], dtype=np.float64)
    targets = np.column_stack([long, 1 - long, long * 3])
    grown = grow_trees(corpus, everything, targets)
    forest = Forest.from_json(json.loads(json.dumps(forest_of(corpus, grown, 0.4).to_json())))
    expected = np.column_stack([model.predict(corpus.numbers) for model in grown])
    found = [forest.predict(features(exchange).numbers) for exchange in exchanges]
    assert np.allclose(found, expected, atol=1e-3)
    assert np.corrcoef(expected[:, 0], long)[0, 1] > 0.9


@pytest.mark.parametrize(
    "tree", [[], [[0, 0.5, 0, 0]], [[0, 0.5, 1, 2], [LEAF, 1, 0, 0]], [[3, 0.5, 1, 1], [LEAF, 1, 0, 0]],
             [[LEAF, float("nan"), 0, 0]]]
)  # fmt: skip
def test_a_tree_that_leads_nowhere_is_refused(tree: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="tree"):
        Forest.from_json({"share": 0.5, "names": ["n"], "starts": [0.0], "trees": [[tree]]})


def test_a_forest_counts_its_share() -> None:
    always_one = (((LEAF, 1.0, 0, 0),),)
    forest = Forest(0.25, ("options",), (0.0, 0.0, 0.0), (always_one, always_one, always_one))
    score = LearnedScore(False, {}, {}, {}, (0.2, 0.2, 0.0), forest)
    assert score.predict(Exchange("x")).cheap_wrong == pytest.approx(0.75 * 0.2 + 0.25)
    assert LearnedScore.from_json(score.to_json()) == score


def test_what_is_unlike_calibration_goes_to_the_strong_model_and_is_told() -> None:
    exchanges = prompts(300)
    corpus, half = corpus_of(exchanges, False), np.arange(150)
    encoder = Encoder.fit(corpus, half)
    usual = familiarity(corpus, half, unknown_share(corpus, encoder, np.arange(150, 300)))
    known = dict.fromkeys(np.array(corpus.counts["prompt"][0])[encoder.kept["prompt"]], (1.0, 0.0, 0.0, 0.0))
    score = LearnedScore(False, {"prompt": known}, {}, {}, (0.1, 0.1, 0.0))
    artefact = Artefact(0.99, 0.5, 0.5, 0.0, score, {}, familiar=usual)
    verdicts = [artefact.decide(exchange) for exchange in exchanges[150:]]
    assert sum(verdict.escalate for verdict in verdicts) <= 6
    for prompt, why in (
        ("Which?\n(A) river\n(B) lake\n(C) sea", "options 3, calibrated on 0 to 0"),
        ("gradient descent converges under strong convexity", "of its terms unknown"),
    ):
        verdict = artefact.decide(Exchange(prompt))
        assert verdict.escalate
        assert why in (verdict.strange or "")
        assert verdict.words().startswith("strong: unlike the prompts of calibration")
    assert not replace(artefact, threshold=None, always="cheap").decide(Exchange("(A) x")).escalate
    assert Familiarity.from_json(json.loads(json.dumps(usual.to_json()))) == usual
    assert Familiarity().strange(features(Exchange("anything")), ()) is None
