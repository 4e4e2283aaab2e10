"""The engine as a library: one process, no queue, no database, no Redis unless one is given."""

import asyncio
import runpy
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from penstock import CompletionStream, LLMGateway
from penstock.errors import (
    ConfigError,
    GuardBlocked,
    InvalidRequest,
    ModelNotFound,
    ProviderCircuitOpen,
    ProviderOverloaded,
    ProviderStreamBroken,
)
from penstock.http import make_client
from penstock.redis import Redis
from penstock.routing.artefact import Artefact
from penstock.routing.difficulty import LearnedScore
from penstock.routing.learnt import LearntPolicy
from simulator.options import SimulatorOptions
from simulator.server import start

EXAMPLE = Path(__file__).parents[2] / "examples" / "library.py"


@pytest.fixture
async def urls() -> AsyncIterator[tuple[str, str]]:
    async with start(SimulatorOptions()) as one, start(SimulatorOptions(wire_format="anthropic")) as other:
        yield one, other


def config(urls: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {
        "providers": {
            "one": {"wire_format": "openai", "base_url": f"{urls[0]}/v1"},
            "other": {"wire_format": "anthropic", "base_url": urls[1]},
        },
        "models": {
            "fast": {"provider": "one", "price": {"input": 1, "output": 2}},
            "sound": {"provider": "other", "upstream_model": "house"},
        },
        "retries": {"interactive": {"max_attempts": 1}},
    } | more


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def test_an_answer_with_its_cost(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls)) as gateway:
        answer = await gateway.complete(ask("[[echo: well]]"), model="fast", temperature=0)
        assert (answer.text, answer.finish_reason, answer.model) == ("well", "stop", "fast")
        assert answer.cost == (answer.usage.input_tokens + 2 * answer.usage.output_tokens) / answer.cost.__class__(
            10**6
        )
        assert [attempt.outcome for attempt in answer.attempts] == ["succeeded"]
        unpriced = await gateway.complete(ask("[[echo: well]]"), model="sound")
        assert (unpriced.text, unpriced.cost) == ("well", None)


async def test_vectors_with_their_cost(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls)) as gateway:
        answer = await gateway.embed(["red apples", "green apples"], model="fast", dimensions=8)
        assert [len(vector) for vector in answer.vectors] == [8, 8]
        assert answer.vectors[0] != answer.vectors[1]
        assert (answer.model, answer.usage.output_tokens) == ("fast", 0)
        assert answer.cost == Decimal(answer.usage.input_tokens) / 10**6
        assert (await gateway.embed("red apples", model="fast", dimensions=8)).vectors == answer.vectors[:1]
        for wrong, param in (({"inputs": []}, "input"), ({"inputs": "a", "dimensions": 0}, "dimensions")):
            with pytest.raises(InvalidRequest) as refused:
                await gateway.embed(model="fast", **wrong)  # type: ignore[arg-type]
            assert refused.value.param == param
        too_long = config(urls)["models"] | {"fast": {"provider": "one", "context": 2}}
        async with LLMGateway(config(urls, models=too_long)) as small:
            with pytest.raises(InvalidRequest) as refused:
                await small.embed("a text of more than two tokens", model="fast")
            assert refused.value.param == "input"
        with pytest.raises(InvalidRequest, match="no embeddings"):
            await gateway.embed("red apples", model="sound")


async def test_vectors_of_the_next_model(urls: tuple[str, str]) -> None:
    more = {
        "providers": config(urls)["providers"] | {"gone": {"wire_format": "openai", "base_url": "http://127.0.0.1:9"}},
        "models": config(urls)["models"] | {"broken": {"provider": "gone"}},
    }
    async with LLMGateway(config(urls, **more)) as gateway:
        answer = await gateway.embed("red apples", model="broken", fallback=["fast"])
        assert (answer.model, [attempt.outcome for attempt in answer.attempts]) == ("fast", ["failed", "succeeded"])


