"""What becomes of an answer on a route that escalates."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import CompletionRequest, CompletionResult, PartDelta, ResultPart, Usage
from penstock.completion.step import RouteStep, Verdict
from penstock.errors import ProviderUnreachable
from penstock.execution.accept import Escalation

REQUEST = CompletionRequest(model="smart", messages=())
SPENT = (Usage(5, 6), Decimal("0.25"))
prices = st.lists(st.none() | st.decimals("0", "1", places=3), max_size=4)


def result(text: str) -> CompletionResult:
    return CompletionResult((ResultPart("text", text),), ((0, len(text), 0),), ("stop",), Usage(5, 6))


def distrusts(request: CompletionRequest, answer: CompletionResult, earlier: Sequence[RouteStep]) -> Verdict:
    return Verdict(False, 0.25, "short")


def step(text: str, cost: Decimal | None = None, confidence: float | None = 0.25) -> RouteStep:
    return RouteStep("cheap", result(text), False, confidence, "short", Usage(5, 6), cost)


def test_the_judge_decides_but_on_the_last_step():
    route = Escalation("smart", distrusts)
    first = route.step(REQUEST, "cheap", result("x"), [], spent=SPENT, last=False)
    assert (first.accepted, first.confidence, first.reason, first.cost) == (False, 0.25, "short", Decimal("0.25"))
    assert route.step(REQUEST, "strong", result("x"), [first], spent=SPENT, last=True).accepted


@given(prices, st.decimals("0", "2", places=3))
def test_no_more_is_asked_when_the_budget_is_used_up(before: list[Decimal | None], budget: Decimal):
    route = Escalation("smart", distrusts, budget)
    found = route.step(REQUEST, "b", result("x"), [step("y", cost) for cost in before], spent=SPENT, last=False)
    assert found.accepted == (sum(cost or 0 for cost in before) + Decimal("0.25") >= budget)
    assert ("budget" in found.reason) == found.accepted


def test_what_was_chosen_is_explained():
    route = Escalation("smart", distrusts)
    told = route.explain([step("x", Decimal("0.5")), step("y")])
    assert (told["route"], told["policy"], told["answered_by"]) == ("smart", "escalation", "cheap")
    assert [entry["cost"] for entry in told["steps"]] == [0.5, None]


def test_the_most_trusted_answer_stands_when_a_later_step_fails():
    route = Escalation("smart", distrusts)
    earlier = [
        step("a", confidence=0.1),
        step("b", confidence=0.4),
        step("c", confidence=0.4),
        step("d", confidence=None),
    ]
    chosen, told = route.best(REQUEST, earlier, "strong", ProviderUnreachable("away"))
    assert chosen.text == "c"
    assert told["steps"][-1]["reason"] == "away"
    assert len(told["steps"]) == 5


def test_what_only_the_judge_asked_for_is_taken_off_again():
    tokens = ({"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []},)
    part = ResultPart("text", "ab", logprobs=tokens * 2)
    seen = CompletionResult((part,), ((0, 0, 0), (0, 1, 1), (0, 0, 1), (0, 1, 0)), ("stop",), Usage(5, 6))
    route = Escalation("smart", distrusts, reads_logprobs=True)
    assert route.asking(REQUEST).logprobs
    given = route.as_asked(REQUEST, seen)
    assert given.parts == (ResultPart("text", "ab"),)
    assert [event.text for event in given.events() if isinstance(event, PartDelta)] == ["a", "b"]
    assert route.as_asked(replace(REQUEST, logprobs=True), seen) == seen
