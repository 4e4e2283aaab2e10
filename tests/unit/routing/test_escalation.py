"""After each answer: accept or go on, never past the limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing.escalation import Limits, Step, after

STEPS = st.lists(
    st.builds(Step, st.just("m"), st.one_of(st.none(), st.floats(0, 1)), st.floats(0, 1)), min_size=1, max_size=5
)


@given(STEPS, st.integers(1, 5), st.floats(0.01, 1), st.integers(1, 5), st.one_of(st.none(), st.floats(0, 3)),
       st.one_of(st.none(), st.floats(0, 1)))  # fmt: skip
def test_it_stays_within_its_limits(
    done: list[Step], more: int, least: float, most: int, budget: float | None, cost: float | None
) -> None:
    route = [f"m{n}" for n in range(len(done) + more - 1)]
    found = after(done, route, least, Limits(most, budget), cost)
    assert (found.accept is None) is not (found.model is None)
    assert found.reason
    if found.model is not None:
        assert found.model == route[len(done)]
        assert len(done) < most
        assert (done[-1].confidence or 0.0) < least
        assert budget is None or (cost is not None and sum(step.cost for step in done) + cost <= budget)
    else:
        assert found.accept is not None
        assert 0 <= found.accept < len(done)


def test_a_sure_answer_is_accepted_and_an_unsure_one_is_not() -> None:
    route = ["cheap", "strong"]
    assert after([Step("cheap", 0.9, 0.1)], route, 0.8, Limits()).accept == 0
    assert after([Step("cheap", 0.7, 0.1)], route, 0.8, Limits()).model == "strong"
    assert after([Step("cheap", None, 0.1)], route, 0.8, Limits()).model == "strong"


def test_the_last_model_is_believed() -> None:
    done = [Step("cheap", 0.7, 0.1), Step("strong", 0.1, 1.0)]
    assert after(done, ["cheap", "strong"], 0.8, Limits()).accept == 1


def test_stopped_early_the_surest_answer_is_kept() -> None:
    done = [Step("a", 0.7, 0.1), Step("b", 0.5, 0.1)]
    assert after(done, ["a", "b", "c"], 0.8, Limits(steps=2)).accept == 0
    assert after(done, ["a", "b", "c"], 0.8, Limits(budget=0.25), 0.1).accept == 0
    assert after(done, ["a", "b", "c"], 0.8, Limits(budget=0.35), 0.1).model == "c"


def test_nothing_comes_after_nothing() -> None:
    with pytest.raises(ValueError, match="no answer yet"):
        after([], ["a"], 0.5, Limits())
