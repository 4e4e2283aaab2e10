"""What evaluation harnesses put on the wire, replayed as they put it, and read as they read it.

The bodies are those of the harnesses that docs/harnesses.md names; none of them is needed here. Answers are validated
by the SDKs' own models, as some of the harnesses do.
"""

import json
import time
from typing import Any

import httpx
import pytest
from acceptance.conftest import KEY, Stack
from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from openai.types import Batch, FileObject
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

QUESTION = "What is 2 + 2?"
ANSWER = "2 + 2 = 4\n#### 4"
CHAT_MODELS = ["fast", "claude", "thinker"]
#: inspect-ai marks each of its requests, and may name one of the vendor's betas
INSPECT: dict[str, str] = {"x-irid": "Zqv2mPk8", "anthropic-beta": "interleaved-thinking-2025-05-14"}
CACHED = {"type": "ephemeral"}
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
MESSAGE_EVENTS: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def inspect_response(model: str, **more: Any) -> dict[str, Any]:
    """inspect-ai `openai/<name>`, of a name it does not know; its older versions ask with `include: []`."""
    developer = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]}
    user = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]}
    reasoning = {"include": ["reasoning.encrypted_content"], "reasoning": {"summary": "auto"}}
    return {"model": model, "input": [developer, user], "store": False} | reasoning | more


def inspect_message(**more: Any) -> dict[str, Any]:
    """inspect-ai `anthropic/<name>`."""
    return {
        "model": "claude",
        "max_tokens": 32000,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": CACHED}],
        "messages": [{"role": "user", "content": QUESTION}],
        "cache_control": CACHED,
        "tools": [],
    } | more


@pytest.fixture
def wire(stack: Stack) -> Any:
    """A client that sends what it is given and nothing more, with the key as OpenAI's clients show it."""
    with httpx.Client(base_url=stack.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as found:
        yield found


def post(wire: httpx.Client, path: str, body: Any, **headers: str) -> Any:
    answer = wire.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def events(wire: httpx.Client, path: str, body: Any) -> list[tuple[str | None, Any]]:
    """The events of a stream: their names, and their data as read."""
    found: list[tuple[str | None, Any]] = []
    with wire.stream("POST", path, json=body, headers={"accept": "application/json"}) as answer:
        assert answer.status_code == 200
        name = None
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, value if value == "[DONE]" else json.loads(value)))
    return found


def until(wire: httpx.Client, path: str, ended: Any) -> Any:
    """Polls as the harnesses do, only more often."""
    deadline = time.monotonic() + 60
    while not ended(shown := wire.get(path).json()):
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
    return shown


@pytest.mark.parametrize("more", [{}, {"include": [], "reasoning": {}}], ids=["newer", "older"])
@pytest.mark.parametrize("model", CHAT_MODELS)
def test_inspect_response(wire: httpx.Client, model: str, more: dict[str, Any]):
    shown = post(wire, "/v1/responses", inspect_response(model, **more), **INSPECT)
    response = Response.model_validate(shown)
    assert (response.status, response.output_text, response.error) == ("completed", ANSWER, None)
    assert response.usage
    assert response.usage.total_tokens > 0


@pytest.mark.parametrize("model", CHAT_MODELS)
def test_inspect_asks_first_whether_thoughts_can_be_summarised(wire: httpx.Client, model: str):
    asked = {"model": model, "input": "Please say 'hello, world'", "reasoning": {"effort": "low", "summary": "auto"}}
    assert Response.model_validate(post(wire, "/v1/responses", asked)).status == "completed"


def test_inspect_background_is_polled_though_not_stored(wire: httpx.Client):
    created = Response.model_validate(post(wire, "/v1/responses", inspect_response("fast", background=True)))
    assert created.status in ("queued", "in_progress", "completed")
    path = f"/v1/responses/{created.id}"
    ended = Response.model_validate(until(wire, path, lambda r: r["status"] not in ("queued", "in_progress")))
    assert (ended.status, ended.output_text) == ("completed", ANSWER)


def test_inspect_cancels_its_background_response(wire: httpx.Client):
    slow = inspect_response("fast", background=True)
    slow["input"][1]["content"][0]["text"] = "[[tokens: 2000]]"
    created = post(wire, "/v1/responses", slow)
    cancelled = wire.post(f"/v1/responses/{created['id']}/cancel", headers={"content-type": "application/json"})
    assert cancelled.status_code == 200, cancelled.text
    path = f"/v1/responses/{created['id']}"
    assert until(wire, path, lambda r: r["status"] not in ("queued", "in_progress"))["status"] == "cancelled"


def test_inspect_response_stream_ends_with_the_whole_response(wire: httpx.Client):
    streamed = events(wire, "/v1/responses", inspect_response("fast", stream=True))
    assert all(name == data["type"] for name, data in streamed)
    found = [EVENTS.validate_python(data) for _, data in streamed]
    assert found[-1].type == "response.completed"
    assert found[-1].response.output_text == ANSWER


