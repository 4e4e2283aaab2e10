"""Chat completions, models, keys and errors, through the unmodified openai SDK and raw HTTP."""

import json
import time
import urllib.request

import openai
import pytest
from acceptance.conftest import KEY, Stack
from openai.types.chat import ChatCompletion

HI = [{"role": "user", "content": "[[echo: hello there]]"}]
MODELS = ["fast", "claude"]


@pytest.mark.parametrize("model", MODELS)
def test_plain(client: openai.OpenAI, model: str):
    answer = client.chat.completions.create(model=model, messages=HI)  # type: ignore[arg-type]
    ChatCompletion.model_validate(answer.model_dump())
    assert answer.choices[0].message.content == "hello there"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


@pytest.mark.parametrize("model", MODELS)
def test_streamed(client: openai.OpenAI, model: str):
    chunks = list(
        client.chat.completions.create(
            model=model,
            messages=HI,  # type: ignore[arg-type]
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "hello there"
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


@pytest.mark.parametrize("model", MODELS)
def test_a_tool_call_streamed(client: openai.OpenAI, model: str):
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    message = {"role": "user", "content": '[[tool: f {"x": 1}]]'}
    with client.chat.completions.stream(model=model, messages=[message], tools=[tool]) as stream:  # type: ignore[list-item]
        final = stream.get_final_completion()
    call = (final.choices[0].message.tool_calls or [])[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("f", {"x": 1})
    assert final.choices[0].finish_reason == "tool_calls"


def test_an_error_before_the_first_chunk_is_an_ordinary_one(client: openai.OpenAI):
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model="fast",
                messages=[{"role": "user", "content": "[[error: 400]]"}],
                stream=stream,
            )


def test_a_stream_cut_by_the_provider_does_not_look_whole(client: openai.OpenAI):
    stream = client.chat.completions.create(
        model="fast", messages=[{"role": "user", "content": "[[cut]] [[tokens: 50]]"}], stream=True
    )
    with pytest.raises(openai.APIError):
        list(stream)


def test_a_client_that_hangs_up_closes_the_call(stack: Stack):
    client = stack.client()
    stream = client.chat.completions.create(
        model="fast", messages=[{"role": "user", "content": "[[tokens: 20000]]"}], stream=True
    )
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 60
    while stack.openai_wire.stats()["in_flight"]:
        assert time.monotonic() < deadline, "the provider is still generating"
        time.sleep(0.1)


def test_models(client: openai.OpenAI):
    assert {model.id for model in client.models.list()} >= set(MODELS)
    assert client.models.retrieve("fast").owned_by == "sim-openai"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("a/b")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b"[1]", 400, None),
        ({"messages": HI}, 400, "model"),
        ({"model": "fast"}, 400, "messages"),
        ({"model": "fast", "messages": []}, 400, "messages"),
        ({"model": "fast", "messages": [{"role": "wizard", "content": "x"}]}, 400, "messages[0].role"),
        ({"model": "fast", "messages": HI, "temperature": "hot"}, 400, "temperature"),
        ({"model": "nope", "messages": HI}, 404, "model"),
        ({"model": "fast", "messages": [{"role": "user", "content": "word " * 20_000}]}, 400, "messages"),
    ],
)
def test_bad_input_is_named(stack: Stack, body: object, status: int, param: str | None):
    found, answer = stack.call("POST", "/v1/chat/completions", body)
    assert found == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["message"]
    assert answer["error"]["param"] == param


def test_keys(stack: Stack):
    for key in (None, "wrong-key"):
        status, body = stack.call("GET", "/v1/models", key=key)
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert "wrong-key" not in json.dumps(body)
    assert stack.call("GET", "/v1/models", key=None, **{"x-api-key": KEY})[0] == 200


def test_unknown_paths_and_methods_answer_in_the_envelope(stack: Stack):
    assert stack.call("GET", "/v1/nonsense")[1]["error"]["code"] == "unknown_url"
    status, body = stack.call("DELETE", "/v1/chat/completions")
    assert status == 405
    assert body["error"]["message"]


def test_every_response_has_a_request_id_of_its_own(stack: Stack):
    seen = set()
    for path in ("/healthz", "/v1/nonsense", "/v1/models"):
        try:
            with urllib.request.urlopen(stack.url + path, timeout=10) as answer:
                seen.add(answer.headers["x-request-id"])
        except urllib.error.HTTPError as error:
            seen.add(error.headers["x-request-id"])
    assert None not in seen
    assert len(seen) == 3


def test_ready_and_alive(stack: Stack):
    assert stack.call("GET", "/healthz", key=None) == (200, {"status": "ok"})
    status, body = stack.call("GET", "/readyz", key=None)
    assert (status, set(body["checks"].values())) == (200, {"ok"})
