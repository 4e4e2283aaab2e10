"""From evaluated questions to a learnt policy, with what was normal then."""

import json

import numpy as np
import pytest
from unit.routing.test_route_calibration import examples

from penstock.errors import InvalidRequest
from penstock.routing.calibration import Goal
from penstock.routing.evaluated import Evaluated, Plan
from penstock.routing.exchanges import answered, exchange_of, prompt_of
from penstock.routing.learnt import LearntPolicy
from penstock.routing.lessons import learn


def questions(size: int) -> list[Evaluated]:
    exchanges, outcomes = examples(size, 2)
    return [
        Evaluated(
            f"q-{n}",
            exchange.prompt,
            {"cheap": float(outcomes.cheap[n]), "strong": 1.0},
            {"cheap": "7" if outcomes.cheap[n] else "8", "strong": "7", "second": "7" if n % 2 else "8"},
            {"cheap": float(outcomes.cheap_cost[n]), "strong": float(outcomes.strong_cost[n])},
        )
        for n, exchange in enumerate(exchanges)
    ]


def test_a_verifier_is_learnt_with_what_was_normal() -> None:
    lesson = learn(questions(300), Plan("verifier", "cheap", "strong", "numeric", "second"), Goal(target=0.95))
    assert (lesson.saves, lesson.used, lesson.left_out) == (True, 300, {})
    assert lesson.policy.artefact.score.sees_answer
    baseline = lesson.policy.baseline
    assert baseline["escalated"] == pytest.approx(lesson.policy.artefact.report["at_threshold"]["strong_calls"])
    assert baseline["same"] > 0.9
    assert 0.2 < baseline["agreed"] < 0.8
    assert len(baseline["need_edges"]) == 9
    assert np.isclose(lesson.curve.quality[-1], 1.0)
    again = LearntPolicy.from_json(json.loads(json.dumps(lesson.policy.to_json())))
    assert again == lesson.policy


def test_questions_that_lack_something_are_left_out_and_named() -> None:
    rows = questions(200)
    rows[0].prompt = None
    del rows[1].right["strong"]
    del rows[2].costs["cheap"]
    del rows[3].answers["cheap"]
    lesson = learn(rows, Plan("verifier", "cheap", "strong"), Goal(target=0.95))
    assert lesson.used == 196
    assert lesson.left_out == {"prompt": 1, "label for strong": 1, "cost of cheap": 1, "answer of cheap": 1}
    assert learn(rows, Plan("content", "cheap", "strong"), Goal(target=0.95)).used == 197


def test_too_few_are_refused_with_what_they_lack() -> None:
    rows = questions(120)
    for row in rows[:60]:
        row.costs.clear()
    with pytest.raises(InvalidRequest, match=r"60 questions can be learnt from.*60 have no cost of cheap"):
        learn(rows, Plan("content", "cheap", "strong"), Goal())


def test_a_strong_model_that_is_never_right_is_refused() -> None:
    rows = questions(120)
    for row in rows:
        row.right["strong"] = 0.0
    with pytest.raises(InvalidRequest, match="never right"):
        learn(rows, Plan("content", "cheap", "strong"), Goal())


def test_what_is_served_looks_as_what_was_learnt_from() -> None:
    from unit.routing.test_judges import result

    from penstock.dialects import openai_chat

    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How much is 6 * 7?"}]
    request = openai_chat.parse({"model": "smart", "messages": messages})
    assert prompt_of(request) == "How much is 6 * 7?"
    text = "It is 42. Confidence: 90%"
    assert exchange_of(request, result(text), "numeric") == answered(prompt_of(request), text, None, "numeric")
    assert answered("q", text, 0.8, None).signals == {"token_probability": 0.8, "stated": 0.9}
