"""Every adapter against the simulator of its vendor: two readings of one format, written apart, have to agree.

A new wire format adds its row to `ROWS`.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    EmbeddingRequest,
    Message,
    PartDelta,
    ResponseFormat,
    ResultBuilder,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from penstock.configuration import ProviderConfig
from penstock.errors import (
    InvalidRequest,
    ProviderContentRefused,
    ProviderError,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderStreamBroken,
    ProviderUnauthorized,
    ProviderUnreachable,
)
from penstock.http import make_client
from penstock.providers.base import Provider
from penstock.providers.registry import ADAPTERS
from simulator.options import SimulatorOptions
from simulator.server import start

KEY = "sk-the-simulators-only-key"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One wire format: how to reach its simulator, and what its vendor does not offer."""

    format: str
    #: the simulator's wire format, where one simulator speaks several
    simulator: str = ""
    #: what follows the simulator's address in the base URL
    base: str = ""
    #: fields of the provider's configuration beside the key
    config: Mapping[str, Any] = field(default_factory=dict)
    #: what makes the credentials wrong; empty where the vendor asks for none
    wrong: Mapping[str, Any] = field(default_factory=lambda: {"api_key": "sk-not-the-simulators-key"})
    #: what an error in the middle of a stream is
    frame: type[ProviderError] = ProviderOverloaded
    retry_hint: bool = True
    json_schema: bool = True
    logprobs: bool = False
    #: whether logprobs tell what else could have stood there
    rivals: bool = True
    embeds: bool = False
    #: the model that embeds, where its name says how it is asked
    embedder: str = "m"
    #: the code with which the vendor refuses a prompt for its content, where its simulator takes an order to
    filtered: str | None = None


def signing(secret: str) -> dict[str, str]:
    """Credentials with which calls to AWS are signed."""
    return {"region": "eu-central-1", "access_key_id": "AKIAEXAMPLE", "secret_access_key": secret}


ROWS = [
    Row(format="openai", base="/v1", logprobs=True, embeds=True, filtered="content_policy_violation"),
    Row(format="openai-responses", simulator="openai", base="/v1", logprobs=True, filtered="invalid_prompt"),
    Row(
        format="azure-openai",
        config={"api_version": "2024-10-21"},
        logprobs=True,
        embeds=True,
        filtered="content_filter",
    ),
    Row(format="anthropic"),
    Row(format="cohere", retry_hint=False, logprobs=True, rivals=False, embeds=True),
    Row(format="ollama", retry_hint=False, logprobs=True, embeds=True),
    Row(format="gemini", base="/v1beta", logprobs=True, embeds=True, filtered="SAFETY"),
    Row(format="bedrock", retry_hint=False, embeds=True, embedder="cohere.embed-v4:0"),
    Row(
        format="bedrock",
        config={"api_key": None, "aws": signing(KEY)},
        wrong={"aws": signing("not-the-simulators-secret")},
        retry_hint=False,
        embeds=True,
        embedder="amazon.titan-embed-text-v2:0",
    ),
]

Connect = Callable[..., Any]
WEATHER = Tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}}, "of a city")
NOW = Tool("now", {"type": "object", "properties": {}})


@pytest.fixture(params=ROWS, ids=lambda row: row.format)
def row(request: pytest.FixtureRequest) -> Row:
    return request.param


@pytest.fixture
async def connect(row: Row) -> AsyncIterator[Connect]:
    """Starts a simulator with the given options and gives a provider in front of it; `config` replaces its fields."""
    opened: list[Any] = []

    async def connect(config: Mapping[str, Any] | None = None, **options: Any) -> Provider:
        wire_format = row.simulator or row.format
        simulator = start(SimulatorOptions(wire_format=wire_format, api_key=KEY, **options))
        url = await simulator.__aenter__()
        given = {"wire_format": row.format, "base_url": url + row.base, "api_key": KEY, **row.config, **(config or {})}
        provider = ADAPTERS[row.format]("river", ProviderConfig.model_validate(given), make_client(connections=10))
        opened.append((simulator, provider))
        return provider

    yield connect
    for simulator, provider in reversed(opened):
        await provider.close()
        await simulator.__aexit__(None, None, None)


def ask(text: str, *more: Message, **fields: Any) -> CompletionRequest:
    return CompletionRequest(model="public", messages=(Message("user", (Text(text),)), *more), **fields)