async def test_the_same_request_is_paid_once(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls)) as gateway:
        first = await gateway.complete(ask("once [[tokens: 9]]"), model="fast", temperature=0)
        again = await gateway.complete(ask("once [[tokens: 9]]"), model="fast", temperature=0)
        assert (first.cached, again.cached) == ("miss", "hit")
        assert (again.text, again.usage, again.cost, again.attempts) == (first.text, first.usage, 0, ())
        stream = await gateway.complete(ask("once [[tokens: 9]]"), model="fast", temperature=0, stream=True)
        assert "".join([text async for text in stream.text()]) == first.text
        assert (await stream.response()).cached == "hit"
        asked = ask("together [[tokens: 9]] [[delay: 100]]")
        both = await asyncio.gather(*(gateway.complete(asked, model="fast", temperature=0) for _ in range(2)))
        assert sorted(str(answer.cached) for answer in both) == ["coalesced", "miss"]
        varied = await gateway.complete(ask("once [[tokens: 9]]"), model="fast")
        asked_anew = await gateway.complete(
            ask("once [[tokens: 9]]"), model="fast", temperature=0, penstock_cache="refresh"
        )
        assert (varied.cached, asked_anew.cached) == (None, "miss")
        with pytest.raises(InvalidRequest) as wrong:
            await gateway.complete(ask("once"), model="fast", penstock_cache="sometimes")
        assert wrong.value.param == "penstock_cache"


async def test_the_same_texts_are_embedded_once(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls)) as gateway:
        first = await gateway.embed(["a", "b"], model="fast", dimensions=8)
        again = await gateway.embed(["a", "b"], model="fast", dimensions=8)
        assert (first.cached, again.cached, again.cost, again.attempts) == ("miss", "hit", 0, ())
        assert [list(vector) for vector in again.vectors] == [list(vector) for vector in first.vectors]
        assert (await gateway.embed(["b", "a"], model="fast", dimensions=8)).cached == "miss"
        assert (await gateway.embed(["a", "b"], model="fast", dimensions=8, penstock_cache="off")).cached is None


async def test_tools(urls: tuple[str, str]) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    async with LLMGateway(config(urls)) as gateway:
        answer = await gateway.complete(ask('[[tool: look {"at": "it"}]]'), model="sound", tools=[tool])
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("look", '{"at":"it"}')]


async def test_a_stream(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls)) as gateway:
        stream = await gateway.complete(ask("[[tokens: 7]]"), model="sound", stream=True)
        text = "".join([piece async for piece in stream.text()])
        whole = await stream.response()
    assert text == whole.text
    assert whole.usage.output_tokens == 7


async def test_a_stream_that_is_left_closes_its_call(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls)) as gateway:
        stream = await gateway.complete(ask("[[stall]]"), model="fast", stream=True)
        async for _ in stream:
            break
        await stream.aclose()
        with pytest.raises(asyncio.CancelledError):
            await stream.response()


async def test_a_broken_stream_is_an_error_not_a_shorter_answer(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls)) as gateway:
        stream = await gateway.complete(ask("[[cut]][[tokens: 9]]"), model="fast", stream=True, fallback=["sound"])
        assert isinstance(stream, CompletionStream)
        with pytest.raises(ProviderStreamBroken):
            [event async for event in stream]


async def test_the_next_model_answers_when_one_cannot(urls: tuple[str, str]) -> None:
    routes = {"sure": {"strategy": "fallback", "steps": ["broken", "sound"]}}
    broken = {
        "providers": config(urls)["providers"] | {"gone": {"wire_format": "openai", "base_url": "http://127.0.0.1:9"}}
    }
    models = {"models": config(urls)["models"] | {"broken": {"provider": "gone"}}}
    async with LLMGateway(config(urls, routes=routes, **broken, **models)) as gateway:
        for options in ({"model": "sure"}, {"model": "broken", "fallback": ["sound"]}):
            answer = await gateway.complete(ask("[[echo: well]]"), **options)
            assert (answer.text, answer.model) == ("well", "sound")
            assert [(a.deployment, a.outcome) for a in answer.attempts][-1] == ("sound", "succeeded")


async def test_the_breaker_is_this_processs_own(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls, breaker={"failures": 2, "reset_seconds": 60})) as gateway:
        for _ in range(2):
            with pytest.raises(ProviderOverloaded):
                await gateway.complete(ask("[[error: 503]]"), model="fast")
        with pytest.raises(ProviderCircuitOpen) as refused:
            await gateway.complete(ask("[[echo: well]]"), model="fast")
        assert refused.value.retry_after == pytest.approx(60, abs=2)


