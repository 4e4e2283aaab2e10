"""The simulator of Google's Gemini API, asked by a bare HTTP client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest

from simulator.options import SimulatorOptions
from simulator.server import start

KEY = "AIza-a-simulated-key"
MODEL = "/v1beta/models/gemini-3.5-flash"
WEATHER = {"name": "weather", "parametersJsonSchema": {"type": "object", "properties": {"city": {"enum": ["Oslo"]}}}}

Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with (
        start(SimulatorOptions(wire_format="gemini", api_key=KEY, requests_per_minute=600)) as url,
        aiohttp.ClientSession(url, headers={"x-goog-api-key": KEY}) as session,
    ):
        yield session


@pytest.fixture
def ask(http: aiohttp.ClientSession) -> Ask:
    """Posts a body, or asks in one text; gives the status and the answer."""

    async def ask(said: str | list[Any], method: str = "generateContent", **more: Any) -> tuple[int, Any]:
        contents = said if isinstance(said, list) else [{"role": "user", "parts": [{"text": said}]}]
        async with http.post(f"{MODEL}:{method}", json={"contents": contents, **more}) as response:
            return response.status, await response.json()

    return ask


async def test_a_plain_answer(ask: Ask) -> None:
    status, answer = await ask("[[echo: Hello you]]", systemInstruction={"parts": [{"text": "Be brief"}]})
    assert status == 200
    assert answer["candidates"] == [
        {"content": {"role": "model", "parts": [{"text": "Hello you"}]}, "index": 0, "finishReason": "STOP"}
    ]
    usage = answer["usageMetadata"]
    assert (usage["promptTokenCount"], usage["candidatesTokenCount"], usage["totalTokenCount"]) == (7, 3, 10)
    assert answer["modelVersion"] == "gemini-3.5-flash"


async def test_the_stream_has_the_vendors_framing(http: aiohttp.ClientSession) -> None:
    """Events end in CRLF, have no names and no end mark; the last says why, and counts all."""
    body = {"contents": [{"parts": [{"text": "[[echo: Hello you]]"}]}]}
    async with http.post(f"{MODEL}:streamGenerateContent?alt=sse", json=body) as response:
        assert response.content_type == "text/event-stream"
        *events, rest = (await response.text()).split("\r\n\r\n")
    assert rest == ""
    chunks = [orjson.loads(event.removeprefix("data: ")) for event in events]
    texts = [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks]
    assert texts == ["Hell", "o yo", "u", ""]
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None, None, None, "STOP"]
    assert "candidatesTokenCount" not in chunks[0]["usageMetadata"]
    assert chunks[-1]["usageMetadata"]["candidatesTokenCount"] == 3


async def test_streams_that_are_no_events_are_not_simulated(ask: Ask) -> None:
    status, answer = await ask("Hi", method="streamGenerateContent")
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")


async def test_a_required_function_is_called_and_its_result_is_answered(ask: Ask) -> None:
    tools = {"tools": [{"functionDeclarations": [WEATHER]}]}
    forced = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}}
    _, first = await ask("How is it?", toolConfig=forced, **tools)
    content = first["candidates"][0]["content"]
    (part,) = content["parts"]
    assert (part["functionCall"]["name"], part["functionCall"]["args"]) == ("weather", {"city": "Oslo"})
    result = {"functionResponse": {"id": part["functionCall"]["id"], "name": "weather", "response": {"output": "rain"}}}
    turns = [{"role": "user", "parts": [{"text": "How is it?"}]}, content, {"role": "user", "parts": [result]}]
    _, second = await ask(turns, **tools)
    assert second["candidates"][0]["content"]["parts"] == [{"text": "The tool answered: rain"}]


CALL = {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}
RESULT = {"functionResponse": {"name": "f", "response": {"output": "x"}}}
USER = {"role": "user", "parts": [{"text": "Hi"}]}


def model(*parts: Any) -> dict[str, Any]:
    return {"role": "model", "parts": list(parts)}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ([], "contents is not specified"),
        ([{"role": "assistant", "parts": [{"text": "Hi"}]}], "valid role"),
        ([{"role": "user", "parts": []}], "must not be empty"),
        ([user({"text": "a", "fileData": {"fileUri": "b"}})], "oneof"),
        ([user({"words": "a"})], 'Unknown name "words"'),
        ([user({"inlineData": {"mimeType": "image/png", "data": "*"}})], "Base64"),
        ([USER, model(CALL, CALL), user(RESULT)], "number of function response parts"),
        ([USER, model(CALL), user({"text": "well?"})], "number of function response parts"),
        ([USER, model({"functionCall": CALL["functionCall"]}), user(RESULT)], "thought_signature"),
    ],
)
async def test_conversations_that_the_vendor_refuses(ask: Ask, contents: list[Any], said: str) -> None:
    status, answer = await ask(contents)
    assert (status, answer["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert said in answer["error"]["message"]


async def test_seals_of_earlier_turns_are_not_asked_for(ask: Ask) -> None:
    unsealed = model({"functionCall": CALL["functionCall"]})
    assert (await ask([USER, unsealed, user(RESULT), USER]))[0] == 200


@pytest.mark.parametrize(
    "more",
    [
        {"max_tokens": 5},
        {"generationConfig": {"maxTokens": 5}},
        {"generationConfig": {"candidateCount": 9}},
        {"generationConfig": {"stopSequences": ["a"] * 6}},
        {"generationConfig": {"logprobs": 2}},
        {"generationConfig": {"responseJsonSchema": {}}},
        {"generationConfig": {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}},
        {"tools": [{"functionDeclarations": [{**WEATHER, "parameters": {}}]}]},
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
    ],
)
async def test_settings_that_the_vendor_refuses(ask: Ask, more: Any) -> None:
    assert (await ask("Hi", **more))[0] == 400


async def test_names_with_underscores_are_taken_too(ask: Ask) -> None:
    status, answer = await ask("[[tokens: 9]]", generation_config={"max_output_tokens": 5})
    assert (status, answer["candidates"][0]["finishReason"]) == (200, "MAX_TOKENS")
    assert answer["usageMetadata"]["candidatesTokenCount"] == 5


async def test_a_structured_answer_by_either_kind_of_schema(ask: Ask) -> None:
    own = {"type": "OBJECT", "properties": {"ok": {"type": "BOOLEAN"}}}
    standard = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    for name, schema in (("responseSchema", own), ("responseJsonSchema", standard)):
        config = {"responseMimeType": "application/json", name: schema}
        _, answer = await ask("Well?", generationConfig=config)
        assert orjson.loads(answer["candidates"][0]["content"]["parts"][0]["text"]) == {"ok": True}


async def test_thoughts_and_several_candidates(ask: Ask) -> None:
    config = {"candidateCount": 2, "thinkingConfig": {"includeThoughts": True}}
    _, answer = await ask("[[tokens: 3]]", generationConfig=config)
    assert [candidate["index"] for candidate in answer["candidates"]] == [0, 1]
    thought, text = answer["candidates"][1]["content"]["parts"]
    assert (thought["thought"], "thought" in text) == (True, False)
    usage = answer["usageMetadata"]
    assert (usage["candidatesTokenCount"], usage["thoughtsTokenCount"]) == (6, 12)
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + 18


async def test_a_blocked_prompt_is_an_answer(ask: Ask) -> None:
    status, answer = await ask("[[error: 400 PROHIBITED_CONTENT]]")
    assert (status, answer["promptFeedback"]["blockReason"]) == (200, "PROHIBITED_CONTENT")
    assert "candidates" not in answer


async def test_credentials(http: aiohttp.ClientSession) -> None:
    """In a header or in the query; a wrong key is an invalid argument here."""
    body = {"contents": [USER]}
    for query, headers, expected in (
        (f"?key={KEY}", {"x-goog-api-key": ""}, (200, None)),
        ("", {"x-goog-api-key": ""}, (403, "PERMISSION_DENIED")),
        ("", {"x-goog-api-key": "AIza-another"}, (400, "INVALID_ARGUMENT")),
    ):
        async with http.post(f"{MODEL}:generateContent{query}", json=body, headers=headers) as response:
            error = (await response.json()).get("error", {})
            assert (response.status, error.get("status")) == expected
    assert error["details"][0]["reason"] == "API_KEY_INVALID"


async def test_a_full_quota_says_when_to_come_back() -> None:
    options = SimulatorOptions(wire_format="gemini", requests_per_minute=1)
    async with start(options) as url, aiohttp.ClientSession(url) as http:
        for status in (200, 429):
            async with http.post(f"{MODEL}:generateContent", json={"contents": [USER]}) as response:
                assert response.status == status
                answer = await response.json()
    error = answer["error"]
    details = {detail["@type"].rpartition(".")[2]: detail for detail in error["details"]}
    assert (error["code"], error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert 0 < float(details["RetryInfo"]["retryDelay"].removesuffix("s")) <= 60
    assert details["QuotaFailure"]["violations"][0]["quotaValue"] == "1"


async def test_tokens_are_counted_without_quota(ask: Ask, http: aiohttp.ClientSession) -> None:
    assert await ask("12345", method="countTokens") == (200, {"totalTokens": 2})
    whole = {"generateContentRequest": {"contents": [USER], "model": "models/gemini-3.5-flash"}}
    async with http.post(f"{MODEL}:countTokens", json=whole) as response:
        assert await response.json() == {"totalTokens": 1}


async def test_embeddings(http: aiohttp.ClientSession) -> None:
    content = {"parts": [{"text": "how do I reset my card"}]}
    each = {"model": "models/e", "content": content, "outputDimensionality": 8}
    async with http.post("/v1beta/models/e:embedContent", json=each) as response:
        one = await response.json()
    async with http.post("/v1beta/models/e:batchEmbedContents", json={"requests": [each, each]}) as response:
        both = await response.json()
    assert len(one["embedding"]["values"]) == 8
    assert both["embeddings"] == [one["embedding"]] * 2
    assert one["usageMetadata"] == {"promptTokenCount": 6}
    for requests in ([], [{**each, "model": "models/other"}], [{**each, "content": {"parts": [{"text": ""}]}}]):
        async with http.post("/v1beta/models/e:batchEmbedContents", json={"requests": requests}) as response:
            assert response.status == 400


async def test_models(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1beta/models") as response:
        names = [entry["name"] for entry in (await response.json())["models"]]
    async with http.get(f"/v1/{names[0]}") as response:
        assert (response.status, (await response.json())["name"]) == (200, names[0])
