"""The simulator, asked by the vendors' own SDKs and by a bare HTTP client."""

import asyncio
import os
import re
import signal
import subprocess
import sys

import aiohttp
import anthropic
import openai
import orjson
import pytest
from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from simulator.options import SimulatorOptions
from simulator.server import start

NO_RETRY = {"max_retries": 0, "timeout": 20}


def user(text: str) -> list:
    return [{"role": "user", "content": text}]


class Asked:
    """A running simulator with every client a test may want."""

    def __init__(self, url: str, key: str = "k") -> None:
        self.url = url
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, **NO_RETRY)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key=key, **NO_RETRY)
        self.http = aiohttp.ClientSession(url)

    async def __aenter__(self) -> "Asked":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.openai.close()
        await self.anthropic.close()
        await self.http.close()

    async def chat(self, text: str, **more):
        return await self.openai.chat.completions.create(model="m", messages=user(text), **more)

    async def message(self, text: str, **more):
        return await self.anthropic.messages.create(model="m", messages=user(text), **({"max_tokens": 500} | more))

    async def post(self, path: str, body, headers=None) -> tuple[int, dict, dict]:
        """Status, JSON, headers of a plain POST; bytes go as they are."""
        given = {"data": body} if isinstance(body, bytes) else {"json": body}
        async with self.http.post(path, headers=headers, **given) as response:
            return response.status, await response.json(), {k.lower(): v for k, v in response.headers.items()}

    async def stats(self, detail: str = "") -> dict:
        async with self.http.get("/_sim/stats" + detail) as response:
            return await response.json()


@pytest.fixture
async def ask():
    """A function that starts a simulator with the given options and gives its clients."""
    stack = []

    async def begin(wire_format: str = "openai", key: str = "k", **options) -> Asked:
        running = start(SimulatorOptions(wire_format=wire_format, **options))
        url = await running.__aenter__()
        stack.append(running)
        asked = Asked(url, key)
        stack.append(asked)
        return asked

    yield begin
    for context in reversed(stack):
        await context.__aexit__(None, None, None)


# --- OpenAI: chat ---------------------------------------------------------------------------------------------------


async def test_plain_chat_is_schema_correct_and_counts_its_tokens(ask):
    asked = await ask()
    raw = await asked.openai.chat.completions.with_raw_response.create(model="m", messages=user("[[echo: Hello you]]"))
    answer = ChatCompletion.model_validate_json(raw.text, strict=True)
    assert answer.choices[0].message.content == "Hello you"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (5, 3)
    assert answer.usage.total_tokens == 8
    assert raw.headers["x-request-id"].startswith("req_")
    assert not any(name.startswith("x-ratelimit") for name in raw.headers)


async def test_chat_streams_the_same_answer_with_usage_at_the_end(ask):
    asked = await ask()
    whole = await asked.chat("Tell me a story.", n=2)
    chunks = [
        ChatCompletionChunk.model_validate(chunk.to_dict())
        async for chunk in await asked.chat(
            "Tell me a story.", n=2, stream=True, stream_options={"include_usage": True}
        )
    ]
    texts, ends = {0: "", 1: ""}, []
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                ends.append((choice.index, choice.finish_reason))
    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    assert sorted(ends) == [(0, "stop"), (1, "stop")]
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_the_chat_stream_has_the_vendor_framing(ask):
    asked = await ask()
    body = {"model": "m", "messages": user("[[tokens: 3]]"), "stream": True}
    async with asked.http.post("/v1/chat/completions", json=body) as response:
        assert response.content_type == "text/event-stream"
        lines = (await response.text()).split("\n\n")
    assert all(line.startswith("data: {") for line in lines[:-2])
    assert lines[-2:] == ["data: [DONE]", ""]
    assert "usage" not in "".join(lines)


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_tool_calls_plain_and_streamed(ask, stream):
    asked = await ask()
    order = '[[tool: add {"a": 1, "b": [[2]]}]] [[tool: now]]'
    answer = await asked.chat(order, stream=stream)
    if stream:
        calls: dict[int, list[str]] = {}
        async for chunk in answer:
            for call in chunk.choices[0].delta.tool_calls or []:
                if call.id:
                    calls[call.index] = [call.function.name, ""]
                calls[call.index][1] += call.function.arguments
            end = chunk.choices[0].finish_reason
        found = [tuple(call) for call in calls.values()]
    else:
        found = [(call.function.name, call.function.arguments) for call in answer.choices[0].message.tool_calls]
        end = answer.choices[0].finish_reason
        assert answer.choices[0].message.content is None
    assert found == [("add", '{"a": 1, "b": [[2]]}'), ("now", "{}")]
    assert end == "tool_calls"