async def test_limits_are_shared_over_a_redis(urls: tuple[str, str], redis: Redis, servers: Any) -> None:
    breaker = {"failures": 1, "reset_seconds": 60}
    async with (
        LLMGateway(config(urls, breaker=breaker), redis_url=servers.redis) as here,
        LLMGateway(config(urls, breaker=breaker), redis_url=servers.redis) as there,
    ):
        with pytest.raises(ProviderOverloaded):
            await here.complete(ask("[[error: 503]]"), model="fast")
        with pytest.raises(ProviderCircuitOpen):
            await there.complete(ask("[[echo: well]]"), model="fast")


async def test_auto_and_what_cannot_be_asked(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls)) as gateway:
        with pytest.raises(InvalidRequest, match="fast, sound"):
            await gateway.complete(ask("x"))
        with pytest.raises(ModelNotFound):
            await gateway.complete(ask("x"), model="none")
        with pytest.raises(InvalidRequest) as wrong:
            await gateway.complete(ask("x"), model="fast", temperature="hot")
        assert wrong.value.param == "temperature"
    routes = {"auto": {"strategy": "fallback", "steps": ["sound"]}}
    async with LLMGateway(config(urls, routes=routes)) as gateway:
        assert (await gateway.complete(ask("[[echo: well]]"))).model == "sound"


async def test_routes_choose_and_say_why(urls: tuple[str, str]) -> None:
    routes = {
        "auto": {"strategy": "cost", "steps": ["sound", "fast"]},
        "quick": {"strategy": "latency", "steps": ["sound", "fast"], "explore": 0},
    }
    async with LLMGateway(config(urls, routes=routes)) as gateway:
        answer = await gateway.complete(ask("[[echo: well]]"))
        assert answer.model == "fast"
        assert answer.routing is not None
        assert "fast is cheapest" in answer.routing["reason"]
        assert (await gateway.complete(ask("[[echo: well]]"), model="fast")).routing is None
        for model in ("fast", "sound"):
            delay = "[[delay: 300]]" if model == "sound" else ""
            await gateway.complete(ask(f"{delay}[[tokens: 5]]"), model=model)
        assert (await gateway.complete(ask("[[tokens: 5]]"), model="quick", max_tokens=5)).model == "fast"


def test_the_example_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE)])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    told = capsys.readouterr().out
    assert "tokens, $0.00" in told
    assert "large: failed ProviderUnreachable\nsmall: succeeded" in told
    assert "2 vectors of 256 numbers" in told


async def test_the_guard_masks_blocks_and_tells_what_it_found(urls: tuple[str, str]) -> None:
    policy = {"input": [{"check": "secrets"}, {"check": "personal_data"}]}
    guard = {"policies": {"p": policy}, "rules": [{"policy": "p", "models": ["fast"]}]}
    async with LLMGateway(config(urls, guard=guard)) as gateway:
        question = ask("[[echo: hello me@example.com, bye]]")
        answer = await gateway.complete(question, model="fast")
        assert answer.text == "hello me@example.com, bye"
        assert [(finding.kind, finding.action) for finding in answer.findings] == [("email", "redact")]
        stream = await gateway.complete(question, model="fast", stream=True)
        assert "".join([text async for text in stream.text()]) == "hello me@example.com, bye"
        assert (await stream.response()).text == "hello me@example.com, bye"
        with pytest.raises(GuardBlocked, match="aws_access_key"):
            await gateway.complete(ask("AKIA" + "QYLPMN5HHHFPZAM2"), model="fast")
        assert (await gateway.complete(question, model="sound")).findings == ()
    told = await _ledger(urls[0])
    assert [row["prompt"] for row in told] == ["[[echo: hello [EMAIL_1], bye]]"]


async def _ledger(url: str) -> list[dict[str, Any]]:
    client = make_client(5.0)
    try:
        found = (await client.get(f"{url}/_sim/stats?detail=1")).json()
    finally:
        await client.aclose()
    return list(found["requests"].values())


