"""What becomes of an answer on a route that escalates."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import CompletionRequest, CompletionResult, PartDelta, ResultPart, Usage
from penstock.completion.step import RouteStep, Verdict
from penstock.errors import ProviderUnreachable
from penstock.execution.accept import Candidate, Escalation
from penstock.routing.judges import Answered, Ask

REQUEST = CompletionRequest(model="smart", messages=())
prices = st.lists(st.none() | st.decimals("0", "1", places=3), max_size=4)


def result(text: str) -> CompletionResult:
    return CompletionResult((ResultPart("text", text),), ((0, len(text), 0),), ("stop",), Usage(5, 6))


async def distrusts(answered: Answered, ask: Ask) -> Verdict:
    return Verdict(False, 0.25, "short")


async def by_length(answered: Answered, ask: Ask) -> Verdict:
    """Trusts four letters or more, or what another model said too."""
    text = answered.result.text
    same = any(step.result.text == text for step in answered.others)
    return Verdict(len(text) > 3 or same, len(text) / 10, "by length")


class Unasked:
    async def __call__(self, deployment: str, _: CompletionRequest) -> CompletionResult:
        raise AssertionError(f"{deployment} is not to be asked")

    async def embed(self, deployment: str, _: Sequence[str]) -> Sequence[Sequence[float]]:
        raise AssertionError(f"{deployment} is not to be asked")


def candidate(text: str, deployment: str = "cheap", cost: str | None = "0.25") -> Candidate:
    return Candidate(deployment, result(text), lambda: (Usage(5, 6), Decimal(cost) if cost else None), Unasked())


def step(text: str, cost: Decimal | None = None, confidence: float | None = 0.25) -> RouteStep:
    return RouteStep("cheap", result(text), False, confidence, "short", Usage(5, 6), cost)


async def judged(route: Escalation, candidates: Sequence[Candidate], earlier: Sequence[RouteStep] = (), last=False):
    return await route.judged(REQUEST, candidates, earlier, last=last, tenant="evals")


async def test_the_judge_decides_but_on_the_last_step():
    route = Escalation("smart", distrusts)
    (first,), chosen = await judged(route, [candidate("x")])
    assert (first.accepted, first.confidence, first.reason, first.cost) == (False, 0.25, "short", Decimal("0.25"))
    assert chosen is None
    _, chosen = await judged(route, [candidate("x", "strong")], [first], last=True)
    assert chosen is not None
    assert chosen.accepted


@given(prices, st.decimals("0", "2", places=3))
async def test_no_more_is_asked_when_the_budget_is_used_up(before: list[Decimal | None], budget: Decimal):
    route = Escalation("smart", distrusts, budget)
    (found,), chosen = await judged(route, [candidate("x", "b")], [step("y", cost) for cost in before])
    assert found.accepted == (sum(cost or 0 for cost in before) + Decimal("0.25") >= budget)
    assert ("budget" in found.reason) == found.accepted == (chosen is found)


@given(prices, st.floats(0.001, 2))
async def test_a_request_may_set_a_budget_of_its_own(before: list[Decimal | None], budget: float):
    asked = replace(REQUEST, max_cost=budget)
    spent = sum((cost or Decimal(0) for cost in before), Decimal("0.25"))
    earlier = [step("y", cost) for cost in before]
    for of_route in (None, Decimal(1)):
        route = Escalation("smart", distrusts, of_route)
        (found,), chosen = await route.judged(asked, [candidate("x", "b")], earlier, last=False, tenant="evals")
        least = min(Decimal(str(budget)), of_route or Decimal(str(budget)))
        assert (chosen is found) == found.accepted == (spent >= least)


async def test_of_several_asked_at_once_the_first_that_is_trusted_is_given():
    route = Escalation("smart", by_length)
    steps, chosen = await judged(route, [candidate("ab", "a"), candidate("abcd", "b"), candidate("abcde", "c")])
    assert [one.accepted for one in steps] == [False, True, False]
    assert chosen is steps[1]
    assert "not needed" in steps[2].reason


async def test_two_that_agree_speak_for_each_other():
    steps, chosen = await judged(Escalation("smart", by_length), [candidate("ab", "a"), candidate("ab", "b")])
    assert chosen is steps[0]


async def test_where_none_of_several_is_trusted_the_most_trusted_stands_at_the_end():
    route = Escalation("smart", by_length)
    several = [candidate("abc", "a"), candidate("x", "b")]
    assert (await judged(route, several))[1] is None
    steps, chosen = await judged(route, several, last=True)
    assert chosen is steps[0]
    assert chosen.reason == "by length; the last step of the route"
    _, chosen = await judged(replace(route, max_cost=Decimal("0.5")), several)
    assert chosen is not None
    assert "budget" in chosen.reason


def test_what_was_chosen_is_explained():
    route = Escalation("smart", distrusts)
    steps = [step("x", Decimal("0.5")), step("y")]
    told = route.explain(steps, steps[1])
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
    assert route.asking(REQUEST, "cheap").logprobs
    given = route.as_asked(REQUEST, seen)
    assert given.parts == (ResultPart("text", "ab"),)
    assert [event.text for event in given.events() if isinstance(event, PartDelta)] == ["a", "b"]
    assert route.as_asked(replace(REQUEST, logprobs=True), seen) == seen
