"""What fits a model: the prompt, and the limit of its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import CompletionRequest, Message, Text
from penstock.errors import ContextTooLong
from penstock.rules.context import require_fit, within_limits
from penstock.rules.estimates import prompt_tokens


def request(max_tokens: int | None, prompt: int = 100, thinking: int | None = None) -> CompletionRequest:
    """About `prompt` tokens of text."""
    return CompletionRequest(
        model="m",
        messages=(Message("user", (Text("word" * prompt),)),),
        max_tokens=max_tokens,
        reasoning_tokens=thinking,
    )


def test_a_prompt_that_cannot_fit_is_refused() -> None:
    require_fit(request(None), None)
    require_fit(request(None), 100)
    with pytest.raises(ContextTooLong):
        require_fit(request(None, prompt=1000), 100)


@pytest.mark.parametrize(
    ("asked", "context", "max_output", "given"),
    [
        (32_000, None, None, 32_000),
        (32_000, None, 8_192, 8_192),
        (100, None, 8_192, 100),
        (None, 4_000, 8_192, None),
        (3_000, 4_000, None, 3_000),
        (32_000, 4_000, None, 4_000 - 130),
        (32_000, 4_000, 1_000, 1_000),
        (32_000, 50, None, 1),
    ],
)
def test_a_limit_is_lowered_to_what_the_model_can_keep(
    asked: int | None, context: int | None, max_output: int | None, given: int | None
) -> None:
    assert within_limits(request(asked), context, max_output).max_tokens == given


def test_a_budget_of_thinking_is_lowered_in_proportion() -> None:
    assert within_limits(request(32_000, thinking=16_000), None, 8_000).reasoning_tokens == 4_000
    assert within_limits(request(32_000, thinking=16_000), None, None).reasoning_tokens == 16_000


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.none() | st.integers(1, 10**6), st.integers(0, 3000))
def test_a_lowered_limit_fits_beside_the_prompt(asked: int, context: int, most: int | None, prompt: int) -> None:
    wanted = request(asked, prompt, thinking=asked - 1 or None)
    found = within_limits(wanted, context, most)
    assert found.max_tokens
    assert 1 <= found.max_tokens <= min(asked, most or asked)
    assert found.max_tokens + prompt_tokens(found) <= context or found.max_tokens == 1
    assert found.reasoning_tokens is None or found.reasoning_tokens <= found.max_tokens