async def test_a_required_tool_is_called_with_fitting_arguments_and_its_result_is_answered(ask):
    asked = await ask()
    schema = {"type": "object", "properties": {"city": {"enum": ["Oslo"]}, "days": {"type": "integer"}}}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": schema}}]
    messages = user("How is it?")
    first = await asked.openai.chat.completions.create(
        model="m", messages=messages, tools=tools, tool_choice="required"
    )
    call = first.choices[0].message.tool_calls[0]
    assert call.function.arguments == '{"city":"Oslo","days":1}'
    messages += [first.choices[0].message.to_dict(), {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    second = await asked.openai.chat.completions.create(model="m", messages=messages, tools=tools)
    assert second.choices[0].message.content == "The tool answered: rain"


async def test_max_tokens_and_stop_end_an_answer(ask):
    asked = await ask()
    cut = await asked.chat("[[tokens: 50]]", max_tokens=7)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 7)
    stopped = await asked.chat("[[echo: one two three]]", stop=["three", " two"])
    assert (stopped.choices[0].finish_reason, stopped.choices[0].message.content) == ("stop", "one")


async def test_logprobs_cover_the_text_plain_and_streamed(ask):
    asked = await ask()
    plain = await asked.chat("[[echo: Grüße, Welt]]", logprobs=True, top_logprobs=3)
    entries = plain.choices[0].logprobs.content
    assert b"".join(bytes(entry.bytes) for entry in entries).decode() == "Grüße, Welt"
    assert all(len(entry.top_logprobs) == 3 and entry.logprob <= 0 for entry in entries)
    streamed = []
    async for chunk in await asked.chat("[[echo: Grüße, Welt]]", logprobs=True, top_logprobs=3, stream=True):
        if chunk.choices[0].logprobs:
            streamed += chunk.choices[0].logprobs.content
    assert streamed == entries


async def test_structured_output_fits_its_schema(ask):
    asked = await ask()
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    answer = await asked.chat("Well?", response_format=wanted)
    assert answer.choices[0].message.content == '{"ok":true}'


# --- OpenAI: the other endpoints ------------------------------------------------------------------------------------


async def test_responses_plain_is_schema_correct(ask):
    asked = await ask()
    raw = await asked.openai.responses.with_raw_response.create(
        model="m",
        instructions="Be short.",
        input="[[echo: Hi]]",
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": True}],
    )
    answer = Response.model_validate_json(raw.text)
    assert (answer.output_text, answer.status) == ("Hi", "completed")
    assert answer.usage.input_tokens_details.cache_write_tokens == 0
    short = await asked.openai.responses.create(model="m", input="[[tokens: 50]]", max_output_tokens=16)
    assert (short.status, short.incomplete_details.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize("order", ["[[tokens: 5]]", '[[tool: f {"a": "long enough"}]]'])
async def test_responses_stream_is_numbered_and_ends_with_the_whole(ask, order):
    asked = await ask()
    adapter = TypeAdapter(ResponseStreamEvent)
    events = [
        adapter.validate_python(event.to_dict())
        async for event in await asked.openai.responses.create(model="m", input=order, stream=True)
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1].type == "response.completed"
    deltas = "".join(event.delta for event in events if event.type.endswith(".delta"))
    item = events[-1].response.output[0]
    assert deltas == (item.content[0].text if item.type == "message" else item.arguments)
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {item.id}


async def test_legacy_completions_answer_each_prompt_in_order(ask):
    asked = await ask()
    raw = await asked.openai.completions.with_raw_response.create(
        model="m", prompt=["[[echo: a]]", "[[echo: b]]"], n=2, max_tokens=5
    )
    answer = Completion.model_validate_json(raw.text)
    assert [(choice.index, choice.text) for choice in answer.choices] == [(0, "a"), (1, "a"), (2, "b"), (3, "b")]
    pieces = [
        chunk.choices[0].text
        async for chunk in await asked.openai.completions.create(model="m", prompt="[[echo: streamed]]", stream=True)
    ]
    assert "".join(pieces) == "streamed"


async def test_embeddings_are_the_same_in_both_encodings_and_near_for_near_texts(ask):
    asked = await ask()
    texts = ["how do I reset my card", "please tell how do I reset my card", "bananas ripen quickly"]
    default = await asked.openai.embeddings.create(model="m", input=texts)
    raw = await asked.openai.embeddings.with_raw_response.create(model="m", input=texts, encoding_format="float")
    plain = CreateEmbeddingResponse.model_validate_json(raw.text)
    assert [entry.embedding for entry in plain.data] == [pytest.approx(entry.embedding) for entry in default.data]
    first, near, far = (entry.embedding for entry in plain.data)

    def cosine(other):
        return sum(a * b for a, b in zip(first, other, strict=True))

    assert cosine(first) == pytest.approx(1, abs=1e-5)
    assert cosine(near) > 0.7
    assert cosine(far) < 0.3
    short = await asked.openai.embeddings.create(model="m", input="a", dimensions=8)
    assert len(short.data[0].embedding) == 8


async def test_models_are_listed_and_others_unknown(ask):
    asked = await ask(models=("vendor/small", "large"))
    listed = [Model.model_validate(model.to_dict()).id async for model in asked.openai.models.list()]
    assert listed == ["vendor/small", "large"]
    assert (await asked.openai.models.retrieve("vendor/small")).id == "vendor/small"
    with pytest.raises(openai.NotFoundError) as caught:
        await asked.chat("Hi")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        await asked.openai.models.retrieve("m")


# --- Anthropic ------------------------------------------------------------------------------------------------------


async def test_plain_message_is_schema_correct_and_counts_as_count_tokens_does(ask):
    asked = await ask("anthropic")
    raw = await asked.anthropic.messages.with_raw_response.create(
        model="m", max_tokens=100, messages=user("[[echo: Hello you]]"), system="Be kind."
    )
    answer = Message.model_validate_json(await raw.text())
    assert (answer.content[0].text, answer.stop_reason) == ("Hello you", "end_turn")
    counted = await asked.anthropic.messages.count_tokens(
        model="m", messages=user("[[echo: Hello you]]"), system="Be kind."
    )
    assert MessageTokensCount.model_validate(counted.to_dict()).input_tokens == answer.usage.input_tokens == 7
    assert raw.headers["request-id"].startswith("req_")
    assert (await asked.stats())["calls"] == 1


async def test_message_stream_has_the_order_of_events(ask):
    asked = await ask("anthropic")
    adapter = TypeAdapter(RawMessageStreamEvent)
    events = [
        adapter.validate_python(event.to_dict()) async for event in await asked.message("[[tokens: 3]]", stream=True)
    ]
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[-2].usage.output_tokens == 3
    whole = await asked.message("[[tokens: 3]]")
    assert "".join(event.delta.text for event in events[2:5]) == whole.content[0].text


async def test_message_stream_frames_name_their_event_and_ping(ask):
    asked = await ask("anthropic")
    body = {"model": "m", "max_tokens": 9, "messages": user("Hi"), "stream": True}
    headers = {"anthropic-version": "2026-10-21"}
    async with asked.http.post("/v1/messages", json=body, headers=headers) as response:
        text = await response.text()
    named = re.findall(r'^event: (\w+)\ndata: {"type":"(\w+)"', text, re.MULTILINE)
    assert named
    assert all(event == kind for event, kind in named)
    assert ("ping", "ping") in named
    assert "[DONE]" not in text


async def test_message_tool_use_plain_and_through_the_stream_accumulator(ask):
    asked = await ask("anthropic")
    order = '[[tool: add {"a": 1, "b": {"c": [2]}}]]'
    plain = await asked.message(order)
    assert plain.stop_reason == "tool_use"
    assert (plain.content[0].name, plain.content[0].input) == ("add", {"a": 1, "b": {"c": [2]}})
    async with asked.anthropic.messages.stream(model="m", max_tokens=50, messages=user(order)) as stream:
        final = await stream.get_final_message()
    assert (final.content[0].name, final.content[0].input) == ("add", {"a": 1, "b": {"c": [2]}})
    assert final.usage.output_tokens == plain.usage.output_tokens


async def test_a_tool_result_is_answered_with_text(ask):
    asked = await ask("anthropic")
    tools = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"const": "Oslo"}}}}]
    messages = user("How is it?")
    more = {"model": "m", "max_tokens": 100, "tools": tools}
    first = await asked.anthropic.messages.create(messages=messages, tool_choice={"type": "any"}, **more)
    assert first.content[0].input == {"city": "Oslo"}
    result = {"type": "tool_result", "tool_use_id": first.content[0].id, "content": "rain"}
    messages += [{"role": "assistant", "content": [first.content[0].to_dict()]}, {"role": "user", "content": [result]}]
    second = await asked.anthropic.messages.create(messages=messages, **more)
    assert second.content[0].text == "The tool answered: rain"


