"""What an answer costs."""

from decimal import Decimal
from types import SimpleNamespace

import pytest

from penstock.completion.usage import Usage
from penstock.configuration import Price
from penstock.rules.prices import cost, of_kept_prompts, together

USED = Usage(input_tokens=1_000_000, output_tokens=100_000, cached_tokens=400_000, cache_write_tokens=100_000)


def test_cached_and_written_input_have_their_own_prices() -> None:
    price = Price(input=2, output=10, cached_input=0.5, cache_write=2.5)
    assert cost(USED, price, "m", "http://here") == Decimal(
        "2.45"
    )  # 0.5 M × 2 + 0.4 M × 0.5 + 0.1 M × 2.5 + 0.1 M × 10


def test_without_them_all_input_costs_the_same() -> None:
    assert cost(USED, Price(input=2, output=10), "m", "http://here") == Decimal(3)


def test_a_discount_is_taken_off() -> None:
    assert cost(USED, Price(input=2, output=10), "m", "http://here", discount=0.5) == Decimal("1.5")


def test_an_unknown_price_is_not_zero() -> None:
    assert cost(USED, None, "my-own-model", "http://127.0.0.1:9") is None
    assert cost(USED, None, "no-such-model", "https://api.openai.com/v1") is None


@pytest.mark.parametrize("discount", [0.0, 0.5])
def test_list_prices_know_cached_tokens(discount: float) -> None:
    where = ("gpt-4o-mini", "https://api.openai.com/v1")
    plain = cost(Usage(1000, 100), None, *where, discount=discount)
    cached = cost(Usage(1000, 100, cached_tokens=1000), None, *where, discount=discount)
    assert plain is not None
    assert cached is not None
    assert 0 < cached < plain


@pytest.mark.parametrize(
    ("calls", "cost_of_all"),
    [
        ([], None),
        ([("failed", None)], None),
        ([("succeeded", None)], None),
        ([("failed", None), ("succeeded", 2)], 2),
        ([("succeeded", 2), ("succeeded", 3)], 5),
        ([("succeeded", 2), ("succeeded", None)], None),
        ([("succeeded", 0)], 0),
    ],
)
def test_an_answer_of_unknown_price_makes_the_whole_unknown(
    calls: list[tuple[str, int | None]], cost_of_all: int | None
) -> None:
    rows = [SimpleNamespace(outcome=o, cost=None if c is None else Decimal(c)) for o, c in calls]
    assert together(rows) == cost_of_all


def test_what_kept_prompts_saved_and_what_keeping_them_cost() -> None:
    price = Price(input=2, output=10, cached_input=0.5, cache_write=2.5)
    assert of_kept_prompts(USED, price, "m", "http://here") == (Decimal("0.6"), Decimal("0.05"))
    assert of_kept_prompts(USED, price, "m", "http://here", discount=0.5) == (Decimal("0.3"), Decimal("0.025"))
    assert of_kept_prompts(USED, Price(input=2, output=10), "m", "http://here") == (0, 0)
    assert of_kept_prompts(USED, None, "my-own-model", "http://127.0.0.1:9") is None


def test_saved_less_surcharge_is_the_difference_to_plain_input() -> None:
    price = Price(input=3, output=15, cached_input=0.3, cache_write=3.75)
    found = of_kept_prompts(USED, price, "m", "http://here")
    plain = cost(Usage(USED.input_tokens, USED.output_tokens), price, "m", "http://here")
    actual = cost(USED, price, "m", "http://here")
    assert found
    assert plain
    assert plain - (found[0] - found[1]) == actual
