"""Fields of this service's own that every dialect has: how each is read, and how a wrong one is refused."""

from typing import Any

import pytest

from penstock.dialects import registry
from penstock.dialects.fields import kept_in
from penstock.errors import InvalidRequest

DIALECTS = registry.names()


def body(dialect: str, **more: Any) -> dict[str, Any]:
    prompt = registry.get(dialect).prompt
    said = [{"role": "user", "content": "Hi"}] if prompt == "messages" else "Hi"
    limit = {"max_tokens": 5} if dialect == "anthropic.messages" else {}
    return {"model": "m", prompt: said, **limit, **more}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_takes_what_a_request_may_cost_and_where_its_data_stays(dialect: str) -> None:
    found = registry.get(dialect).parse(body(dialect, max_cost=0.25, residency="eu"))
    assert (found.max_cost, found.residency) == (0.25, "eu")
    assert not {"max_cost", "residency"} & found.extra.keys(), "no provider is told of them"
    nothing = registry.get(dialect).parse(body(dialect, max_cost=None))
    assert nothing.max_cost is None


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("value", [0, -1, 2e6, True, "1", [1], float("nan"), float("inf"), 10**30])
def test_what_is_no_amount_is_refused_by_name(dialect: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        registry.get(dialect).parse(body(dialect, max_cost=value))
    assert (refused.value.param, refused.value.status) == ("max_cost", 400)
    assert "'max_cost'" in refused.value.message


def test_a_body_says_itself_where_its_key_keeps_it() -> None:
    given = {"model": "m"}
    assert kept_in(given, None) is given
    assert kept_in(given, "eu") == {"model": "m", "residency": "eu"}
    assert given == {"model": "m"}
    assert kept_in({"residency": "eu"}, "eu") == {"residency": "eu"}
    assert kept_in({"residency": None}, "eu") == {"residency": "eu"}


@pytest.mark.parametrize("value", ["us", 7, ["eu"], ""])
def test_a_body_cannot_leave_the_place_of_its_key(value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        kept_in({"residency": value}, "eu")
    assert refused.value.param == "residency"