async def test_message_stop_reasons(ask):
    asked = await ask("anthropic")
    stopped = await asked.message("[[echo: one two three]]", stop_sequences=["three", " two"])
    assert (stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text) == ("stop_sequence", " two", "one")
    short = await asked.message("[[tokens: 50]]", max_tokens=4)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 4)


async def test_anthropic_models_and_unknown_model(ask):
    asked = await ask("anthropic", models=("small",))
    listed = [ModelInfo.model_validate(model.to_dict()).id async for model in asked.anthropic.models.list()]
    assert listed == ["small"]
    with pytest.raises(anthropic.NotFoundError) as caught:
        await asked.message("Hi")
    assert caught.value.body["error"]["type"] == "not_found_error"


# --- refusals -------------------------------------------------------------------------------------------------------


async def test_a_wrong_key_is_401_in_both_envelopes(ask):
    asked = await ask(api_key="right", key="wrong")
    with pytest.raises(openai.AuthenticationError) as caught:
        await asked.chat("Hi")
    assert caught.value.code == "invalid_api_key"
    other = await ask("anthropic", api_key="right", key="wrong")
    with pytest.raises(anthropic.AuthenticationError) as denied:
        await other.message("Hi")
    assert denied.value.body["error"]["type"] == "authentication_error"


async def test_the_right_key_is_let_in_by_every_header_the_vendors_take(ask):
    asked = await ask(api_key="right", key="right")
    assert (await asked.chat("[[echo: in]]")).choices[0].message.content == "in"
    other = await ask("anthropic", api_key="right", key="right")
    assert (await other.message("[[echo: in]]")).content[0].text == "in"
    body = {"model": "m", "max_tokens": 9, "messages": user("Hi")}
    headers = {"anthropic-version": "2023-06-01", "x-api-key": "right"}
    assert (await other.post("/v1/messages", body, headers))[0] == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        ({}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": [{"role": "boss", "content": "x"}]}, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user"}]}, "messages[0].content"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"),
        ({"model": "m", "messages": user("x"), "max_tokens": "7"}, "max_tokens"),
        ({"model": "m", "messages": user("x"), "n": 0}, "n"),
        ({"model": "m", "messages": user("x"), "stream": "yes"}, "stream"),
        ({"model": "m", "messages": user("x"), "temperature": 3}, "temperature"),
        ({"model": "m", "messages": user("x"), "stop": list("abcde")}, "stop"),
        ({"model": "m", "messages": user("x"), "tool_choice": "required"}, "tool_choice"),
        ({"model": "m", "messages": user("[[error: x]]")}, None),
    ],
)
async def test_unusable_chat_requests_are_400_and_name_the_field(ask, body, param):
    asked = await ask()
    status, answer, headers = await asked.post("/v1/chat/completions", body)
    assert status == 400
    assert answer["error"].keys() == {"message", "type", "param", "code"}
    assert (answer["error"]["type"], answer["error"]["param"]) == ("invalid_request_error", param)
    assert headers["x-request-id"]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/responses", {"model": "m"}, "input"),
        ("/v1/responses", {"model": "m", "input": "x", "background": True}, "background"),
        ("/v1/completions", {"model": "m"}, "prompt"),
        ("/v1/embeddings", {"model": "m", "input": []}, "input"),
        ("/v1/embeddings", {"model": "m", "input": "x", "encoding_format": "hex"}, "encoding_format"),
    ],
)
async def test_unusable_requests_elsewhere_are_400(ask, path, body, param):
    status, answer, _ = await (await ask()).post(path, body)
    assert (status, answer["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("change", "version"),
    [
        ({"max_tokens": None}, "2026-10-21"),
        ({"max_tokens": 0}, "2026-10-21"),
        ({"messages": []}, "2026-10-21"),
        ({"messages": [{"role": "user", "content": ""}]}, "2026-10-21"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "2026-10-21"),
        ({"temperature": 0.5}, "2026-10-21"),
        ({"tool_choice": {"type": "tool", "name": "f"}}, "2026-10-21"),
        ({}, ""),
    ],
)
async def test_unusable_messages_are_400_in_the_anthropic_envelope(ask, change, version):
    asked = await ask("anthropic")
    body = {"model": "m", "max_tokens": 9, "messages": user("x")} | change
    status, answer, headers = await asked.post("/v1/messages", body, {"anthropic-version": version})
    assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    assert answer["request_id"] == headers["request-id"]


async def test_older_anthropic_versions_still_take_a_temperature(ask):
    body = {"model": "m", "max_tokens": 9, "messages": user("x"), "temperature": 0.5}
    status, _, _ = await (await ask("anthropic")).post("/v1/messages", body, {"anthropic-version": "2023-06-01"})
    assert status == 200


async def test_unknown_paths_and_methods_answer_in_the_envelope(ask):
    asked = await ask()
    status, answer, _ = await asked.post("/v1/nothing", {})
    assert (status, answer["error"]["code"]) == (404, "unknown_url")
    async with asked.http.get("/v1/chat/completions") as response:
        assert response.status == 404
        assert (await response.json())["error"]["code"] == "unknown_url"


# --- limits ---------------------------------------------------------------------------------------------------------


async def test_openai_429_carries_the_vendors_headers(ask):
    asked = await ask(requests_per_minute=1, tokens_per_minute=1_000)
    raw = await asked.openai.chat.completions.with_raw_response.create(model="m", messages=user("Hi"), max_tokens=99)
    assert raw.headers["x-ratelimit-limit-requests"] == "1"
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    assert raw.headers["x-ratelimit-remaining-tokens"] == "900"
    assert re.fullmatch(r"(\d+m)?[\d.]+m?s", raw.headers["x-ratelimit-reset-tokens"])
    with pytest.raises(openai.RateLimitError) as caught:
        await asked.chat("Hi")
    headers = caught.value.response.headers
    assert caught.value.code == "rate_limit_exceeded"
    assert 0 < int(headers["retry-after-ms"]) <= 60_000
    assert int(headers["retry-after"]) * 1000 >= int(headers["retry-after-ms"])
    assert (await asked.stats())["rate_limited"] == 1


async def test_anthropic_429_carries_the_vendors_headers(ask):
    asked = await ask("anthropic", requests_per_minute=1, tokens_per_minute=1_000)
    raw = await asked.anthropic.messages.with_raw_response.create(model="m", messages=user("Hi"), max_tokens=99)
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert raw.headers["anthropic-ratelimit-tokens-limit"] == "1000"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", raw.headers["anthropic-ratelimit-tokens-reset"])
    with pytest.raises(anthropic.RateLimitError) as caught:
        await asked.message("Hi")
    assert caught.value.body["error"]["type"] == "rate_limit_error"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60


async def test_the_sdks_own_retry_gets_through_after_the_announced_wait(ask):
    asked = await ask(requests_per_minute=600, burst_seconds=0.1)
    client = asked.openai.with_options(max_retries=5)
    for _ in range(4):
        await client.chat.completions.create(model="m", messages=user("Hi"))
    stats = await asked.stats()
    assert stats["succeeded"] == 4
    assert stats["calls"] == 4 + stats["rate_limited"] > 4


async def test_actual_charging_follows_the_real_answer(ask):
    asked = await ask(tokens_per_minute=100, charge="actual")
    first = await asked.chat("[[tokens: 200]]", max_tokens=5_000)
    assert first.usage.completion_tokens == 200
    with pytest.raises(openai.RateLimitError):
        await asked.chat("Hi")


async def test_a_request_that_never_fits_gets_no_promise(ask):
    asked = await ask(tokens_per_minute=100)
    with pytest.raises(openai.RateLimitError, match="Request too large") as caught:
        await asked.chat("Hi", max_tokens=5_000)
    assert "retry-after" not in caught.value.response.headers


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "error"), [(500, openai.InternalServerError), (429, openai.RateLimitError)])
async def test_ordered_errors_always_fail(ask, status, error):
    asked = await ask()
    for _ in range(2):
        with pytest.raises(error):
            await asked.chat(f"[[error: {status}]]")


