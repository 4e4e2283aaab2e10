"""What Bedrock's adapter does on the wire beside what all do: signatures, model ids in paths, embeddings in shares."""

import re
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conformance.upstream import Upstream, whole
from conformance.wires.bedrock import WIRE
from conformance.wires.wire import TEXT, ask, streaming

from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    EmbeddingRequest,
    Message,
    Reasoning,
    ResultBuilder,
    Text,
    Tool,
    ToolChoice,
    Usage,
)
from penstock.configuration import ProviderConfig
from penstock.errors import InvalidRequest, ProviderRateLimited, ProviderStreamBroken, ProviderUnauthorized
from penstock.http import make_client
from penstock.providers.bedrock import Bedrock
from simulator.options import SimulatorOptions
from simulator.server import start

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AWS = {"region": "us-east-1", "access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET}
TOKEN = "IQoJb3JpZ2luX2VjEXAMPLE//TOKEN=="
ARN = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
CLAUDE = "eu.anthropic.claude-sonnet-4-6"
TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-v4:0"

Connect = Callable[..., Bedrock]


@pytest.fixture
async def connect(upstream: Upstream) -> AsyncIterator[Connect]:
    """Makes a provider in front of the upstream, or of another `base_url`."""
    made: list[Bedrock] = []

    def connect(base_url: str = "", **fields: Any) -> Bedrock:
        given = {"wire_format": "bedrock", "base_url": base_url or upstream.url, **fields}
        made.append(Bedrock("river", ProviderConfig.model_validate(given), make_client(connections=10)))
        return made[-1]

    yield connect
    for provider in made:
        await provider.close()


def embed(*texts: Any, **fields: Any) -> EmbeddingRequest:
    return EmbeddingRequest(model="public", inputs=texts, **fields)


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("model", ["anthropic.claude-3-haiku-20240307-v1:0", ARN])
async def test_a_signature_fits_what_arrives(connect: Connect, model: str, token: str | None) -> None:
    """The simulator makes it anew from the bytes on its side; a path, or a header of AWS's, would show."""
    async with start(SimulatorOptions(wire_format="bedrock", api_key=SECRET)) as url:
        headers = {"X-Amz-Custom": "a  b", "X-Team": "dam"}
        provider = connect(url, aws=AWS | {"session_token": token}, headers=headers)
        assert (await provider.complete(ask(), model)).text
        assert [event async for event in provider.stream(ask(), model)]
        wrong = connect(url, aws=AWS | {"secret_access_key": "another-secret"})
        with pytest.raises(ProviderUnauthorized):
            await wrong.complete(ask(), model)


async def test_what_a_signed_call_carries(connect: Connect, upstream: Upstream) -> None:
    upstream.answers = [whole(WIRE.plain(TEXT)), streaming(WIRE, *WIRE.events(TEXT))]
    provider = connect(aws=AWS | {"session_token": TOKEN})
    before = datetime.now(UTC).replace(microsecond=0)
    await provider.complete(ask(), ARN)
    assert [event async for event in provider.stream(ask(), ARN)]
    for request in upstream.requests:
        assert request.headers["x-amz-security-token"] == TOKEN
        assert SECRET not in str(request.headers)
        at = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        assert before <= at <= before + timedelta(minutes=1)
        day = request.headers["x-amz-date"][:8]
        assert re.fullmatch(
            rf"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{day}/us-east-1/bedrock/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=[0-9a-f]{64}",
            request.headers["authorization"],
        )


async def test_a_model_id_is_one_segment_of_the_path(connect: Connect, upstream: Upstream) -> None:
    upstream.answers = [whole(WIRE.plain(TEXT))]
    await connect(api_key="a-bearer-key", base_url=upstream.url + "/proxy/").complete(ask(), ARN)
    assert upstream.requests[0].path == f"/proxy/model/{ARN.replace('/', '%2F')}/converse"
    assert upstream.requests[0].headers["authorization"] == "Bearer a-bearer-key"
    assert "x-amz-date" not in upstream.requests[0].headers


async def test_credentials_are_never_quoted(connect: Connect, upstream: Upstream) -> None:
    said = f"The secret {SECRET} and the token {TOKEN} are odd."
    upstream.answers = [whole({"message": said}, 400), streaming(WIRE, WIRE.error_event("validationException", said))]
    provider = connect(aws=AWS | {"session_token": TOKEN})
    for call in (provider.complete(ask(), "m"), anext(provider.stream(ask(), "m"))):
        with pytest.raises(Exception, match=r"secret \*\*\* and the token \*\*\* are odd"):
            await call


async def test_without_credentials_nothing_is_signed(connect: Connect, upstream: Upstream) -> None:
    upstream.answers = [whole(WIRE.plain(TEXT))]
    await connect().complete(ask(), "m")
    assert "authorization" not in upstream.requests[0].headers


@pytest.fixture
async def simulated(connect: Connect) -> AsyncIterator[Bedrock]:
    """A provider in front of a simulator, which asks for no key."""
    async with start(SimulatorOptions(wire_format="bedrock")) as url:
        yield connect(url)


async def both(provider: Bedrock, text: str, *earlier: Message, **fields: Any) -> list[CompletionResult]:
    """The plain and the streamed answer of Claude."""
    messages = (*earlier, Message("user", (Text(text),)))
    request = CompletionRequest(model="public", messages=messages, **fields)
    builder = ResultBuilder()
    async for event in provider.stream(request, CLAUDE):
        builder.add(event)
    return [await provider.complete(request, CLAUDE), builder.build()]


@pytest.mark.parametrize("shown", [True, False])
async def test_thoughts_go_back_with_their_seal(simulated: Bedrock, shown: bool) -> None:
    """The simulator refuses a thought that is not its own. Newer models seal thoughts that they do not show."""
    hidden = {} if shown else {"additionalModelRequestFields": {"thinking": {"display": "omitted"}}}
    for result in await both(simulated, "[[echo: So.]]", reasoning_effort="high", extra=hidden):
        thought, text = result.parts
        assert (thought.kind, bool(thought.text), text.text) == ("reasoning", shown, "So.")
        assert thought.signature
        turn = Message("assistant", (Reasoning(thought.text, thought.signature), Text(text.text)))
        earlier = (Message("user", (Text("Why?"),)), turn)
        assert [again.text for again in await both(simulated, "[[echo: Ah.]]", *earlier)] == ["Ah.", "Ah."]


async def test_claude_tells_which_stop_string_matched(simulated: Bedrock) -> None:
    for result in await both(simulated, "[[echo: one two three]]", stop=("three", " two")):
        assert (result.text, result.finish_reasons, result.stop_sequence) == ("one", ("stop_sequence",), " two")


@pytest.mark.parametrize("parallel", [None, False])
async def test_a_tool_that_must_be_called(simulated: Bedrock, parallel: bool | None) -> None:
    """Said in Converse's words, and in Claude's where one call at a time is asked for."""
    tools = (Tool("a", {}), Tool("b", {"properties": {"ok": {"type": "boolean"}}}))
    for choice, called in ((ToolChoice("tool", "b"), "b"), (ToolChoice("required"), "a")):
        for result in await both(simulated, "Go", tools=tools, tool_choice=choice, parallel_tool_calls=parallel):
            assert [(part.kind, part.name) for part in result.parts] == [("tool_call", called)]


def titan(vector: list[float], tokens: int) -> dict[str, Any]:
    return {"embedding": vector, "inputTextTokenCount": tokens}


async def test_titan_embeds_one_text_in_a_call(connect: Connect, upstream: Upstream) -> None:
    upstream.answers = [whole(titan([1.0], 2)), whole(titan([2.0], 3)), whole(titan([3.0], 4))]
    told: list[int] = []
    request = embed("a", "b", "c", dimensions=256)
    result = await connect(aws=AWS).embed(request, TITAN, on_headers=lambda status, _: told.append(status))
    assert ([list(vector) for vector in result.vectors], result.usage) == ([[1.0], [2.0], [3.0]], Usage(9))
    assert [request.body["inputText"] for request in upstream.requests] == ["a", "b", "c"]
    assert {request.path for request in upstream.requests} == {f"/model/{TITAN}/invoke"}
    assert told == [200, 200, 200]


async def test_cohere_embeds_96_texts_in_a_call_and_counts_in_a_header(connect: Connect, upstream: Upstream) -> None:
    def share(size: int, tokens: str) -> Any:
        return whole({"embeddings": {"float": [[float(size)]] * size}}, x_amzn_bedrock_input_token_count=tokens)

    upstream.answers = [share(96, "500"), share(4, "x")]
    result = await connect(aws=AWS).embed(embed(*map(str, range(100))), COHERE)
    assert [len(request.body["texts"]) for request in upstream.requests] == [96, 4]
    assert [vector[0] for vector in result.vectors] == [96.0] * 96 + [4.0] * 4
    assert result.usage == Usage(500)


async def test_a_share_that_fails_fails_the_whole(connect: Connect, upstream: Upstream) -> None:
    upstream.answers = [whole(titan([1.0], 2)), whole({"message": "slow down"}, 429)]
    with pytest.raises(ProviderRateLimited):
        await connect(aws=AWS).embed(embed("a", "b"), TITAN)


@pytest.mark.parametrize("vector", [[], [1e39], ["x"], None])
async def test_a_vector_that_is_none_breaks_the_answer(connect: Connect, upstream: Upstream, vector: Any) -> None:
    upstream.answers = [whole(titan(vector, 2))]
    with pytest.raises(ProviderStreamBroken):
        await connect(aws=AWS).embed(embed("a"), TITAN)


async def test_nothing_is_sent_of_what_cannot_be_said(connect: Connect, upstream: Upstream) -> None:
    provider = connect(aws=AWS)
    for request, model, param in (
        (embed("a"), "anthropic.claude-x", "model"),
        (embed("a", (1, 2)), TITAN, "input"),
        (embed("a", dimensions=8), "amazon.titan-embed-text-v1", "dimensions"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await provider.embed(request, model)
        assert caught.value.param == param
    assert upstream.requests == []


async def test_a_marked_beginning_is_written_once_and_then_read(connect: Connect) -> None:
    def line(question: str) -> CompletionRequest:
        system = Message("system", (Text("The lore of the river. " * 300, cache="5m"),))
        return CompletionRequest(model="public", messages=(system, Message("user", (Text(question),))))

    async with start(SimulatorOptions(wire_format="bedrock")) as url:
        provider = connect(url)
        first = (await provider.complete(line("a"), CLAUDE)).usage
        again = (await provider.complete(line("b"), CLAUDE)).usage
        streamed = [event async for event in provider.stream(line("c"), CLAUDE)][-1]
    assert first.cache_write_tokens > 1500
    assert (first.cached_tokens, again.cache_write_tokens) == (0, 0)
    assert again.cached_tokens == streamed.usage.cached_tokens == first.cache_write_tokens  # type: ignore[union-attr]
    assert first.input_tokens == again.input_tokens > first.cache_write_tokens
