"""Thoughts with a seal, there and back: the adapter of OpenAI's Responses against the simulator."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from penstock.completion import CompletionRequest, CompletionResult, Message, Reasoning, ResultBuilder, Text
from penstock.configuration import ProviderConfig
from penstock.errors import ProviderRejected
from penstock.http import make_client
from penstock.providers.openai_responses import OpenAIResponses
from simulator.openai_responses import read, reply
from simulator.options import SimulatorOptions
from simulator.server import start
from simulator.vendor import Call, Head

SUMMARY = {"reasoning": {"summary": "auto"}}


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIResponses]:
    async with start(SimulatorOptions()) as url:
        config = ProviderConfig(wire_format="openai-responses", base_url=f"{url}/v1")
        made = OpenAIResponses("river", config, make_client(connections=10))
        yield made
        await made.close()


def ask(*earlier: Message, **fields: Any) -> CompletionRequest:
    return CompletionRequest(
        model="public", messages=(*earlier, Message("user", (Text("[[tokens: 5]]"),))), reasoning_effort="low", **fields
    )


async def both(provider: OpenAIResponses, request: CompletionRequest) -> list[CompletionResult]:
    builder = ResultBuilder()
    async for event in provider.stream(request, "m"):
        builder.add(event)
    return [await provider.complete(request, "m"), builder.build()]


async def test_thoughts_come_first_and_sealed(provider: OpenAIResponses) -> None:
    for result in await both(provider, ask(extra=SUMMARY)):
        thought, text = result.parts
        assert (thought.kind, text.kind) == ("reasoning", "text")
        assert thought.text
        assert thought.signature
        assert result.usage.reasoning_tokens == 6
        assert result.usage.output_tokens == 11
    plain, live = await both(provider, ask())
    assert plain.parts[0].name == live.parts[0].name == "redacted"
    assert plain.parts[0].signature == live.parts[0].signature


async def test_a_seal_goes_back_and_another_vendors_does_not(provider: OpenAIResponses) -> None:
    (first, _) = await both(provider, ask(extra=SUMMARY))
    thought, text = first.parts
    again = Message("assistant", (Reasoning(thought.text, thought.signature), Text(text.text)))
    for result in await both(provider, ask(again)):
        assert result.parts[-1].kind == "text"
    foreign = Message("assistant", (Reasoning("hm", "c2ln"), Text("Yes")))
    with pytest.raises(ProviderRejected) as caught:
        await provider.complete(ask(foreign), "m")
    assert caught.value.code == "invalid_encrypted_content"


@pytest.mark.parametrize("order", ["[[tokens: 5]]", '[[tool: f {"a": 1}]]'])
def test_the_simulators_events_are_the_vendors(order: str) -> None:
    """By the types of its SDK, with thoughts, seals and logprobs."""
    body = {
        "model": "m",
        "input": order,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
        "top_logprobs": 2,
    }
    call = Call("1", 1, 0.0, SimulatorOptions())
    whole = reply(read(_bytes(body), Head({}, {}, {})), call)
    response = Response.model_validate_json(whole.body)
    assert response.output[0].type == "reasoning"
    streamed = reply(read(_bytes(body | {"stream": True}), Head({}, {}, {})), call)
    adapter = TypeAdapter(ResponseStreamEvent)
    events = [adapter.validate_json(frame.data.partition(b"data: ")[2]) for frame in streamed.frames]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output == response.output


def _bytes(body: dict[str, Any]) -> bytes:
    return orjson.dumps(body)
