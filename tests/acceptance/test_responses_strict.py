"""Every object and event of responses, validated by the SDK's own models; what is echoed, listed and replayed."""

import base64
import json
import time
from typing import Any

import openai
import pytest
from acceptance.conftest import OTHER_KEY, Stack
from openai.types.responses import Response

TOOL: Any = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
SCHEMA: Any = {
    "type": "json_schema",
    "name": "place",
    "schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
HARD = 'e\u0301 👩‍🚀🏳️‍🌈 漢字 שלום \u2028\u2029\u0085 "quoted" \\ back 𝄞'


@pytest.fixture
def strict(stack: Stack) -> openai.OpenAI:
    return stack.client(_strict_response_validation=True)


def wait(client: openai.OpenAI, response_id: str) -> Response:
    deadline = time.monotonic() + 60
    while (response := client.responses.retrieve(response_id)).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return response


def numbered(events: Any) -> list[tuple[int, str]]:
    return [(event.sequence_number, event.model_dump_json()) for event in events]


@pytest.mark.parametrize("model", ["fast", "claude", "thinker"])
def test_foreground_background_and_streams(strict: openai.OpenAI, model: str):
    asked: Any = {"model": model, "input": f"[[echo: {HARD}]]", "instructions": "Be brief."}
    foreground = strict.responses.create(**asked)
    background = wait(strict, strict.responses.create(**asked, background=True).id)
    live = list(strict.responses.create(**asked, background=True, stream=True))
    with strict.responses.stream(**asked) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert live[-1].type == events[-1].type == "response.completed"
    for response in (foreground, background, live[-1].response, final):
        assert (response.status, response.output_text) == ("completed", HARD)
        assert response.usage
        assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    deltas = "".join(event.delta for event in live if event.type == "response.output_text.delta")
    assert deltas == HARD
    assert strict.responses.retrieve(live[-1].response.id) == live[-1].response


def test_tools_thoughts_and_limits(strict: openai.OpenAI):
    prompt = '[[tool: f {"x": "é👩‍🚀"}]]'
    thinking: Any = {"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"]}
    live = list(
        strict.responses.create(model="thinker", input=prompt, tools=[TOOL], background=True, stream=True, **thinking)
    )
    final = live[-1]
    assert final.type == "response.completed"
    thought, call = final.response.output
    assert thought.type == "reasoning"
    assert thought.encrypted_content
    assert call.type == "function_call"
    assert call.arguments == "".join(e.delta for e in live if e.type == "response.function_call_arguments.delta")
    assert [t.type for t in final.response.tools] == ["function"]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
    sent_back: Any = [{"role": "user", "content": "hi"}, *(item.to_dict() for item in final.response.output), result]
    again = strict.responses.create(model="thinker", input=sent_back, tools=[TOOL], store=False, **thinking)
    assert again.status == "completed"
    unsealed = strict.responses.create(model="thinker", input="hi", reasoning={"effort": "low", "summary": "auto"})
    assert unsealed.output[0].type == "reasoning"
    assert unsealed.output[0].encrypted_content is None
    cut = list(strict.responses.create(model="fast", input="[[tokens: 60]]", max_output_tokens=5, stream=True))[-1]
    assert cut.type == "response.incomplete"
    assert cut.response.incomplete_details
    assert cut.response.incomplete_details.reason == "max_output_tokens"


def test_logprobs(strict: openai.OpenAI):
    asked: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 2, "input": "[[echo: one two]]"}
    live = list(strict.responses.create(model="thinker", background=True, stream=True, **asked))
    final = live[-1]
    assert final.type == "response.completed"
    part = final.response.output[0].content[0]  # type: ignore[union-attr,index]
    assert part.type == "output_text"
    tokens = part.logprobs or []
    assert "".join(entry.token for entry in tokens) == "one two"
    assert {len(entry.top_logprobs) for entry in tokens} == {2}


