"""Signals are from 0 to 1 or say nothing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing import confidence


@given(st.lists(st.floats(-50, 0), max_size=20))
def test_token_probability_lies_between_the_least_and_the_greatest(logs: list[float]) -> None:
    found = confidence.token_probability(logs)
    if not logs:
        assert found is None
    else:
        assert found is not None
        assert math.exp(min(logs)) * 0.999999 <= found <= math.exp(max(logs)) * 1.000001


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


def test_refusals() -> None:
    assert confidence.willing("I'm sorry, but I can't help with that.") == 0
    assert confidence.willing("The capital is Paris. " * 20 + "I'm sorry for the length.") == 1
