"""Two answers say the same, or not: symmetric, and silence agrees with nothing."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing.equivalence import RULES, by_embedding, equivalent, numeric

RULE = st.sampled_from(sorted(RULES))
ANSWER = st.one_of(
    st.text(max_size=40),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["A", "(b)", "the answer is C", "{'a': 1}", '{"a": [1, 2]}', "'x'", "$1,200.50", "50%"]),
)


@given(RULE, ANSWER, ANSWER)
def test_equivalence_is_symmetric(name: str, first: str, second: str) -> None:
    assert equivalent(RULES[name], first, second) is equivalent(RULES[name], second, first)


@given(RULE, ANSWER, ANSWER, ANSWER)
def test_equivalence_is_transitive(name: str, first: str, second: str, third: str) -> None:
    rule = RULES[name]
    if equivalent(rule, first, second) and equivalent(rule, second, third):
        assert equivalent(rule, first, third)


@given(RULE, ANSWER)
def test_no_answer_agrees_with_none(name: str, answer: str) -> None:
    assert not equivalent(RULES[name], None, answer)
    assert not equivalent(RULES[name], None, None)


@given(RULE, ANSWER)
def test_an_answer_with_a_form_agrees_with_itself(name: str, answer: str) -> None:
    assert equivalent(RULES[name], answer, answer) is (RULES[name](answer) is not None)


@pytest.mark.parametrize(
    ("name", "first", "second", "same"),
    [
        ("exact", " Paris\n", "Paris", True),
        ("exact", "paris", "Paris", False),
        ("text", "The  Cat.", "a cat", True),
        ("text", "cat", "cats", False),
        ("numeric", "It costs $1,234.50", "#### 1234.5", True),
        ("numeric", r"\boxed{\frac{1}{2}}", "0.5", True),
        ("numeric", r"\frac{1}{2}", "1/2", True),
        ("numeric", "50%", "0.5", True),
        ("numeric", "-3", "3", False),
        ("numeric", "no number", "no number", False),
        ("numeric", '{"reasoning": "3 of 4", "answer": "18"}', "so 18", True),
        ("numeric", r'```json\n{"answer": "2\\sqrt{3}"}\n```', r"\boxed{2\sqrt{3}}", True),
        ("numeric", r"\boxed{2\sqrt{3}}", r"\boxed{5\sqrt{3}}", False),
        ("numeric", '{"answer": 18', "18", True),
        ("numeric", '{"answer": "i"}', r"\boxed{i}", True),
        ("numeric", "3 + 4\n#### 7", "7", True),
        ("choice", '{"reasoning": "not A", "answer": "B"}', "B", True),
        ("literal", 'I think:\n```json\n{"answer": "[1, 2]"}\n```', "[1,2]", True),
        ("literal", '{"answer": ""}', """{"answer": "''"}""", True),
        ("literal", '{"answer": ""}', "", False),
        ("choice", "(B)", "The answer is B.", True),
        ("choice", "b", "B", True),
        ("choice", "A", "B", False),
        ("choice", "I am not sure", "I am not sure", False),
        ("json", '{"a": 1, "b": [2]}', '```json\n{"b": [2.0], "a": 1}\n```', True),
        ("json", '{"a": "1"}', '{"a": 1}', False),
        ("json", '{"a": true}', '{"a": 1}', False),
        ("json", "{'a': 1}", "{'a': 1}", False),
        ("literal", "'abc'", "abc", True),
        ("literal", "{1: 2, 3: 4}", "{3: 4, 1: 2}", True),
        ("literal", "[1, 2]", "(1, 2)", False),
        ("literal", "['1']", "[1]", False),
    ],
)
def test_rules(name: str, first: str, second: str, same: bool) -> None:
    assert equivalent(RULES[name], first, second) is same


@given(st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_a_number_is_read_exactly(top: int, bottom: int) -> None:
    assert numeric(f"so the answer is {top}/{bottom}") == Fraction(top, bottom)
    assert numeric(f"{top:,}") == top


def test_vectors() -> None:
    assert by_embedding([1, 0], [2, 0])
    assert not by_embedding([1, 0], [0, 1])
    assert not by_embedding([0, 0], [0, 0])
