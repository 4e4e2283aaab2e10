import io

import pytest
from rich.console import Console

from cli.demo.batch import ModelTally
from cli.demo.plan import DemoProvider
from cli.demo.summary import Ideal, Used, check_spend, ideal, spend, table
from penstock.errors import PenstockError

PROVIDER = DemoProvider("p", "openai", "m", 600, 60_000, 5.0, price=(1.0, 2.0))


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        # 10 requests a second, 1,000 tokens a second, 5 seconds of both at the start
        (Used(requests=350, tokens=1_000), Ideal(30.0, "requests")),
        (Used(requests=100, tokens=45_000), Ideal(40.0, "tokens")),
        (Used(requests=10, tokens=100), Ideal(0.0, "tokens")),
    ],
)
def test_the_quota_allows_a_full_bucket_and_then_its_rate(used: Used, expected: Ideal) -> None:
    assert ideal(PROVIDER, used) == expected


def test_spend_is_prices_times_tokens() -> None:
    amount = spend(PROVIDER, ModelTally(succeeded=1, input_tokens=1_000_000, output_tokens=500_000))
    assert amount == pytest.approx(2.0)
    check_spend({"cost": 2.0}, [amount])
    with pytest.raises(PenstockError, match="cost"):
        check_spend({"cost": 2.1}, [amount])


def test_spend_at_list_prices_is_not_checked() -> None:
    check_spend({"cost": 2.1}, [1.0, None])


def test_the_table_adds_up() -> None:
    other = DemoProvider("q", "anthropic", "n", 600, 60_000, 5.0, price=(1.0, 1.0))
    models = {"m": ModelTally(300, 1, 0, 1000, 500), "n": ModelTally(299, 0, 0, 2000, 700)}
    output = io.StringIO()
    ideals = [Ideal(30.0, "requests"), Ideal(41.5, "tokens")]
    Console(file=output, width=160).print(table([PROVIDER, other], models, ideals, {"cost": 0.0047}))
    last = output.getvalue().rstrip().splitlines()[-1]
    assert last.split() == ["all", "600", "599", "1", "3,000", "1,200", "$0.0047", "41.5", "s"]
