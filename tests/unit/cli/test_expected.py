"""What a file is expected to come to."""

from typing import Any

import pytest

from cli.expected import Expected, Span, spanned


def told(deployment: str, costs: dict[str, float | None], **more: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "deployment": deployment,
        "error": None,
        "input_tokens": 100,
        "output_tokens": 50,
        "costs": costs,
        "stages": None,
        "shares": None,
        **more,
    }


def test_a_mix_of_models() -> None:
    expected = Expected()
    for _ in range(3):
        expected.add(told("a", {"a": 0.01, "b": 9}))
    expected.add(told("c", {"c": None}))
    expected.add({"error": {"message": "No."}})
    assert list(expected.rows()) == [("a", "3", "450", "$0.0300"), ("c", "1", "150", "price unknown")]
    assert (expected.requests, expected.refused) == (5, {"No.": 1})
    assert expected.cost == Span(pytest.approx(0.03), pytest.approx(0.03), pytest.approx(0.03))


def test_an_escalation_is_a_range_and_its_history_says_what_is_likely() -> None:
    stages = {"stages": [["a", "x"], ["b"], ["c"]]}
    costs = {"a": 1.0, "x": 7.0, "b": 10.0, "c": 100.0}
    known, unknown = Expected(), Expected()
    for _ in range(10):
        known.add(told("a", costs, shares=[1.0, 0.2], **stages))
        unknown.add(told("a", costs, **stages))
    assert known.cost == Span(10.0, 1110.0, pytest.approx(30.0))
    assert unknown.cost == Span(10.0, 1110.0, None)
    assert {row[0]: row[1] for row in known.rows()} == {
        "a": "10",
        "b": "0 to 10, about 2",
        "c": "0 to 10, about 0",
    }
    assert (known.escalating, unknown.escalating) == ({"m": True}, {"m": False})


def test_what_is_certain_is_no_range() -> None:
    assert spanned(Span(2.0, 2.0, 2.0), "${:,.2f}") == "$2.00"
    assert spanned(Span(1.0, 2.0, None), "{:.0f}") == "1 to 2"
