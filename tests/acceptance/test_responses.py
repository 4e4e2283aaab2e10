"""Responses through the unmodified openai SDK: background, streamed, resumed, cancelled, in the foreground."""

import json
import time

import openai
import pytest
from acceptance.conftest import OTHER_KEY, SECRET, Stack
from openai.types.responses import Response

LONG = "[[tokens: 60]] tell me"


def wait(client: openai.OpenAI, response_id: str, seconds: float = 60) -> Response:
    deadline = time.monotonic() + seconds
    while (response := client.responses.retrieve(response_id)).status in ("queued", "in_progress"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return response


def numbered(events) -> list[tuple[int, str]]:
    return [(event.sequence_number, event.model_dump_json()) for event in events]


def test_background_runs_without_its_client(client: openai.OpenAI, stack: Stack):
    response = client.responses.create(model="fast", input="[[echo: done in the background]]", background=True)
    assert response.status in ("queued", "in_progress")
    assert response.usage is None
    ended = wait(client, response.id)
    assert (ended.status, ended.output_text) == ("completed", "done in the background")
    assert ended.usage
    assert ended.usage.output_tokens > 0
    assert client.responses.retrieve(response.id) == ended, "a terminal object never changes"
    headers, body = stack.webhooks.wait_for(response.id)
    assert stack.client(webhook_secret=SECRET).webhooks.unwrap(body, headers).type == "response.completed"


@pytest.mark.parametrize("model", ["fast", "claude"])
def test_a_resumed_stream_equals_an_uninterrupted_one_from_every_number(client: openai.OpenAI, model: str):
    live = numbered(client.responses.create(model=model, input=LONG, background=True, stream=True))
    assert [number for number, _ in live] == list(range(len(live)))
    response_id = json.loads(live[0][1])["response"]["id"]
    assert numbered(client.responses.retrieve(response_id, stream=True)) == live
    for after in range(0, len(live) + 1, 7):
        assert numbered(client.responses.retrieve(response_id, stream=True, starting_after=after)) == live[after + 1 :]


def test_dropping_the_connection_half_way_and_resuming_loses_nothing(client: openai.OpenAI):
    stream = client.responses.create(model="fast", input=LONG, background=True, stream=True)
    first = []
    for event in stream:
        first.append((event.sequence_number, event.model_dump_json()))
        if len(first) == 12:
            break
    stream.close()
    response_id = json.loads(first[0][1])["response"]["id"]
    rest = numbered(client.responses.retrieve(response_id, stream=True, starting_after=first[-1][0]))
    assert first + rest == numbered(client.responses.retrieve(response_id, stream=True))
    final = json.loads(rest[-1][1])
    assert final["type"] == "response.completed"
    assert Response.model_validate(final["response"]).output_text == client.responses.retrieve(response_id).output_text


def test_deltas_arrive_as_they_are_made(client: openai.OpenAI):
    """A stream that was buffered to its end would show the job as completed at its first delta."""
    stream = client.responses.create(model="fast", input="[[tokens: 200]]", background=True, stream=True)
    response_id = ""
    for event in stream:
        if event.type == "response.created":
            response_id = event.response.id
        if event.type == "response.output_text.delta":
            assert client.responses.retrieve(response_id).status == "in_progress"
            break
    stream.close()
    client.responses.cancel(response_id)


def test_two_subscribers_and_a_late_one_see_the_same(client: openai.OpenAI):
    response = client.responses.create(model="fast", input=LONG, background=True)
    one = client.responses.retrieve(response.id, stream=True)
    other = client.responses.retrieve(response.id, stream=True)
    assert numbered(one) == numbered(other) == numbered(client.responses.retrieve(response.id, stream=True))


def test_cancel_ends_a_running_response_and_its_streams(client: openai.OpenAI, stack: Stack):
    stream = client.responses.create(model="fast", input="[[tokens: 4000]]", background=True, stream=True)
    events = iter(stream)
    response_id = next(events).response.id  # type: ignore[union-attr]
    for event in events:
        if event.type == "response.output_text.delta":
            break
    cancelled = client.responses.cancel(response_id)
    assert cancelled.status == "cancelled"
    assert [e.type for e in events if e.type.startswith("response.c") and "part" not in e.type] == []
    assert client.responses.cancel(response_id) == cancelled
    once, again = (numbered(client.responses.retrieve(response_id, stream=True)) for _ in range(2))
    assert once == again
    stack.webhooks.wait_for(response_id)


def test_cancel_of_a_finished_response_changes_nothing(client: openai.OpenAI):
    ended = wait(client, client.responses.create(model="fast", input="hi", background=True).id)
    assert client.responses.cancel(ended.id) == ended


def test_foreground(client: openai.OpenAI):
    response = client.responses.create(model="claude", input="[[echo: hello]]", instructions="Be brief.")
    assert (response.status, response.output_text, response.background) == ("completed", "hello", False)
    assert client.responses.retrieve(response.id) == response
    with pytest.raises(openai.BadRequestError):
        client.responses.cancel(response.id)
    kept_nowhere = client.responses.create(model="fast", input="hi", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(kept_nowhere.id)


def test_foreground_stream(client: openai.OpenAI):
    with client.responses.stream(model="fast", input="[[echo: one two three]]") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == "one two three"


def test_the_token_limit_makes_it_incomplete(client: openai.OpenAI):
    ended = wait(client, client.responses.create(model="fast", input=LONG, max_output_tokens=5, background=True).id)
    assert ended.status == "incomplete"
    assert ended.incomplete_details
    assert ended.incomplete_details.reason == "max_output_tokens"


def test_a_failure_is_told_on_the_stream_and_in_the_object(client: openai.OpenAI):
    kinds = [
        e.type for e in client.responses.create(model="fast", input="[[error: 400]]", background=True, stream=True)
    ]
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.failed"
    failed = wait(client, client.responses.create(model="fast", input="[[error: 400]]", background=True).id)
    assert failed.status == "failed"
    assert failed.error
    assert failed.error.code in ("server_error", "invalid_prompt", "rate_limit_exceeded")
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="fast", input="[[error: 400]]")


def test_tools(client: openai.OpenAI):
    tool = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": False}
    prompt = '[[tool: look_up {"city": "Bern"}]]'
    response = client.responses.create(model="claude", input=prompt, tools=[tool])  # type: ignore[list-item]
    call = response.output[0]
    assert call.type == "function_call"
    assert (call.name, json.loads(call.arguments)) == ("look_up", {"city": "Bern"})


def test_delete(client: openai.OpenAI):
    ended = wait(client, client.responses.create(model="fast", input="hi", background=True).id)
    client.responses.delete(ended.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(ended.id)


def test_bad_requests(client: openai.OpenAI, stack: Stack):
    with pytest.raises(openai.NotFoundError) as unknown:
        client.responses.create(model="nope", input="x", background=True)
    assert unknown.value.code == "model_not_found"
    for query in ("stream=true&starting_after=x", "stream=true&starting_after=-1"):
        response_id = client.responses.create(model="fast", input="x", background=True).id
        status, body = stack.call("GET", f"/v1/responses/{response_id}?{query}")
        assert (status, body["error"]["param"]) == (400, "starting_after")
    for wrong in ("resp_" + "0" * 32, "resp_..", "nonsense"):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(wrong)
    with pytest.raises(openai.NotFoundError):
        stack.client(OTHER_KEY).responses.retrieve(response_id)
    with pytest.raises(openai.BadRequestError) as long:
        client.responses.create(model="fast", input="word " * 20_000, background=True)
    assert long.value.code == "context_length_exceeded"
