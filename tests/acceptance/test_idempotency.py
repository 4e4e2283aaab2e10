"""`Idempotency-Key`: a request that is sent again makes nothing new, also when both come at once."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from acceptance.conftest import OTHER_KEY, Stack

LINE = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "fast", "input": "x"}}\n'


def with_key(key: str) -> dict[str, Any]:
    return {"extra_headers": {"Idempotency-Key": key}}


@pytest.fixture
def key() -> str:
    return f"key-{uuid.uuid4()}"


def test_a_response_is_made_once(client: openai.OpenAI, stack: Stack, key: str):
    asked: Any = {"model": "fast", "input": "[[echo: once]]", "background": True}
    first = client.responses.create(**asked, **with_key(key))
    again = client.responses.create(**asked, **with_key(key))
    assert first.id == again.id
    events = list(client.responses.create(**asked, stream=False, extra_headers={"idempotency-key": key + "s"}).output)
    assert events == []
    assert client.responses.create(**asked).id != first.id, "without the header every request is new"
    assert stack.client(OTHER_KEY).responses.create(**asked, **with_key(key)).id != first.id, "another tenant's key"
    with pytest.raises(openai.ConflictError) as caught:
        client.responses.create(**asked | {"input": "other"}, **with_key(key))
    assert caught.value.code == "idempotency_conflict"
    assert caught.value.response.headers["x-should-retry"] == "false"
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(**asked, **with_key(key))


def test_a_stream_asked_for_twice_is_the_same_stream(client: openai.OpenAI, key: str):
    asked: Any = {"model": "fast", "input": "[[echo: once more]]", "background": True, "stream": True}
    one, other = (list(client.responses.create(**asked, **with_key(key))) for _ in range(2))
    assert [event.to_json() for event in one] == [event.to_json() for event in other]


def test_many_at_once_make_one(stack: Stack, key: str):
    body = {"model": "fast", "messages": [{"role": "user", "content": "[[echo: one]]"}]}
    with ThreadPoolExecutor(12) as threads:
        calls = [threads.submit(stack.call, "POST", "/v1/jobs", body, **{"idempotency-key": key}) for _ in range(12)]
        answers = [call.result() for call in calls]
    assert {status for status, _ in answers} == {202}
    assert len({answer["id"] for _, answer in answers}) == 1
    assert stack.call("POST", "/v1/jobs", body | {"seed": 1}, **{"idempotency-key": key})[0] == 409


def test_files_and_batches_are_made_once(client: openai.OpenAI, stack: Stack, key: str):
    files = [client.files.create(file=("a.jsonl", LINE), purpose="batch", **with_key(key)) for _ in range(2)]
    assert files[0] == files[1]
    for other in (("a.jsonl", LINE + LINE), ("b.jsonl", LINE)):
        with pytest.raises(openai.ConflictError):
            client.files.create(file=other, purpose="batch", **with_key(key))
    assert client.files.content(files[0].id).read() == LINE
    asked: Any = {"input_file_id": files[0].id, "endpoint": "/v1/responses", "completion_window": "24h"}
    batches = [client.batches.create(**asked, **with_key(key)) for _ in range(2)]
    assert batches[0].id == batches[1].id
    assert stack.call("POST", "/v1/batches", asked | {"metadata": {"a": "b"}}, **{"idempotency-key": key})[0] == 409
    with ThreadPoolExecutor(6) as threads:
        calls = [
            threads.submit(client.files.create, file=("c", LINE), purpose="batch", **with_key(key + "c"))
            for _ in range(6)
        ]
        assert len({call.result().id for call in calls}) == 1


def test_message_batches_are_made_once(stack: Stack, key: str):
    params = {"model": "fast", "max_tokens": 20, "messages": [{"role": "user", "content": "[[echo: one]]"}]}
    body = {"requests": [{"custom_id": "a", "params": params}]}
    with ThreadPoolExecutor(6) as threads:
        asked = ("POST", "/v1/messages/batches", body)
        calls = [threads.submit(stack.call, *asked, **{"idempotency-key": key}) for _ in range(6)]
        answers = [call.result() for call in calls]
    assert {status for status, _ in answers} == {200}
    assert len({answer["id"] for _, answer in answers}) == 1
    other = {"requests": [{"custom_id": "b", "params": params}]}
    assert stack.call("POST", "/v1/messages/batches", other, **{"idempotency-key": key})[0] == 409
    assert stack.call(*asked)[1]["id"] != answers[0][1]["id"]


def test_a_request_that_was_refused_is_not_remembered(client: openai.OpenAI, key: str):
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="nope", input="x", background=True, **with_key(key))
    assert client.responses.create(model="fast", input="x", background=True, **with_key(key)).id


def test_a_key_that_cannot_be_kept_is_refused(stack: Stack):
    body = {"model": "fast", "input": "x", "background": True}
    status, answer = stack.call("POST", "/v1/responses", body, **{"idempotency-key": "k" * 256})
    assert (status, answer["error"]["param"]) == (400, "Idempotency-Key")
