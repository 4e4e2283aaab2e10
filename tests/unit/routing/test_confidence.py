"""Signals are from 0 to 1 or say nothing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing import confidence
from penstock.routing.equivalence import choice, exact, numeric

SIGNALS = st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.floats(0, 1)), max_size=5)


@given(st.lists(st.floats(-50, 0), max_size=20))
def test_token_probability_lies_between_the_least_and_the_greatest(logs: list[float]) -> None:
    found = confidence.token_probability(logs)
    if not logs:
        assert found is None
    else:
        assert found is not None
        assert math.exp(min(logs)) * 0.999999 <= found <= math.exp(max(logs)) * 1.000001


@given(st.lists(st.one_of(st.none(), st.sampled_from(["1", "2", "one"])), min_size=2, max_size=6))
def test_agreement_and_the_most_agreed(answers: list[str | None]) -> None:
    found = confidence.agreement(answers, numeric)
    assert found is not None
    assert 0 <= found <= 1
    place, share = confidence.most_agreed(answers, numeric)
    said = answers[place]
    assert share == 0 or (said is not None and share == sum(answer == said for answer in answers) / len(answers))


def test_agreement_of_two_models() -> None:
    assert confidence.agreement(["(B)", "the answer is B"], choice) == 1
    assert confidence.agreement(["(B)", "the answer is C"], choice) == 0
    assert confidence.agreement([None, None], choice) == 0
    assert confidence.agreement(["B"], choice) is None


def test_samples_agree_in_part() -> None:
    assert confidence.agreement(["a", "a", "b", "a"], exact) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ('{"Answer": "True", "Confidence": 0.8}', 0.8),
        ("I am sure. Confidence: 90%", 0.9),
        ("confidence is 1", 1.0),
        ("confidence: 7", None),
        ("no word of it", None),
    ],
)
def test_stated(answer: str, value: float | None) -> None:
    assert confidence.stated(answer) == value


def test_refusals_and_cut_answers() -> None:
    assert confidence.willing("I'm sorry, but I can't help with that.") == 0
    assert confidence.willing("The capital is Paris. " * 20 + "I'm sorry for the length.") == 1
    assert confidence.complete("length") == 0
    assert confidence.complete("stop") == 1
    assert confidence.complete(None) is None


@given(SIGNALS)
def test_combined_stays_within_its_signals(signals: dict[str, float | None]) -> None:
    known = [value for value in signals.values() if value is not None]
    least, mean = confidence.combined(signals), confidence.combined(signals, "mean")
    if not known:
        assert least is None
        assert mean is None
    else:
        assert least == min(known)
        assert mean is not None
        assert min(known) - 1e-9 <= mean <= max(known) + 1e-9
