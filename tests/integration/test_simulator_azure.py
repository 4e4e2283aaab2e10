"""The simulator of Azure OpenAI, asked by OpenAI's own SDK for it."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from simulator.options import SimulatorOptions
from simulator.server import start

KEY = "0123456789abcdef"
HI = [{"role": "user", "content": "[[echo: Hello you]]"}]
Ask = Callable[..., Any]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with start(SimulatorOptions(wire_format="azure-openai", api_key=KEY, models=("dep",))) as address:
        yield address


@pytest.fixture
async def ask(url: str) -> AsyncIterator[Ask]:
    """Makes a client of the dated API; keywords replace its arguments."""
    made: list[openai.AsyncAzureOpenAI] = []

    def ask(**more: Any) -> openai.AsyncAzureOpenAI:
        given = {"azure_endpoint": url, "api_key": KEY, "api_version": "2024-10-21", "max_retries": 0, **more}
        made.append(openai.AsyncAzureOpenAI(**given))
        return made[-1]

    yield ask
    for client in made:
        await client.close()


async def test_a_plain_answer_with_what_the_filter_thinks(ask: Ask) -> None:
    raw = await ask().chat.completions.with_raw_response.create(model="dep", messages=HI)
    answer = ChatCompletion.model_validate_json(raw.text)
    assert (answer.choices[0].message.content, answer.model) == ("Hello you", "dep")
    assert answer.model_extra is not None
    assert answer.model_extra["prompt_filter_results"][0]["content_filter_results"]["hate"]["filtered"] is False
    assert raw.headers["apim-request-id"]


async def test_a_stream_begins_with_a_chunk_without_choices(ask: Ask) -> None:
    """That chunk is as empty as the vendor's, and no chunk by the SDK's own type; the others are."""
    options = {"include_usage": True}
    stream = await ask().chat.completions.create(model="dep", messages=HI, stream=True, stream_options=options)
    first, *chunks = [chunk async for chunk in stream]
    assert first.choices == []
    assert first.model_extra is not None
    assert "prompt_filter_results" in first.model_extra
    chunks = [ChatCompletionChunk.model_validate(chunk.to_dict()) for chunk in chunks]
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == "Hello you"
    assert chunks[-1].usage is not None


async def test_embeddings_of_a_deployment(ask: Ask) -> None:
    raw = await ask().embeddings.with_raw_response.create(model="dep", input=["a", "b"], encoding_format="float")
    assert len(CreateEmbeddingResponse.model_validate_json(raw.text).data) == 2


async def test_the_surface_without_dates(url: str) -> None:
    """There the model is in the body, and OpenAI's own client will do."""
    client = openai.AsyncOpenAI(base_url=f"{url}/openai/v1", api_key=KEY, max_retries=0)
    async with client:
        assert (await client.chat.completions.create(model="dep", messages=HI)).choices[
            0
        ].message.content == "Hello you"
        assert (await client.responses.create(model="dep", input="[[echo: Hi]]")).output_text == "Hi"
        assert len((await client.embeddings.create(model="dep", input="a")).data) == 1


async def test_a_token_is_a_bearer_token(ask: Ask) -> None:
    client = ask(api_key=None, azure_ad_token=KEY)
    assert (await client.chat.completions.create(model="dep", messages=HI)).choices


@pytest.mark.parametrize("wrong", [{"api_key": "another"}, {"api_key": None, "azure_ad_token": "another"}])
async def test_a_wrong_key(ask: Ask, wrong: dict[str, Any]) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        await ask(**wrong).chat.completions.create(model="dep", messages=HI)
    assert caught.value.code == "401"


async def test_an_unknown_deployment_and_a_missing_version(ask: Ask) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await ask().chat.completions.create(model="other", messages=HI)
    assert caught.value.code == "DeploymentNotFound"
    with pytest.raises(openai.NotFoundError) as caught:
        await ask(api_version="").chat.completions.create(model="dep", messages=HI)
    assert caught.value.code == "404"


async def test_the_filter_refuses_a_prompt(ask: Ask) -> None:
    flagged = [{"role": "user", "content": "[[error: 400 content_filter]]"}]
    with pytest.raises(openai.BadRequestError) as caught:
        await ask().chat.completions.create(model="dep", messages=flagged)
    assert caught.value.code == "content_filter"
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["innererror"]["code"] == "ResponsibleAIPolicyViolation"


async def test_a_limit_says_when_to_come_back() -> None:
    async with start(SimulatorOptions(wire_format="azure-openai", requests_per_minute=1)) as address:
        client = openai.AsyncAzureOpenAI(azure_endpoint=address, api_key=KEY, api_version="2024-10-21", max_retries=0)
        async with client:
            await client.chat.completions.create(model="m", messages=HI)
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(model="m", messages=HI)
    assert caught.value.code == "429"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 61
