"""What is learnt is used as learnt, saves where there is something to save, and claims nothing where there is not."""

import json
from itertools import starmap

import numpy as np
import pytest

from penstock.errors import ConfigError
from penstock.routing.artefact import Artefact
from penstock.routing.calibration import Goal, calibrate, corpus_of
from penstock.routing.curve import Outcomes
from penstock.routing.difficulty import LearnedScore
from penstock.routing.features import Exchange, features
from penstock.routing.training import Encoder, fit_weights, learned_score

EASY = ("add", "spell", "colour", "capital", "list")
HARD = ("prove", "derive", "integrate", "diagnose", "refactor")
FILL = ("please", "the", "river", "value", "of", "this", "number", "again", "house", "green")


def examples(size: int, seed: int, answers: bool = False) -> tuple[list[Exchange], Outcomes]:
    """Half of the prompts have a hard word: there the cheap model is mostly wrong, the strong one nowhere."""
    draw = np.random.default_rng(seed)
    hard = draw.random(size) < 0.5
    prompts = [
        " ".join([*draw.choice(FILL, 8), str(draw.choice(HARD if is_hard else EASY)), *draw.choice(FILL, 4)])
        for is_hard in hard
    ]
    cheap = np.where(hard, draw.random(size) < 0.2, draw.random(size) < 0.98).astype(np.float64)
    signal = np.clip(np.where(cheap > 0, 0.9, 0.4) + draw.normal(0, 0.1, size), 0.01, 0.99)
    exchanges = [
        Exchange(prompt, f"it is {n % 7}", str(n % 7), {"token probability": float(signal[n])})
        if answers
        else Exchange(prompt)
        for n, prompt in enumerate(prompts)
    ]
    paid = np.array([len(prompt) for prompt in prompts]) * 1e-6
    return exchanges, Outcomes(cheap, np.ones(size), paid * 0.05, paid, answers)


@pytest.mark.parametrize("answers", [False, True])
def test_serving_scores_as_training_does(answers: bool) -> None:
    exchanges, outcomes = examples(150, 1, answers)
    corpus, everything = corpus_of(exchanges, answers), np.arange(150)
    encoder = Encoder.fit(corpus, everything)
    rows = encoder.rows(corpus, everything)
    targets = np.column_stack([1 - outcomes.cheap, 1 - outcomes.strong, np.log(outcomes.extra_cost)])
    weights = fit_weights(rows, targets, 4.0)
    score = learned_score(corpus, encoder, weights, answers)
    for expected, exchange in zip(weights.predict(rows), exchanges, strict=True):
        found = score.predict(exchange)
        assert [found.cheap_wrong, found.strong_wrong, np.log(found.cost)] == pytest.approx(expected, abs=1e-4)


def test_it_learns_what_is_hard_and_keeps_its_promise_on_new_questions() -> None:
    artefact = calibrate(*examples(600, 2), Goal(target=0.95))
    assert artefact.report["saves"]
    assert artefact.report["apgr"] > 0.7
    exchanges, outcomes = examples(600, 3)
    escalated = np.array([artefact.decide(exchange).escalate for exchange in exchanges])
    quality, cost = outcomes.mixed(escalated)
    assert quality > 0.93
    assert cost < 0.75 < outcomes.random_cost(quality)
    top = [name for name, _ in artefact.score.explain(Exchange("please prove the value"), most=3)]
    assert any("prove" in name for name in top)


def test_a_saving_is_hardly_ever_claimed_on_shuffled_labels() -> None:
    """The interval is of 95 %, so one in forty is claimed by chance: of 80 such draws, 2 were."""
    claimed = [_claimed_on_shuffled_labels(seed, answers) for seed in range(4) for answers in (False, True)]
    assert sum(claimed) <= 1


def _claimed_on_shuffled_labels(seed: int, answers: bool) -> bool:
    exchanges, outcomes = examples(300, 10 + seed, answers)
    order = np.random.default_rng(seed).permutation(300)
    shuffled = Outcomes(outcomes.cheap[order], outcomes.strong, outcomes.cheap_cost, outcomes.strong_cost, answers)
    artefact = calibrate(exchanges, shuffled, Goal(sees_answer=answers, target=0.95, resamples=100))
    if artefact.report["saves"]:
        return True
    assert artefact.report["verdict"].startswith("no saving here")
    assert artefact.threshold is None
    assert all(artefact.decide(exchange).escalate for exchange in exchanges)
    return False


