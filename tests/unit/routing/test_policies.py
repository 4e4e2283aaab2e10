"""No policy leaves the constraints, and every decision says why."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing import policies
from penstock.routing.artefact import Artefact
from penstock.routing.difficulty import LearnedScore
from penstock.routing.policies import Candidate, Policy, Request, decide, forbidden
from penstock.routing.statistics import Statistics

NAMES = ["a", "b", "c", "d"]
PRICE = st.one_of(st.none(), st.floats(0, 50))
TAGS = st.sampled_from(["eu", "us"])


def artefact(cheap_wrong: float, threshold: float | None = 0.5) -> Artefact:
    score = LearnedScore(False, {}, {}, {}, (cheap_wrong, 0.0, 0.0))
    return Artefact(0.99, threshold, 0.5, 0.0, score, {})


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    return [
        Candidate(
            name,
            draw(PRICE),
            draw(PRICE),
            draw(st.one_of(st.none(), st.integers(1, 3000))),
            draw(st.one_of(st.none(), st.integers(1, 2000))),
            draw(st.one_of(st.none(), st.floats(0, 1))),
            draw(st.sampled_from([frozenset({"text"}), frozenset({"text", "image"})])),
            draw(st.booleans()),
            draw(st.one_of(st.none(), st.frozensets(st.sampled_from(["t1", "t2"])))),
            draw(st.one_of(st.none(), TAGS)),
        )
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1))
    ]


REQUESTS = st.builds(
    Request,
    st.text(max_size=30),
    st.sampled_from(["t1", "t2"]),
    st.integers(0, 2000),
    st.integers(0, 1500),
    st.sampled_from([frozenset({"text"}), frozenset({"text", "image"})]),
    st.booleans(),
    st.one_of(st.none(), st.floats(0, 0.05)),
    st.one_of(st.none(), TAGS),
)
LIVE = st.dictionaries(
    st.sampled_from(NAMES),
    st.builds(Statistics, st.integers(0, 50), st.floats(0, 9), st.floats(0, 9), st.floats(0, 99), st.booleans()),
)
POLICIES: dict[str, Policy] = {
    "fallback": policies.fallback,
    "cost": policies.cheapest,
    "latency": policies.fastest(explore=0.5, draw=random.Random(1)),
    "quality": policies.best_within(0.01),
    "quality at any price": policies.best_within(),
    "content, easy": policies.content(artefact(0.1), "a", "b"),
    "content, hard": policies.content(artefact(0.9), "a", "b"),
    "weighted": policies.weighted({"a": 1, "b": 3}, random.Random(1)),
}


@given(st.sampled_from(sorted(POLICIES)), REQUESTS, candidates(), LIVE)
def test_constraints_are_never_left(
    name: str, request: Request, rows: list[Candidate], live: dict[str, Statistics]
) -> None:
    found = decide(name, POLICIES[name], request, rows, live)
    by_name = {row.name: row for row in rows}
    assert len(set(found.steps)) == len(found.steps)
    assert found.reason
    for step in found.steps:
        row = by_name[step]
        cost = row.cost(request)
        assert row.tenants is None or request.tenant in row.tenants
        assert request.residency is None or row.residency == request.residency
        assert request.modalities <= row.modalities
        assert row.tools or not request.tools
        assert row.context is None or request.input_tokens + request.output_tokens <= row.context
        assert row.max_output is None or request.output_tokens <= row.max_output
        assert request.budget is None or (cost is not None and cost <= request.budget)
    allowed = {row.name for row in rows if forbidden(request, row) is None}
    assert set(found.excluded) == by_name.keys() - set(found.steps)
    assert set(found.excluded) >= by_name.keys() - allowed
    assert bool(found.steps) is bool(allowed)


def request(**changes: Any) -> Request:
    return Request(**{"prompt": "hello", "tenant": "t1", "input_tokens": 1000, "output_tokens": 1000} | changes)


CHEAP = Candidate("a", 1.0, 1.0, quality=0.5)
STRONG = Candidate("b", 10.0, 10.0, quality=0.9)
UNKNOWN = Candidate("c")


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("fallback", "b"),
        ("cost", "a"),
        ("quality", "a"),
        ("quality at any price", "b"),
        ("content, easy", "a"),
        ("content, hard", "b"),
    ],
)
def test_what_a_policy_prefers(name: str, first: str) -> None:
    assert decide(name, POLICIES[name], request(), [STRONG, CHEAP, UNKNOWN], {}).steps[0] == first


def test_speed_decides_and_the_ill_come_last() -> None:
    live = {
        "a": Statistics(99, 2.0, 3.0, 50),
        "b": Statistics(99, 0.5, 1.0, 100),
        "c": Statistics(99, 0, 0, 999, False),
    }
    steps = decide("latency", policies.fastest(explore=0), request(), [CHEAP, STRONG, UNKNOWN], live).steps
    assert steps == ("b", "a", "c")


def test_short_answers_do_not_make_a_model_infinitely_fast() -> None:
    live = {"a": Statistics(99, 0.2, 0.3, 100.0), "b": Statistics(99, 0.3, 0.4, float("inf"))}
    policy = policies.fastest(explore=0)
    assert decide("latency", policy, request(), [STRONG, CHEAP], live).steps[0] == "a"
    live["a"] = Statistics(99, 0.4, 0.5, 100.0)
    assert decide("latency", policy, request(), [STRONG, CHEAP], live).steps[0] == "b"


def test_a_hardly_known_model_is_tried_now_and_then() -> None:
    live = {"a": Statistics(99, 1, 1, 50), "b": Statistics(3, 9, 9, 1)}
    policy = policies.fastest(explore=0.25, least_calls=20, draw=random.Random(0))
    first = [decide("latency", policy, request(), [CHEAP, STRONG], live).steps[0] for _ in range(400)]
    assert 60 < first.count("b") < 140


def test_weights_are_shares() -> None:
    policy = policies.weighted({"a": 1, "b": 3}, random.Random(0))
    first = [decide("weighted", policy, request(), [CHEAP, STRONG, UNKNOWN], {}).steps[0] for _ in range(400)]
    assert 60 < first.count("a") < 140
    assert first.count("c") == 0


def test_where_routing_saves_nothing_the_strong_model_is_asked() -> None:
    found = decide("content", policies.content(artefact(0.0, None), "a", "b"), request(), [CHEAP, STRONG], {})
    assert found.steps == ("b", "a")
    assert "no saving" in found.reason


def test_a_budget_excludes_what_costs_more_or_an_unknown_price() -> None:
    found = decide("fallback", policies.fallback, request(budget=0.005), [STRONG, UNKNOWN, CHEAP], {})
    assert found.steps == ("a",)
    assert set(found.excluded) == {"b", "c"}