async def test_fail_k_fails_exactly_k_times_for_that_request_alone(ask):
    asked = await ask()
    for prompt in ("[[fail: 2 503]] a", "[[fail: 2 503]] b"):
        for _ in range(2):
            with pytest.raises(openai.InternalServerError) as caught:
                await asked.chat(prompt)
            assert caught.value.status_code == 503
        await asked.chat(prompt)
    stats = await asked.stats("?detail=1")
    assert [(r["calls"], r["succeeded"]) for r in stats["requests"].values()] == [(3, 1), (3, 1)]
    assert stats["by_status"] == {"503": 4, "200": 2}


@pytest.mark.parametrize("order", ["[[reset]]", "[[cut]] [[tokens: 50]]"])
async def test_a_broken_connection_is_seen_as_one(ask, order):
    asked = await ask()
    with pytest.raises(openai.APIConnectionError):
        await asked.chat(order)
    assert (await asked.stats())["succeeded"] == 0


@pytest.mark.parametrize("wire_format", ["openai", "anthropic"])
async def test_a_cut_stream_shows_half_and_no_end(ask, wire_format):
    asked = await ask(wire_format)
    body = {"model": "m", "max_tokens": 500, "messages": user("[[cut]] [[tokens: 40]]"), "stream": True}
    path = "/v1/chat/completions" if wire_format == "openai" else "/v1/messages"
    # A bare socket: HTTP clients may drop what they have when the end is missing.
    data = orjson.dumps(body)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(asked.url.rpartition(":")[2]))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nanthropic-version: 2026-10-21\r\nContent-Length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    seen = await reader.read(-1)
    writer.close()
    assert b"Transfer-Encoding: chunked" in seen
    assert not seen.endswith(b"0\r\n\r\n")
    deltas = seen.count(b'"content":"') - 1 if wire_format == "openai" else seen.count(b"text_delta")
    assert deltas == 20
    assert b"[DONE]" not in seen
    assert b"message_stop" not in seen
    assert b'"finish_reason":"' not in seen