async def plain_and_streamed(provider: Provider, request: CompletionRequest) -> tuple[CompletionResult, ...]:
    builder = ResultBuilder()
    async for event in provider.stream(request, "m"):
        builder.add(event)
    assert builder.finished
    return await provider.complete(request, "m"), builder.build()


async def both_fail(provider: Provider, request: CompletionRequest) -> list[ProviderError]:
    """What a plain call and then a stream of the same request fail with."""
    with pytest.raises(ProviderError) as plain:
        await provider.complete(request, "m")
    with pytest.raises(ProviderError) as live:
        _ = [event async for event in provider.stream(request, "m")]
    return [plain.value, live.value]


async def broken(provider: Provider, request: CompletionRequest) -> tuple[str, ProviderError]:
    """The text of a stream until it fails, and what it fails with."""
    text = ""
    try:
        async for event in provider.stream(request, "m"):
            text += event.text if isinstance(event, PartDelta) else ""
    except ProviderError as error:
        return text, error
    pytest.fail("the stream did not break")


async def test_a_text_of_many_scripts(connect: Connect) -> None:
    said = "Grüße, 世界 👩‍👩‍👧 \u2028 é\t“fin”"
    provider = await connect()
    plain, live = await plain_and_streamed(provider, ask(f"[[echo: {said}]]"))
    assert (plain.text, live.text) == (said, said)
    assert len(live.trace) > len(plain.trace)
    assert plain.finish_reasons == live.finish_reasons == ("stop",)
    assert plain.usage == live.usage
    assert (plain.usage.input_tokens > 0, plain.usage.output_tokens > 0) == (True, True)


async def test_calls_of_tools(connect: Connect) -> None:
    """Several at once, one of them without arguments."""
    provider = await connect()
    request = ask('[[tool: weather {"city": "Łódź"}]] [[tool: now]]', tools=(WEATHER, NOW))
    for result in await plain_and_streamed(provider, request):
        calls = [(part.kind, part.name, json.loads(part.text)) for part in result.parts]
        assert calls == [("tool_call", "weather", {"city": "Łódź"}), ("tool_call", "now", {})]
        assert len({part.id for part in result.parts if part.id}) == 2
        assert result.finish_reasons == ("tool_calls",)


async def test_a_tools_result_goes_back(connect: Connect) -> None:
    provider = await connect()
    called = Message("assistant", (ToolCall("call_1", "weather", '{"city": "Oslo"}'),))
    answered = Message("tool", (ToolResult("call_1", "rain"),))
    for result in await plain_and_streamed(provider, ask("How is it?", called, answered, tools=(WEATHER,))):
        assert result.text == "The tool answered: rain"


async def test_a_structured_answer(connect: Connect, row: Row) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    request = ask("Well?", response_format=ResponseFormat("json_schema", "verdict", schema))
    provider = await connect()
    if not row.json_schema:
        with pytest.raises(InvalidRequest) as caught:
            await provider.complete(request, "m")
        assert caught.value.param == "response_format"
        return
    for result in await plain_and_streamed(provider, request):
        assert json.loads(result.text) == {"ok": True}


async def test_a_stop_string(connect: Connect) -> None:
    request = ask("[[echo: one two three]]", stop=("three", " two"))
    for result in await plain_and_streamed(await connect(), request):
        assert result.text == "one"
        assert result.finish_reasons in {("stop",), ("stop_sequence",)}


async def test_who_wants_to_know_is_told_which_stop_string_it_was(connect: Connect) -> None:
    request = ask("[[echo: one two three]]", stop=("three", " two"), names_stop=True)
    for result in await plain_and_streamed(await connect(), request):
        assert (result.text, result.finish_reasons, result.stop_sequence) == ("one", ("stop_sequence",), " two")


async def test_the_limit_of_an_answer(connect: Connect) -> None:
    for result in await plain_and_streamed(await connect(), ask("[[tokens: 50]]", max_tokens=7)):
        assert result.finish_reasons == ("length",)
        assert (len(result.text), result.usage.output_tokens) == (28, 7)


async def test_logprobs(connect: Connect, row: Row) -> None:
    request = ask("[[echo: Grüße, Welt]]", logprobs=True, top_logprobs=2 if row.rivals else None)
    provider = await connect()
    if not row.logprobs:
        with pytest.raises(InvalidRequest) as caught:
            await provider.complete(request, "m")
        assert caught.value.param == "logprobs"
        return
    plain, live = await plain_and_streamed(provider, request)
    entries = plain.parts[0].logprobs
    assert entries == live.parts[0].logprobs
    assert "".join(entry["token"] for entry in entries) == "Grüße, Welt"
    assert {len(entry["top_logprobs"]) for entry in entries} == {2 if row.rivals else 0}
    assert all(entry["logprob"] <= 0 for entry in entries)