def test_failures_are_of_the_closed_set(strict: openai.OpenAI):
    for order, code in (("400", "invalid_prompt"), ("401", "server_error")):
        stream = strict.responses.create(model="fast", input=f"[[error: {order}]]", background=True, stream=True)
        live = list(stream)
        last = live[-1]
        assert last.type == "response.failed"
        assert last.response.error
        assert last.response.error.code == code
        assert strict.responses.retrieve(last.response.id) == last.response
        assert numbered(strict.responses.retrieve(last.response.id, stream=True)) == numbered(live)


def test_everything_is_echoed(strict: openai.OpenAI):
    asked: Any = {
        "model": "fast", "input": "hi", "instructions": "Be brief.", "max_output_tokens": 50, "temperature": 0.5,
        "top_p": 0.9, "tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False, "metadata": {"a": "ü"},
        "store": True, "truncation": "auto", "user": "u", "text": {"format": SCHEMA, "verbosity": "low"},
        "prompt_cache_key": "k", "safety_identifier": "s", "background": True,
    }  # fmt: skip
    created = strict.responses.create(**asked)
    for response in (created, wait(strict, created.id)):
        shown = response.to_dict()
        assert {name: shown[name] for name in asked if name not in ("input", "tools")} == {
            name: value for name, value in asked.items() if name not in ("input", "tools")
        }
        assert shown["tools"] == [TOOL | {"description": None}]
        assert response.previous_response_id is None
    assert isinstance(json.loads(response.output_text)["city"], str)