async def test_an_error_frame_in_a_stream_raises_in_both_sdks(ask):
    asked = await ask()
    with pytest.raises(openai.APIError):
        _ = [chunk async for chunk in await asked.chat("[[error-frame]] [[tokens: 9]]", stream=True)]
    stream = await asked.openai.responses.create(model="m", input="[[error-frame]] [[tokens: 9]]", stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "error"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    other = await ask("anthropic")
    with pytest.raises(anthropic.APIStatusError):
        _ = [event async for event in await other.message("[[error-frame]] [[tokens: 9]]", stream=True)]


@pytest.mark.parametrize(("order", "stream"), [("[[hang]]", False), ("[[stall]] [[tokens: 9]]", True)])
async def test_a_silent_provider_times_out_and_the_client_that_left_is_noticed(ask, order, stream):
    asked = await ask()
    impatient = asked.openai.with_options(timeout=0.2)

    async def listen() -> None:
        answer = await impatient.chat.completions.create(model="m", messages=user(order), stream=stream)
        _ = [chunk async for chunk in answer]

    with pytest.raises(openai.APITimeoutError):
        await listen()
    for _ in range(100):
        stats = await asked.stats()
        if stats["in_flight"] == 0:
            break
        await asyncio.sleep(0.02)
    assert (stats["in_flight"], stats["abandoned"], stats["succeeded"]) == (0, 1, 0)


async def test_random_faults_are_the_same_for_the_same_seed(ask):
    async def outcomes(seed: int) -> list[int]:
        asked = await ask(error_rate=0.2, overload_rate=0.2, seed=seed)
        bodies = [{"model": "m", "messages": user(f"prompt {number}")} for number in range(60)]
        return [(await asked.post("/v1/chat/completions", body))[0] for body in bodies]

    first = await outcomes(1)
    assert first == await outcomes(1) != await outcomes(2)
    assert set(first) == {200, 500, 503}


async def test_overload_is_529_at_anthropic(ask):
    asked = await ask("anthropic", overload_rate=1)
    with pytest.raises(anthropic.APIStatusError) as caught:
        await asked.message("Hi")
    assert caught.value.status_code == 529
    assert caught.value.body["error"]["type"] == "overloaded_error"


async def test_an_outage_is_switched_on_and_off_at_run_time(ask):
    asked = await ask()
    assert (await asked.post("/_sim/faults", {"outage": True}))[1]["outage"] == "status"
    with pytest.raises(openai.InternalServerError):
        await asked.chat("Hi")
    await asked.post("/_sim/faults", {"outage": "reset"})
    with pytest.raises(openai.APIConnectionError):
        await asked.chat("Hi")
    await asked.post("/_sim/faults", {"outage": False})
    await asked.chat("Hi")
    stats = await asked.stats()
    assert (stats["calls"], stats["succeeded"], stats["by_fault"]) == (3, 1, {"outage": 2})


async def test_control_refuses_unknown_faults_and_reset_undoes_everything(ask):
    asked = await ask(requests_per_minute=1)
    status, answer, _ = await asked.post("/_sim/faults", {"eror_rate": 1})
    assert status == 400
    assert "eror_rate" in answer["error"]
    await asked.chat("Hi")
    await asked.post("/_sim/faults", {"error_rate": 1})
    await asked.post("/_sim/reset", {})
    assert (await asked.stats())["calls"] == 0
    await asked.chat("Hi")


# --- ledger, pace, process ------------------------------------------------------------------------------------------


async def test_the_ledger_tells_repeats_users_and_tokens(ask):
    asked = await ask(latency_ms=50)
    calls = [asked.chat("[[echo: twice]]", user="u") for _ in range(2)]
    await asyncio.gather(*calls, asked.chat("[[echo: once]]", extra_headers={"x-simulator-key": "job-1"}))
    stats = await asked.stats("?detail=1")
    assert (stats["calls"], stats["distinct_requests"], stats["repeated_requests"]) == (3, 2, 1)
    assert (stats["succeeded_twice"], stats["in_flight"], stats["in_flight_peak"]) == (1, 0, 3)
    assert (stats["by_user"], stats["by_key"], stats["by_model"]) == ({"u": 2}, {"job-1": 1}, {"m": 3})
    assert stats["output_tokens"] == 5
    assert {r["prompt"]: r["calls"] for r in stats["requests"].values()} == {"[[echo: twice]]": 2, "[[echo: once]]": 1}


async def test_a_paced_stream_arrives_in_pieces_and_whole(ask):
    asked = await ask(tokens_per_second=200, time_to_first_token_ms=5)
    body = {"model": "m", "messages": user("[[tokens: 10]]"), "stream": True}
    async with asked.http.post("/v1/chat/completions", json=body) as response:
        pieces = [piece async for piece, _ in response.content.iter_chunks()]
    assert len(pieces) > 3
    assert b"".join(pieces).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_prints_its_address_and_stops_cleanly(number):
    code = "from simulator.options import SimulatorOptions as O; from simulator.server import run; run(O())"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        line = process.stdout.readline()
        assert re.fullmatch(r"listening on http://127\.0\.0\.1:\d+\n", line)
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, output, errors) == (0, "", "")
