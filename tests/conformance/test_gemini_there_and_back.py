"""What only Gemini has, there and back: its adapter against its simulator."""

from collections.abc import AsyncIterator

import pytest

from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    Document,
    Image,
    Message,
    Reasoning,
    ResultBuilder,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from penstock.configuration import ProviderConfig
from penstock.http import make_client
from penstock.providers.gemini import Gemini
from simulator.options import SimulatorOptions
from simulator.server import start

MODEL = "gemini-3.5-flash"
WEATHER = Tool("weather", {"properties": {"city": {"enum": ["Oslo"]}}}, strict=True)
USER = Message("user", (Text("[[tokens: 3]]"),))
PICTURE = Image(data="QUJD", media_type="image/png")


@pytest.fixture
async def provider() -> AsyncIterator[Gemini]:
    async with start(SimulatorOptions(wire_format="gemini")) as url:
        config = ProviderConfig(wire_format="gemini", base_url=f"{url}/v1beta")
        made = Gemini("river", config, make_client(connections=10))
        yield made
        await made.close()


async def both(provider: Gemini, request: CompletionRequest) -> list[CompletionResult]:
    """The plain answer, and the one that was streamed."""
    builder = ResultBuilder()
    async for event in provider.stream(request, MODEL):
        builder.add(event)
    return [await provider.complete(request, MODEL), builder.build()]


async def test_thoughts_are_shown_and_counted(provider: Gemini) -> None:
    for result in await both(provider, CompletionRequest(model="public", messages=(USER,), reasoning_effort="low")):
        assert [part.kind for part in result.parts] == ["reasoning", "text"]
        assert (result.usage.reasoning_tokens, result.usage.output_tokens) == (6, 9)


async def test_several_candidates(provider: Gemini) -> None:
    plain, live = await both(provider, CompletionRequest(model="public", messages=(USER,), n=3))
    texts = [{part.choice: part.text for part in result.parts} for result in (plain, live)]
    assert texts[0] == texts[1]
    assert len(set(texts[0].values())) == 3
    assert plain.finish_reasons == live.finish_reasons == ("stop",) * 3


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_call_goes_back_with_its_seal_or_the_stand_in(provider: Gemini, keeps: bool) -> None:
    """Callers whose dialect has no place for a seal are served all the same."""
    forced = CompletionRequest(
        model="public", messages=(USER,), tools=(WEATHER,), tool_choice=ToolChoice("tool", "weather")
    )
    for first in await both(provider, forced):
        (part,) = first.parts
        assert part.id
        assert part.name
        assert part.signature
        call = ToolCall(part.id, part.name, part.text, signature=part.signature if keeps else None)
        result = ToolResult(call.id, "rain", images=(PICTURE,))
        turns = (USER, Message("assistant", (Text("Let me see."), call)), Message("tool", (result,)))
        second = await provider.complete(CompletionRequest(model="public", messages=turns, tools=(WEATHER,)), MODEL)
        assert second.text == "The tool answered: rain"


async def test_everything_a_conversation_may_hold(provider: Gemini) -> None:
    """The simulator refuses what the vendor does not know."""
    turns = (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("See:"), PICTURE, Image(url="https://a/b.png"), Document(url="https://a/b.pdf"))),
        Message("assistant", (Reasoning("hm", "c2ln"), Text("Yes"), Reasoning("", "ZQ==", redacted=True))),
        Message("user", (Document(data="QUJD", media_type="application/pdf", filename="b.pdf"), Text("[[echo: ok]]"))),
    )
    for result in await both(provider, CompletionRequest(model="public", messages=turns)):
        assert result.text == "ok"