def test_pictures_and_files(strict: openai.OpenAI, stack: Stack):
    data = base64.b64encode(b"%PDF-1.4 x").decode()
    content: Any = [
        {"type": "input_text", "text": "[look]"},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{data}"},
    ]
    response = strict.responses.create(model="mirror", input=[{"role": "user", "content": content}])
    assert stack.mirror.told("[look]")["messages"][0]["content"] == [
        {"type": "text", "text": "[look]"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{data}"}},
    ]
    (item,) = strict.responses.input_items.list(response.id)
    assert [part.type for part in item.content] == ["input_text", "input_image", "input_file"]  # type: ignore[union-attr]


def test_input_items_are_paged(strict: openai.OpenAI, stack: Stack):
    asked: Any = [{"role": "user", "content": f"number {n}"} for n in range(45)]
    asked[1:1] = [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
        {"role": "assistant", "content": "t"},
    ]
    response = strict.responses.create(model="mirror", input=asked)
    oldest = list(strict.responses.input_items.list(response.id, order="asc", limit=7))
    newest = list(strict.responses.input_items.list(response.id, limit=100))
    assert newest == oldest[::-1]
    assert len({item.id for item in oldest}) == len(asked)
    page = strict.responses.input_items.list(response.id)
    assert (len(page.data), page.has_more, page.last_id) == (20, True, page.data[-1].id)
    assert strict.responses.input_items.list(response.id, after=oldest[0].id).data == []  # type: ignore[arg-type]
    for query, param in (("limit=0", "limit"), ("limit=101", "limit"), ("order=up", "order"), ("after=x", "after")):
        status, body = stack.call("GET", f"/v1/responses/{response.id}/input_items?{query}")
        assert (status, body["error"]["param"]) == (400, param)
    with pytest.raises(openai.NotFoundError):
        stack.client(OTHER_KEY).responses.input_items.list(response.id)


def test_a_stream_can_be_resumed_from_every_number(strict: openai.OpenAI):
    """While it goes on and after its end; also one that was created without `stream`, and one that was cancelled."""
    started = strict.responses.create(model="fast", input=f"[[echo: {HARD} {HARD}]]", background=True)
    live = numbered(strict.responses.retrieve(started.id, stream=True))
    for after in range(len(live) + 1):
        assert numbered(strict.responses.retrieve(started.id, stream=True, starting_after=after)) == live[after + 1 :]
    stream = strict.responses.create(model="fast", input="[[tokens: 4000]]", background=True, stream=True)
    seen = []
    for event in stream:
        seen.append((event.sequence_number, event.model_dump_json()))
        if len(seen) == 20:
            break
    stream.close()
    response_id = json.loads(seen[0][1])["response"]["id"]
    strict.responses.cancel(response_id)
    whole = numbered(strict.responses.retrieve(response_id, stream=True))
    assert whole[: len(seen)] == seen
    assert numbered(strict.responses.retrieve(response_id, stream=True, starting_after=19)) == whole[20:]


def test_a_character_that_a_provider_sends_in_halves(strict: openai.OpenAI):
    live = list(strict.responses.create(model="mirror", input="HALVES", background=True, stream=True))
    assert "".join(event.delta for event in live if event.type == "response.output_text.delta") == "ok👩"
    final = live[-1]
    assert final.type == "response.completed"
    assert final.response.output_text == "ok👩"
    assert numbered(strict.responses.retrieve(final.response.id, stream=True)) == numbered(live)


def test_what_is_not_stored(strict: openai.OpenAI, stack: Stack):
    background = wait(strict, strict.responses.create(model="fast", input="hi", background=True, store=False).id)
    assert (background.status, background.to_dict()["store"]) == ("completed", False)
    events = list(strict.responses.create(model="fast", input="hi", store=False, stream=True))
    first = events[0]
    assert first.type == "response.created"
    for method, path in (("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("DELETE", "")):
        assert stack.call(method, f"/v1/responses/{first.response.id}{path}")[0] == 404
    assert stack.call("GET", "/v1/jobs/job_" + first.response.id.removeprefix("resp_"))[0] == 404


def test_deleting(strict: openai.OpenAI, stack: Stack):
    ended = strict.responses.create(model="fast", input="hi")
    assert stack.call("DELETE", f"/v1/responses/{ended.id}") == (
        200,
        {"id": ended.id, "object": "response", "deleted": True},
    )
    running = strict.responses.create(model="fast", input="[[tokens: 20000]] delete me", background=True)
    while strict.responses.retrieve(running.id).status != "in_progress":
        time.sleep(0.05)
    strict.responses.delete(running.id)
    for gone in (ended.id, running.id):
        for method, path in (("GET", ""), ("GET", "?stream=true"), ("GET", "/input_items"), ("POST", "/cancel")):
            assert stack.call(method, f"/v1/responses/{gone}{path}")[0] == 404
        assert stack.call("DELETE", f"/v1/responses/{gone}")[0] == 404
    deadline = time.monotonic() + 60
    while stack.openai_wire.stats()["in_flight"]:
        assert time.monotonic() < deadline, "the provider is still generating"
        time.sleep(0.1)


def test_cancelling_before_while_and_after(strict: openai.OpenAI):
    """Whoever is first decides, and nothing changes after that."""
    for moment in range(8):
        response = strict.responses.create(model="fast", input="[[tokens: 8]]", background=True)
        time.sleep(moment * 0.02)
        cancelled = strict.responses.cancel(response.id)
        assert cancelled.status in ("cancelled", "completed")
        assert strict.responses.cancel(response.id) == cancelled == strict.responses.retrieve(response.id)


def test_the_tokens_of_an_input_are_counted(strict: openai.OpenAI, stack: Stack):
    """An estimate, of everything that is told: instructions, tools and what the input continues."""
    short = strict.responses.input_tokens.count(model="fast", input="hi")
    assert (short.object, short.input_tokens) == ("response.input_tokens", 5)
    more: list[dict[str, Any]] = [
        {"instructions": "Be brief, and friendly."},
        {"tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}]},
        {"previous_response_id": strict.responses.create(model="fast", input="A longer question than this?").id},
        {"input": "word " * 10_000},  # what no model here can hold is counted all the same
    ]
    for fields in more:
        counted = strict.responses.input_tokens.count(**{"model": "fast", "input": "hi"} | fields)
        assert counted.input_tokens > short.input_tokens
    for body, status, param in (
        ({"model": "fast"}, 400, "input"),
        ({"model": "nope", "input": "x"}, 404, "model"),
        ({"model": "fast", "input": "x", "previous_response_id": "resp_1"}, 400, "previous_response_id"),
    ):
        found, answer = stack.call("POST", "/v1/responses/input_tokens", body)
        assert (found, answer["error"]["param"]) == (status, param)


def test_what_is_not_offered(stack: Stack):
    """inspect-ai falls back on exactly this."""
    status, body = stack.call("POST", "/v1/responses/compact", {"model": "fast", "input": "x"})
    assert status in (404, 405)
    assert body["error"]["message"]