def test_a_strong_model_that_is_no_better_saves_nothing() -> None:
    exchanges, outcomes = examples(200, 4)
    worse = Outcomes(outcomes.strong, outcomes.cheap, outcomes.cheap_cost, outcomes.strong_cost)
    artefact = calibrate(exchanges, worse, Goal())
    assert not artefact.report["saves"]
    assert "use the cheap one" in artefact.report["verdict"]
    assert not any(artefact.decide(exchange).escalate for exchange in exchanges)


def test_where_the_cheap_model_is_enough_the_strong_one_is_never_asked() -> None:
    exchanges, outcomes = examples(200, 8)
    nearly = np.ones(200)
    nearly[5] = 0
    good = Outcomes(nearly, outcomes.strong, outcomes.cheap_cost, outcomes.strong_cost)
    artefact = calibrate(exchanges, good, Goal(target=0.95))
    assert "cheap model alone" in artefact.report["verdict"]
    assert not any(artefact.decide(exchange).escalate for exchange in exchanges)


def test_a_verifier_needs_the_answer() -> None:
    exchanges, outcomes = examples(200, 5, answers=True)
    artefact = calibrate(exchanges, outcomes, Goal(sees_answer=True, target=0.95))
    with pytest.raises(ValueError, match="needs the cheap model's"):
        artefact.decide(Exchange(exchanges[0].prompt))
    with pytest.raises(ValueError, match="needs the cheap model's answer"):
        calibrate([Exchange("x")] * 200, outcomes, Goal(sees_answer=True))


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        calibrate(*examples(50, 6), Goal())


def test_an_artefact_survives_json() -> None:
    exchanges, outcomes = examples(200, 7)
    artefact = calibrate(exchanges, outcomes, Goal(target=0.95))
    again = Artefact.from_json(json.loads(json.dumps(artefact.to_json())))
    assert list(map(again.decide, exchanges)) == list(map(artefact.decide, exchanges))


@pytest.mark.parametrize(
    "broken",
    [
        {"format": 1},
        {"threshold": "high"},
        {"cost_power": float("nan")},
        {"score": {}},
        {"score": {"outputs": ["cheap_wrong"]}},
        {"target": None},
        {"always": "never"},
    ],
)
def test_what_is_no_artefact_is_refused(broken: dict[str, object]) -> None:
    score = LearnedScore(False, {}, {}, {}, (0.1, 0.1, 0.0))
    whole = Artefact(0.99, 0.5, 0.5, 0.0, score, {}).to_json()
    assert Artefact.from_json(whole).threshold == 0.5
    with pytest.raises(ConfigError):
        Artefact.from_json(whole | broken)


def test_long_texts_are_looked_at_from_both_ends() -> None:
    words = features(Exchange("begin " + "filler " * 5000 + "finish")).words["prompt"]
    assert {"begin", "finish"} <= set(words)
    assert len(words) < 3000


def test_an_answer_is_seen_only_where_it_is_given() -> None:
    prompt, both = starmap(Exchange, [("what is 2 + 2?",), ("what is 2 + 2?", "It is not 5.", "4", {"p": None})])
    assert set(features(prompt).words) == {"prompt"}
    assert features(both).marks == ["verdict=4", "p=none", "verdict=4 p=none"]
    assert "4|not" in features(both).words["answer"]


def test_an_answer_to_a_choice_is_seen_with_the_option_it_chose() -> None:
    prompt = "Which is it?\nA. a cat\nB. a large dog\nC. none of these\nD. a bird"
    found = features(Exchange(prompt, "A bird cannot bark, so it is a large dog: (B)", "B")).numbers
    assert found["chosen place"] == 0.25
    assert found["options said"] == 2
    assert found["chosen none or all"] == 0
    assert features(Exchange(prompt, "(C)", "C")).numbers["chosen none or all"] == 1
    for verdict in (None, "E", "True"):
        assert features(Exchange(prompt, "Hm.", verdict)).numbers["chosen place"] == -1