@pytest.mark.parametrize("role", ["developer", "system"])
@pytest.mark.parametrize("model", CHAT_MODELS)
def test_inspect_chat(wire: httpx.Client, model: str, role: str):
    body = {"model": model, "messages": [{"role": role, "content": "Be brief."}, {"role": "user", "content": QUESTION}]}
    completion = ChatCompletion.model_validate(post(wire, "/v1/chat/completions", body, **INSPECT))
    assert (completion.choices[0].message.content, completion.choices[0].finish_reason) == (ANSWER, "stop")
    streamed = events(wire, "/v1/chat/completions", body | {"stream": True, "stream_options": {"include_usage": True}})
    assert streamed.pop()[1] == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate(data) for _, data in streamed]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == ANSWER
    assert chunks[-1].usage
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize("endpoint", ["/v1/responses", "/v1/chat/completions"])
def test_inspect_batch(wire: httpx.Client, endpoint: str):
    chat = {"model": "fast", "messages": [{"role": "developer", "content": "é"}, {"role": "user", "content": QUESTION}]}
    body = inspect_response("fast") if endpoint == "/v1/responses" else chat
    lines = [{"custom_id": name, "method": "POST", "url": endpoint, "body": body} for name in ("Kd3x", "9ab")]
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    files = {"file": ("tmpk2x9w3_1.jsonl", text, "application/octet-stream")}
    sent = wire.post("/v1/files", data={"purpose": "batch"}, files=files)
    file = FileObject.model_validate(sent.json())
    made = {"completion_window": "24h", "endpoint": endpoint, "input_file_id": file.id}
    created = Batch.model_validate(post(wire, "/v1/batches", made))
    ended = ("completed", "failed", "expired", "cancelled")
    batch = Batch.model_validate(until(wire, f"/v1/batches/{created.id}", lambda b: b["status"] in ended))
    assert batch.request_counts
    assert batch.request_counts.to_dict() == {"total": 2, "completed": 2, "failed": 0}
    content = wire.get(f"/v1/files/{batch.output_file_id}/content", headers={"accept": "application/binary"}).content
    results = [json.loads(line) for line in content.decode().splitlines()]
    assert {result["custom_id"] for result in results} == {"Kd3x", "9ab"}
    for result in results:
        assert result["error"] is None
        answered = result["response"]["body"]
        if endpoint == "/v1/responses":
            assert Response.model_validate(answered).output_text == ANSWER
        else:
            assert ChatCompletion.model_validate(answered).choices[0].message.content == ANSWER


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_inspect_message_with_cache_marks_and_no_tools(stack: Stack, header: str):
    shown_key = {"x-api-key": KEY} if header == "x-api-key" else {"authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=stack.url, timeout=60, headers=shown_key) as wire:
        marked = [{"role": "user", "content": [{"type": "text", "text": QUESTION, "cache_control": CACHED}]}]
        plain = Message.model_validate(post(wire, "/v1/messages", inspect_message(messages=marked), **INSPECT))
        found = [data for _, data in events(wire, "/v1/messages", inspect_message(stream=True))]
    assert [(block.type, block.text) for block in plain.content if block.type == "text"] == [("text", ANSWER)]
    assert (plain.stop_reason, plain.model) == ("end_turn", "claude")
    Message.model_validate(found[0]["message"])
    for data in found:
        MESSAGE_EVENTS.validate_python(data)
    assert "".join(data["delta"]["text"] for data in found if data["type"] == "content_block_delta") == ANSWER
    assert found[-1]["type"] == "message_stop"


def test_inspect_message_batch(wire: httpx.Client):
    requests = [{"custom_id": name, "params": inspect_message()} for name in ("Kd3x", "9ab")]
    created = MessageBatch.model_validate(post(wire, "/v1/messages/batches", {"requests": requests}))
    path = f"/v1/messages/batches/{created.id}"
    batch = MessageBatch.model_validate(until(wire, path, lambda b: b["processing_status"] == "ended"))
    assert (batch.request_counts.succeeded, batch.request_counts.errored) == (2, 0)
    assert batch.results_url
    lines = wire.get(batch.results_url, headers={"accept": "application/binary"}).text.splitlines()
    results = [MessageBatchIndividualResponse.model_validate(json.loads(line)) for line in lines]
    assert {result.custom_id for result in results} == {"Kd3x", "9ab"}
    for result in results:
        assert result.result.type == "succeeded"
        assert [block.type for block in result.result.message.content] == ["text"]


LM_EVAL: dict[str, Any] = {
    "messages": [{"role": "user", "content": QUESTION}],
    "max_tokens": 64,
    "temperature": 0.0,
    "stop": ["\n\n", "Question:"],
    "seed": 1234,
}


@pytest.mark.parametrize("model", ["fast", "claude", "thinker"])
def test_lm_eval(wire: httpx.Client, model: str):
    shown = post(wire, "/v1/chat/completions", LM_EVAL | {"model": model}, accept="*/*")
    completion = ChatCompletion.model_validate(shown)
    assert [choice.message.content for choice in completion.choices] == [ANSWER]


def test_promptfoo(wire: httpx.Client, stack: Stack):
    chat = {"model": "fast", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 1024, "temperature": 0}
    browser = {"accept": "*/*", "accept-language": "*", "sec-fetch-mode": "cors", "x-promptfoo-version": "0.121.20"}
    completion = ChatCompletion.model_validate(post(wire, "/v1/chat/completions", chat, **browser))
    assert completion.choices[0].message.content == ANSWER
    text = {"format": {"type": "text"}}
    asked = {"model": "fast", "input": QUESTION, "max_output_tokens": 1024, "temperature": 0, "text": text}
    assert Response.model_validate(post(wire, "/v1/responses", asked, **browser)).output_text == ANSWER
    javascript = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "x-stainless-lang": "js"}
    message = {
        "model": "claude",
        "max_tokens": 1024,
        "messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}],
        "stream": False,
        "temperature": 0,
    }
    with httpx.Client(base_url=stack.url, timeout=60) as without_bearer:
        answered = Message.model_validate(post(without_bearer, "/v1/messages", message, **javascript))
    assert [(block.type, block.text) for block in answered.content if block.type == "text"] == [("text", ANSWER)]