ESCALATING = {
    "models": {
        "fast": {"provider": "one", "price": {"input": 1, "output": 2}},
        "twin": {"provider": "one", "upstream_model": "twin", "price": {"input": 1, "output": 2}},
        "sound": {"provider": "other", "upstream_model": "house", "price": {"input": 3, "output": 15}},
    },
    "routes": {
        "formal": {"strategy": "escalation", "steps": ["fast", "sound"], "accept": {"pattern": "^sure"}},
        "judged": {"strategy": "escalation", "steps": ["fast", "sound"], "accept": {"judge": {"model": "twin"}}},
        "abreast": {
            "strategy": "escalation", "steps": ["fast", "twin", "sound"], "accept": {"agreement": "exact"},
            "parallel": 2,
        },
        "verified": {"strategy": "escalation", "steps": ["fast", "sound"], "accept": {"verifier": True}},
        "alike": {
            "strategy": "escalation", "steps": ["fast", "twin", "sound"],
            "accept": {"agreement": "embedding", "similarity": {"model": "twin", "min": 0.99}},
        },
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("route", "text", "model", "asked"),
    [
        ("formal", "[[echo: sure]]", "fast", ["fast"]),
        ("formal", "[[echo: no]]", "sound", ["fast", "sound"]),
        ("judged", "[[echo: 90]]", "fast", ["fast", "twin"]),
        ("judged", "[[echo: 10]]", "sound", ["fast", "twin", "sound"]),
        ("abreast", "[[echo: 42]]", "fast", ["fast", "twin"]),
        ("abreast", "[[tokens: 9]]", "sound", ["fast", "twin", "sound"]),
        ("verified", "[[echo: x]]", "sound", ["fast", "sound"]),
        ("alike", "[[echo: the sky is blue]]", "twin", ["fast", "twin", "twin"]),
        ("alike", "[[tokens: 9]]", "sound", ["fast", "twin", "twin", "sound"]),
    ],
)
async def test_a_route_escalates(urls: tuple[str, str], route: str, text: str, model: str, asked: list[str]) -> None:
    async with LLMGateway(config(urls, **ESCALATING)) as gateway:
        answer = await gateway.complete(ask(text), model=route)
        assert (answer.model, answer.routing["answered_by"]) == (model, model)
        assert sorted(attempt.deployment for attempt in answer.attempts) == sorted(asked)
        assert answer.cost == sum(attempt.cost for attempt in answer.attempts)
        assert float(answer.cost) == pytest.approx(sum(step["cost"] for step in answer.routing["steps"]))


async def test_where_the_models_of_a_route_fail_the_requests_own_are_asked(urls: tuple[str, str]) -> None:
    ailing = config(urls, **ESCALATING)
    ailing["providers"] |= {"ill": {"wire_format": "openai", "base_url": "http://127.0.0.1:9"}}
    ailing["models"] = ailing["models"] | {"away": {"provider": "ill"}, "gone": {"provider": "ill"}}
    ailing["routes"] = {"ailing": {"strategy": "escalation", "steps": ["away", "gone"]}}
    async with LLMGateway(ailing) as gateway:
        answer = await gateway.complete(ask("[[echo: x]]"), model="ailing", fallback=["fast"])
        assert (answer.text, answer.model) == ("x", "fast")


async def test_an_escalated_stream_shows_what_is_accepted(urls: tuple[str, str]) -> None:
    async with LLMGateway(config(urls, **ESCALATING)) as gateway:
        for text in ("sure thing", "no way"):
            stream = await gateway.complete(ask(f"[[echo: {text}]]"), model="formal", stream=True)
            assert "".join([part async for part in stream.text()]) == text


async def test_a_library_takes_its_learnt_policies_from_documents(urls: tuple[str, str]) -> None:
    score = LearnedScore(True, {}, {}, {}, (0.2, 0.1, 0.0))

    def learnt(threshold: float | None) -> dict[str, Any]:
        artefact = Artefact(0.99, threshold, 0.5, 0.0, score, {})
        return {"verified": LearntPolicy("verifier", "fast", "sound", artefact).to_json()}

    for threshold, asked in ((0.5, ["fast"]), (0.1, ["fast", "sound"]), (None, ["sound"])):
        async with LLMGateway(config(urls, **ESCALATING), learnt=learnt(threshold)) as gateway:
            answer = await gateway.complete(ask("[[echo: x]]"), model="verified")
            assert [attempt.deployment for attempt in answer.attempts] == asked
    with pytest.raises(ConfigError, match="formal"):
        LLMGateway(config(urls, **ESCALATING), learnt={"formal": {"kind": "none"}})