async def test_the_quota_is_used_up(connect: Connect, row: Row) -> None:
    provider = await connect(requests_per_minute=1)
    await provider.complete(ask("Hi"), "m")
    for error in await both_fail(provider, ask("Hi")):
        assert type(error) is ProviderRateLimited
        assert (error.retry_after is not None and 0 < error.retry_after <= 61) is row.retry_hint


async def test_a_wrong_key(connect: Connect, row: Row) -> None:
    if not row.wrong:
        pytest.skip("this vendor asks for no credentials")
    provider = await connect(config=row.wrong)
    for error in await both_fail(provider, ask("Hi")):
        assert type(error) is ProviderUnauthorized
        assert KEY not in error.message


async def test_an_unknown_model(connect: Connect) -> None:
    provider = await connect(models=("another",))
    for error in await both_fail(provider, ask("Hi")):
        assert type(error) is ProviderRejected
        assert 400 <= error.status < 500


@pytest.mark.parametrize(("status", "error"), [(400, ProviderRejected), (500, ProviderOverloaded)])
async def test_a_refusal(connect: Connect, status: int, error: type) -> None:
    for caught in await both_fail(await connect(), ask(f"[[error: {status}]]")):
        assert type(caught) is error


async def test_a_prompt_that_is_refused_for_its_content(connect: Connect, row: Row) -> None:
    if row.filtered is None:
        pytest.skip("its simulator takes no order to")
    for caught in await both_fail(await connect(), ask(f"[[error: 400 {row.filtered}]]")):
        assert type(caught) is ProviderContentRefused
        assert caught.status == 400


async def test_an_outage(connect: Connect) -> None:
    """The status and words that this vendor has for being overloaded."""
    for caught in await both_fail(await connect(overload_rate=1.0), ask("Hi")):
        assert type(caught) is ProviderOverloaded


@pytest.mark.parametrize("order", ["error-frame", "cut"])
async def test_a_stream_that_breaks(connect: Connect, row: Row, order: str) -> None:
    text, error = await broken(await connect(), ask(f"[[tokens: 40]] [[{order}]]"))
    assert type(error) is (row.frame if order == "error-frame" else ProviderStreamBroken)
    assert text


async def test_a_plain_answer_that_breaks(connect: Connect) -> None:
    provider = await connect()
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ask("[[tokens: 40]] [[cut]]"), "m")
    assert type(caught.value) is ProviderStreamBroken


async def test_a_connection_that_is_reset(connect: Connect) -> None:
    for caught in await both_fail(await connect(), ask("[[reset]]")):
        assert type(caught) is ProviderUnreachable


async def test_embeddings(connect: Connect, row: Row) -> None:
    """One unit vector for each text, in their order."""
    provider = await connect(embedding_dimensions=32)
    request = EmbeddingRequest(model="public", inputs=("how do I reset my card", "bananas ripen quickly"))
    if not row.embeds:
        with pytest.raises(InvalidRequest) as caught:
            await provider.embed(request, "m")
        assert caught.value.param == "model"
        return
    both = await provider.embed(request, row.embedder)
    assert [len(vector) for vector in both.vectors] == [32, 32]
    assert [sum(x * x for x in vector) for vector in both.vectors] == [pytest.approx(1, abs=1e-5)] * 2
    for text, vector in zip(request.inputs, both.vectors, strict=True):
        alone = await provider.embed(EmbeddingRequest(model="public", inputs=(text,)), row.embedder)
        assert alone.vectors == (vector,)
    assert both.usage.input_tokens > 0
    assert both.usage.output_tokens == 0


async def test_embeddings_fail_as_completions_do(connect: Connect, row: Row) -> None:
    if not row.embeds:
        pytest.skip("this vendor has no embeddings")
    request = EmbeddingRequest(model="public", inputs=("Hi",))
    limited = await connect(requests_per_minute=1)
    await limited.embed(request, row.embedder)
    with pytest.raises(ProviderRateLimited):
        await limited.embed(request, row.embedder)
    with pytest.raises(ProviderRejected):
        await (await connect(models=("another",))).embed(request, row.embedder)
