"""The routes of a configuration: what they choose, what they leave out, and what they tell of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import CompletionRequest, Document, EmbeddingRequest, Image, Message, Text, Tool
from penstock.configuration import Config
from penstock.errors import ContextTooLong, InvalidRequest, ModelNotFound, NoModelFits
from penstock.providers.deployments import Deployments
from penstock.routing import router as routing
from penstock.routing.artefact import Artefact
from penstock.routing.difficulty import LearnedScore
from penstock.routing.router import AWAY, UNLEARNT, WHEN_IT_LEAVES, Router, explained
from penstock.routing.statistics import Statistics


def config(**more: Any) -> Config:
    models: dict[str, dict[str, Any]] = {
        "small": {"price": {"input": 1, "output": 1}, "quality": 0.5, "context": 1000, "modalities": ["text"]},
        "middle": {"price": {"input": 3, "output": 3}, "quality": 0.7, "tools": False, "residency": "eu"},
        "large": {"price": {"input": 10, "output": 10}, "quality": 0.9, "tenants": ["alpha"]},
        "plain": {"max_output": 100},
    }
    routes = {
        "cheap": {"strategy": "cost", "steps": ["large", "middle", "small"]},
        "thrifty": {"strategy": "cost", "steps": ["large", "middle", "small"], "max_cost": 0.001},
        "fast": {"strategy": "latency", "steps": ["small", "middle"], "explore": 0},
        "best": {"strategy": "quality", "steps": ["small", "middle", "large"]},
        "good": {"strategy": "quality", "steps": ["small", "middle", "large"], "price": 0.001},
        "even": {"strategy": "weighted", "steps": ["small", "middle"], "weights": {"middle": 1}},
        "wise": {"strategy": "content", "steps": ["small", "large"]},
        "smart": {"strategy": "escalation", "steps": ["small", "middle", "large"]},
        "staged": {"strategy": "escalation", "steps": ["fast", "large"]},
        "tried": {"strategy": "weighted", "steps": ["staged", "plain"], "weights": {"staged": 1}},
        "sure": {"strategy": "fallback", "steps": ["plain", "staged"]},
        "deep": {"strategy": "cost", "steps": ["best", "middle"]},
    }
    return Config.model_validate(
        {
            "providers": {"p": {"wire_format": "openai", "base_url": "http://h"}},
            "models": {name: {"provider": "p", **row} for name, row in models.items()},
            "routes": routes,
            "tenants": {"gamma": {"residency": "eu"}},
        }
        | more
    )


CONFIG = config()
ROUTER = Router(CONFIG, Deployments(CONFIG))


def ask(model: str, text: str = "hello", *parts: Any, **more: Any) -> CompletionRequest:
    return CompletionRequest(model=model, messages=(Message("user", (Text(text), *parts)),), **more)


def decided(request: CompletionRequest, tenant: str = "alpha", live: Mapping[str, Statistics] | None = None) -> Any:
    return ROUTER.decide(request, tenant, {} if live is None else live).decision


@pytest.mark.parametrize(
    ("route", "order"),
    [
        ("cheap", ["small", "middle", "large"]),
        ("thrifty", ["small", "middle"]),
        ("best", ["large", "middle", "small"]),
        ("good", ["middle", "small"]),
        ("even", ["middle", "small"]),
        ("smart", ["small", "middle", "large"]),
        ("wise", ["large", "small"]),
        ("deep", ["middle", "large", "small"]),
    ],
)
def test_what_a_strategy_chooses_and_in_which_order_others_follow(route: str, order: list[str]) -> None:
    found = ROUTER.decide(ask(route), "alpha", {})
    assert list(found.order)[: len(order)] == order
    assert found.decision is not None
    assert (found.decision["route"], found.decision["policy"]) == (route, CONFIG.routes[route].strategy)
    assert set(found.order) | set(found.decision["excluded"]) == set(ROUTER.deployments.of(route))
    assert found.decision["reason"]


def test_nothing_is_told_of_a_model_that_was_named() -> None:
    found = ROUTER.decide(ask("small", fallback=("middle",)), "alpha", {})
    assert (found.order, found.decision) == (("small", "middle"), None)


def test_speed_moves_the_choice_and_its_absence_is_said() -> None:
    slow, quick = Statistics(30, 2.0, 3.0, 20.0), Statistics(30, 0.1, 0.2, 200.0)
    assert decided(ask("fast"), live={"small": slow, "middle": quick})["order"] == ["middle", "small"]
    assert decided(ask("fast"), live={"small": quick, "middle": slow})["order"] == ["small", "middle"]
    ill = replace(quick, available=False)
    assert decided(ask("fast"), live={"small": slow, "middle": ill})["order"] == ["small", "middle"]
    away = ROUTER.decide(ask("fast"), "alpha", None).decision
    assert away is not None
    assert (away["order"], away["reason"]) == (["small", "middle"], AWAY)


def test_the_choice_stays_open_for_queued_work_that_any_deployment_may_serve() -> None:
    any_may = ROUTER.decide(ask("fast"), "alpha", {})
    assert (any_may.pool("fast", queued=True), any_may.pool("fast", queued=False)) == ("fast", "small")
    assert WHEN_IT_LEAVES.encode() in (any_may.stored(queued=True) or b"")
    assert WHEN_IT_LEAVES.encode() not in (any_may.stored(queued=False) or b"")
    with_tools = ROUTER.decide(ask("fast", tools=(Tool("t", {}),)), "alpha", {})
    assert with_tools.pool("fast", queued=True) == "small"


@pytest.mark.parametrize(
    ("request_", "tenant", "out"),
    [
        (ask("smart"), "beta", {"large": "this tenant may not use it"}),
        (ask("smart", "hello", Image(url="http://h/i.png")), "alpha", {"small": "it does not take image"}),
        (ask("smart", "hello", Document(url="http://h/d.pdf")), "alpha", {"small": "it does not take document"}),
        (ask("smart", tools=(Tool("t", {}),)), "alpha", {"middle": "it cannot use tools"}),
        (ask("smart", "word " * 1500), "alpha", {"small": "its context is 1000 tokens"}),
        (ask("smart", residency="eu"), "alpha", {"small": "data must stay in eu", "large": "data must stay in eu"}),
        (ask("smart"), "gamma", {"small": "data must stay in eu", "large": "this tenant may not use it"}),
        (ask("thrifty"), "alpha", {"large": "of a budget of $0.001"}),
        (ask("sure", max_tokens=500), "alpha", {"plain": "at most 100 tokens, and 500 are asked for"}),
    ],
)
def test_constraints_are_honoured_and_named(request_: CompletionRequest, tenant: str, out: dict[str, str]) -> None:
    decision = decided(request_, tenant)
    assert decision["excluded"].keys() == out.keys()
    assert all(out[name] in why for name, why in decision["excluded"].items())
    assert not set(decision["order"]) & out.keys()


def test_a_request_that_no_step_may_serve_is_told_why_for_each() -> None:
    with pytest.raises(NoModelFits) as refused:
        ROUTER.decide(ask("fast", "hello", Image(url="http://h"), residency="us"), "alpha", {})
    assert refused.value.message.count("data must stay in us") == 2
    assert (refused.value.status, refused.value.param) == (400, "model")
    assert "`small`" in refused.value.message
    assert "`middle`" in refused.value.message


def test_what_is_only_estimated_refuses_nothing() -> None:
    """1,100 tokens by the estimate, 740 at least: the provider judges. Over its context by any count it is refused."""
    only = Config.model_validate(
        {**CONFIG.model_dump(mode="python"), "routes": {"one": {"strategy": "cost", "steps": ["small"]}}}
    )
    alone = Router(only, Deployments(only))
    assert alone.decide(ask("one", "word " * 900), "alpha", {}).order == ("small",)
    assert alone.decide(ask("one", max_tokens=5000), "alpha", {}).order == ("small",)
    with pytest.raises(ContextTooLong) as refused:
        alone.decide(ask("one", "word " * 1500), "alpha", {}, prompt="input")
    assert refused.value.param == "input"


def test_a_named_model_that_a_tenant_may_not_use_does_not_exist_for_it() -> None:
    with pytest.raises(ModelNotFound):
        ROUTER.decide(ask("large"), "beta", {})
    assert ROUTER.decide(ask("large", fallback=("small",)), "beta", {}).order == ("small",)
    assert "large" not in ROUTER.deployments.names_for("beta")
    assert {"large", "smart"} <= set(ROUTER.deployments.names_for("alpha"))


def test_a_request_cannot_undo_where_the_data_of_its_tenant_must_stay() -> None:
    assert ROUTER.decide(ask("middle", residency="eu"), "gamma", {}).order == ("middle",)
    with pytest.raises(InvalidRequest) as refused:
        ROUTER.decide(ask("middle", residency="us"), "gamma", {})
    assert refused.value.param == "residency"


@pytest.mark.parametrize(
    ("model", "most", "order"),
    [
        ("cheap", 0.001, ("small", "middle")),
        ("best", 0.001, ("middle", "small")),
        ("best", 0.0005, ("small",)),
        ("smart", 0.001, ("small", "middle")),
        ("staged", 0.001, ("small", "middle")),
        ("thrifty", 1.0, ("small", "middle")),
        ("small", 0.001, ("small",)),
    ],
)
def test_only_models_within_what_a_request_may_cost_are_asked(model: str, most: float, order: tuple[str, ...]) -> None:
    """About 256 tokens of an answer: $0.00026 from `small`, $0.00077 from `middle`, $0.0026 from `large`."""
    assert ROUTER.decide(ask(model, max_cost=most), "alpha", {}).order == order


@pytest.mark.parametrize(
    ("model", "most", "param"),
    [
        ("cheap", 1e-9, "max_cost"),
        ("smart", 1e-9, "max_cost"),
        ("small", 1e-9, "max_cost"),
        # a price that is unknown keeps within no amount
        ("plain", 1e3, "max_cost"),
    ],
)
def test_where_the_amount_is_too_small_it_is_the_field_that_is_named(model: str, most: float, param: str) -> None:
    with pytest.raises(NoModelFits) as refused:
        ROUTER.decide(ask(model, max_cost=most), "alpha", {})
    assert refused.value.param == param
    assert "'max_cost'" in refused.value.message


def test_the_amount_is_not_blamed_for_what_else_is_in_the_way() -> None:
    with pytest.raises(NoModelFits) as refused:
        ROUTER.decide(ask("fast", max_cost=1.0, residency="us"), "alpha", {})
    assert refused.value.param == "model"


def test_a_routes_own_budget_is_not_told_for_a_prompt_too_long() -> None:
    routes = {"mean": {"strategy": "cost", "steps": ["small", "middle"], "max_cost": 1e-9}}
    mean = Config.model_validate({**CONFIG.model_dump(), "routes": routes})
    with pytest.raises(NoModelFits) as refused:
        Router(mean, Deployments(mean)).decide(ask("mean"), "alpha", {})
    assert (refused.value.param, refused.value.code) == ("model", "no_model_fits")


@pytest.mark.parametrize(("name", "hint"), [("auto", "routes:"), ("absent", "absent")])
def test_an_unknown_name(name: str, hint: str) -> None:
    with pytest.raises(ModelNotFound, match=hint):
        ROUTER.decide(ask(name), "alpha", {})
    with pytest.raises(ModelNotFound) as refused:
        ROUTER.decide(ask("small", fallback=("middle", name)), "alpha", {})
    assert refused.value.param == "fallback[1]"


def test_an_escalating_step_is_carried_out_as_such_only_where_it_comes_first() -> None:
    first = decided(ask("tried"))
    assert (first["route"], first["escalation"]) == ("tried", "staged")
    assert first["stages"] == [["small", "middle"], ["large"]]
    assert first["order"] == ["small", "middle", "large", "plain"]
    last = decided(ask("sure"))
    assert "escalation" not in last
    assert last["order"] == ["plain", "small", "middle", "large"]
    assert "stages" not in explained(first)


@pytest.mark.parametrize(
    ("tenant", "residency", "why"),
    [("alpha", None, None), ("beta", None, "this tenant may not use it"), ("alpha", "eu", "data must stay in eu")],
)
def test_a_judge_sees_only_what_it_may(tenant: str, residency: str | None, why: str | None) -> None:
    accept = {"judge": {"model": "large"}}
    routes = {"judged": {"strategy": "escalation", "steps": ["small", "middle"], "accept": accept}}
    judged = Config.model_validate({**CONFIG.model_dump(), "routes": routes})
    found = Router(judged, Deployments(judged)).decide(ask("judged", residency=residency), tenant, {}).decision or {}
    assert found.get("judges", []) == (["large"] if why is None else [])
    assert found["excluded"].get("large", "").startswith("" if why is None else f"as a judge: {why}")


def test_steps_that_may_not_serve_are_dropped_from_an_escalation() -> None:
    found = decided(ask("staged", tools=(Tool("t", {}),)), "beta")
    assert found["stages"] == [["small"]]


def test_the_model_of_a_later_step_is_no_stand_in_for_an_earlier_one() -> None:
    routes = {
        "wide": {"strategy": "cost", "steps": ["small", "middle", "large"]},
        "up": {"strategy": "escalation", "steps": ["wide", "middle", "small", "large"]},
    }
    wide = Config.model_validate({**CONFIG.model_dump(), "routes": routes})
    found = Router(wide, Deployments(wide)).decide(ask("up"), "alpha", {})
    assert (found.decision or {})["stages"] == [["small"], ["middle"], ["large"]]
    assert found.order == ("small", "middle", "large")


class Learnt:
    def __init__(self, cheap_wrong: float, *, sees_answer: bool = False) -> None:
        score = LearnedScore(sees_answer, {}, {}, {}, (cheap_wrong, 0.0, 0.0))
        self.artefact = Artefact(0.99, 0.5, 0.5, 0.0, score, {})

    def get(self, route: str) -> Artefact | None:
        return self.artefact if route == "wise" else None


@pytest.mark.parametrize(
    ("learnt", "first", "told"),
    [
        (Learnt(0.1), "small", "cheap: need"),
        (Learnt(0.9), "large", "strong: need"),
        (Learnt(0.1, sees_answer=True), "large", UNLEARNT),
        (routing.NothingLearnt(), "large", UNLEARNT),
    ],
)
def test_what_was_learnt_chooses_by_content(learnt: routing.Artefacts, first: str, told: str) -> None:
    found = Router(CONFIG, Deployments(CONFIG), artefacts=learnt).decide(ask("wise"), "alpha", {})
    assert found.order[0] == first
    assert told in (found.decision or {})["reason"]


def test_vectors_are_routed_too() -> None:
    texts = EmbeddingRequest(model="cheap", inputs=("one", (1, 2, 3)))
    found = ROUTER.decide(texts, "alpha", {})
    assert found.order == ("small", "middle", "large")
    assert found.needed.output_tokens == 0


@given(
    st.sampled_from(sorted(CONFIG.routes)),
    st.sampled_from(["alpha", "beta", "gamma"]),
    st.sampled_from([None, "eu", "us"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, 50, 4000]),
    st.integers(0, 2000),
)
def test_no_decision_leaves_what_is_certain(
    route: str, tenant: str, residency: str | None, picture: bool, tools: bool, most: int | None, words: int
) -> None:
    parts = (Image(url="http://h"),) if picture else ()
    request = ask(
        route, "a " * words, *parts, residency=residency, tools=(Tool("t", {}),) if tools else (), max_tokens=most
    )
    try:
        found = ROUTER.decide(request, tenant, {})
    except InvalidRequest:
        return
    demanded = "eu" if tenant == "gamma" else residency
    for name in found.order:
        model = CONFIG.models[name]
        assert model.tenants is None or tenant in model.tenants
        assert demanded is None or model.residency == demanded
        assert model.modalities is None or not picture
        assert model.tools or not tools
        assert model.context is None or 2 * words // 6 <= model.context
    assert len(set(found.order)) == len(found.order)
