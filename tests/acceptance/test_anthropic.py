"""Anthropic's messages, models and errors, through the unmodified anthropic SDK and raw HTTP.

Every test that names a model runs against a provider of OpenAI's wire format and one of Anthropic's.
"""

import json
import time
from typing import Any

import anthropic
import httpx
import pytest
from acceptance.conftest import ADMIN_KEY, KEY, Stack
from anthropic.types import Message, MessageTokensCount, ModelInfo, RawMessageStreamEvent
from pydantic import TypeAdapter

MODELS = ["fast", "claude"]
BODY: dict[str, Any] = {"model": "fast", "max_tokens": 100, "messages": [{"role": "user", "content": "[[echo: hi]]"}]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
WEATHER: Any = {
    "name": "weather",
    "description": "of a city",
    "input_schema": {"type": "object", "properties": {"city": {"const": "Oslo"}}, "required": ["city"]},
}
THINK: Any = {"type": "enabled", "budget_tokens": 1024}
#: what the vendor's newer versions refuse and this service honours
SAMPLING = {"temperature": 0, "top_p": 1}


@pytest.fixture
def client(stack: Stack) -> anthropic.Anthropic:
    return stack.anthropic_client()


def user(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.parametrize("version", ["2026-10-21", "2023-06-01"])
@pytest.mark.parametrize("model", MODELS)
def test_plain(stack: Stack, model: str, version: str):
    client = stack.anthropic_client(default_headers={"anthropic-version": version})
    message = client.messages.create(
        model=model, max_tokens=100, messages=user("[[echo: hello there]]"), system="Be kind.", extra_body=SAMPLING
    )
    Message.model_validate(message.model_dump())
    assert (text_of(message), message.stop_reason, message.stop_sequence) == ("hello there", "end_turn", None)
    assert (message.model, message.role) == (model, "assistant")
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id


@pytest.mark.parametrize("model", MODELS)
def test_streamed(client: anthropic.Anthropic, model: str):
    events = list(
        client.messages.create(model=model, max_tokens=100, messages=user("[[echo: hello there]]"), stream=True)
    )
    kinds = [event.type for event in events]
    for event in events:
        TypeAdapter(RawMessageStreamEvent).validate_python(event.model_dump())
    assert (kinds[:2], kinds[-3:]) == (
        ["message_start", "content_block_start"],
        ["content_block_stop", "message_delta", "message_stop"],
    )
    assert "".join(e.delta.text for e in events if e.type == "content_block_delta") == "hello there"  # type: ignore[union-attr]
    assert events[0].message.usage.input_tokens > 0  # type: ignore[union-attr]


@pytest.mark.parametrize("model", MODELS)
def test_the_stream_helper_ends_at_the_message_that_plain_gives(client: anthropic.Anthropic, model: str):
    order = user("[[tokens: 30]]")
    with client.messages.stream(model=model, max_tokens=100, messages=order) as stream:
        seen = "".join(stream.text_stream)
        final = stream.get_final_message()
    plain = client.messages.create(model=model, max_tokens=100, messages=order)
    assert seen == text_of(final) == text_of(plain)
    assert (final.stop_reason, final.usage) == (plain.stop_reason, plain.usage)


@pytest.mark.parametrize("model", MODELS)
def test_with_streaming_response(client: anthropic.Anthropic, model: str):
    with client.messages.with_streaming_response.create(**BODY | {"model": model, "stream": True}) as response:
        assert response.headers["request-id"].startswith("req_")
        lines = [line for line in response.iter_lines() if line.startswith("event: ")]
    assert (lines[0], lines[-1]) == ("event: message_start", "event: message_stop")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_tool_called_and_answered(client: anthropic.Anthropic, model: str, stream: bool):
    messages = user("How is it in Oslo?")
    asked: Any = {"model": model, "max_tokens": 100, "tools": [WEATHER]}
    choice: Any = {"type": "any", "disable_parallel_tool_use": True}
    if stream:
        with client.messages.stream(messages=messages, tool_choice=choice, **asked) as read:
            first = read.get_final_message()
    else:
        first = client.messages.create(messages=messages, tool_choice=choice, **asked)
    assert first.stop_reason == "tool_use"
    (call,) = first.content
    assert call.type == "tool_use"
    assert (call.name, call.input) == ("weather", {"city": "Oslo"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}]}
    messages += [{"role": "assistant", "content": first.content}, *user([result])]
    assert text_of(client.messages.create(messages=messages, **asked)) == "The tool answered: rain"


@pytest.mark.parametrize("model", MODELS)
def test_two_calls_at_once_are_two_blocks(client: anthropic.Anthropic, model: str):
    order = user('[[tool: f {"x": {"y": 1}}]] [[tool: g {}]]')
    with client.messages.stream(model=model, max_tokens=100, messages=order) as stream:
        final = stream.get_final_message()
    found = [(block.name, block.input) for block in final.content if block.type == "tool_use"]
    assert found == [("f", {"x": {"y": 1}}), ("g", {})]
    assert len({block.id for block in final.content if block.type == "tool_use"}) == 2


@pytest.mark.parametrize("model", MODELS)
def test_a_picture_reaches_the_model(client: anthropic.Anthropic, model: str):
    """The simulated providers count one as 85 tokens."""
    said: Any = {"type": "text", "text": "[[echo: seen]]"}
    without = client.messages.create(model=model, max_tokens=100, messages=user([said]))
    message = client.messages.create(model=model, max_tokens=100, messages=user([PICTURE, said]))
    assert text_of(message) == "seen"
    assert message.usage.input_tokens == without.usage.input_tokens + 85


def test_thoughts_come_back_sealed_as_they_were(client: anthropic.Anthropic):
    """The simulated vendor refuses a thought whose seal was lost or changed."""
    messages = user("[[echo: first]]")
    with client.messages.stream(model="claude", max_tokens=2000, messages=messages, thinking=THINK) as stream:
        streamed = stream.get_final_message()
    plain = client.messages.create(model="claude", max_tokens=2000, messages=messages, thinking=THINK)
    for message in (streamed, plain):
        thought, text = message.content
        assert thought.type == "thinking"
        assert thought.thinking
        assert thought.signature
        assert text.type == "text"
        more = [*messages, {"role": "assistant", "content": message.content}, *user("[[echo: second]]")]
        again = client.messages.create(model="claude", max_tokens=2000, messages=more, thinking=THINK)
        assert text_of(again) == "second"
    assert streamed.content[0].model_dump() == plain.content[0].model_dump()


@pytest.mark.parametrize("thinking", [THINK, {"type": "adaptive"}, {"type": "disabled"}])
def test_asking_a_model_of_another_vendor_to_think_is_no_error(client: anthropic.Anthropic, thinking: Any):
    messages = user("[[echo: thought]]")
    assert text_of(client.messages.create(model="fast", max_tokens=2000, messages=messages, thinking=thinking))


def test_messages_of_one_role_are_merged(client: anthropic.Anthropic, stack: Stack):
    """Many engines' templates refuse two messages of one role in a row."""
    turns: list[Any] = [
        {"role": "user", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": "two"}]},
        {"role": "assistant", "content": "three"},
        {"role": "assistant", "content": "four"},
        *user("five MERGED"),
    ]
    assert text_of(client.messages.create(model="mirror", max_tokens=9, messages=turns)) == "ok"
    told = stack.mirror.told("MERGED")["messages"]
    assert [message["role"] for message in told] == ["user", "assistant", "user"]
    for place, texts in enumerate((("one", "two"), ("three", "four"), ("five",))):
        assert all(text in json.dumps(told[place]["content"]) for text in texts)


@pytest.mark.parametrize("model", ["claude", "fast", "thinker"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string(client: anthropic.Anthropic, model: str, stream: bool):
    """Which one matched is told, also for formats that have no word for it or cannot be asked to stop."""
    ask: Any = {
        "model": model,
        "max_tokens": 100,
        "messages": user("[[echo: one two three four]]"),
        "stop_sequences": ["five", "o thr", "three"],
    }
    if stream:
        with client.messages.stream(**ask) as events:
            message = events.get_final_message()
    else:
        message = client.messages.create(**ask)
    assert (text_of(message), message.stop_reason, message.stop_sequence) == ("one tw", "stop_sequence", "o thr")
    assert message.usage.output_tokens > 0
    del ask["stop_sequences"][1:]
    natural = client.messages.create(**ask)
    assert (text_of(natural), natural.stop_reason, natural.stop_sequence) == ("one two three four", "end_turn", None)


@pytest.mark.parametrize("model", MODELS)
def test_a_short_limit(client: anthropic.Anthropic, model: str):
    message = client.messages.create(model=model, max_tokens=4, messages=user("[[tokens: 50]]"))
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 4)


def test_a_huge_limit_is_lowered_to_what_the_model_can_hold(client: anthropic.Anthropic):
    """The context of `fast` is 4,000 tokens."""
    message = client.messages.create(model="fast", max_tokens=32_000, messages=user("[[tokens: 9000]]"))
    assert message.stop_reason == "max_tokens"
    assert 3_500 < message.usage.output_tokens < 4_000


@pytest.mark.parametrize("model", MODELS)
def test_a_structured_answer(client: anthropic.Anthropic, model: str):
    schema = {"type": "object", "properties": {"n": {"const": 7}}, "required": ["n"], "additionalProperties": False}
    config: Any = {"format": {"type": "json_schema", "schema": schema}}
    message = client.messages.create(model=model, max_tokens=100, messages=user("A number"), output_config=config)
    assert json.loads(text_of(message)) == {"n": 7}


@pytest.mark.parametrize("model", MODELS)
def test_what_a_harness_sends(client: anthropic.Anthropic, model: str):
    """Blocks with marks for the cache, no tools, a limit for everything, and streamed."""
    mark: Any = {"type": "ephemeral"}
    with client.messages.stream(
        model=model,
        max_tokens=32_000,
        system=[{"type": "text", "text": "Be brief.", "cache_control": mark}],
        messages=user([{"type": "text", "text": "[[echo: ok]]", "cache_control": mark}]),
        tools=[],
        cache_control=mark,
        metadata={"user_id": "ann"},
        service_tier="auto",
    ) as stream:
        assert text_of(stream.get_final_message()) == "ok"


def test_count_tokens(client: anthropic.Anthropic):
    asked: Any = {"model": "fast", "messages": user("How is it in Oslo?")}
    counts = [
        client.messages.count_tokens(**asked, **more)
        for more in ({}, {"system": "Be kind to everybody."}, {"tools": [WEATHER]})
    ]
    for count in counts:
        MessageTokensCount.model_validate(count.model_dump())
    plain, with_system, with_tools = (count.input_tokens for count in counts)
    assert 0 < plain < with_system < with_tools
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="nope", messages=asked["messages"])


def test_models(client: anthropic.Anthropic):
    names = [model.id for model in client.models.list()]
    assert set(MODELS) <= set(names)
    assert [model.id for model in client.models.list(limit=1)] == names, "the pages together are the whole list"
    # a page before a cursor is the one just before it, so pages of one go backwards
    assert [model.id for model in client.models.list(limit=1, before_id=names[-1])] == names[-2::-1]
    model = client.models.retrieve("claude")
    ModelInfo.model_validate(model.model_dump())
    assert (model.id, model.lifecycle, model.max_input_tokens) == ("claude", "active", 200_000)
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.models.retrieve("a/b")
    assert caught.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]


def test_openais_client_still_gets_its_own_models(stack: Stack):
    assert {model.object for model in stack.client().models.list()} == {"model"}


def test_keys(stack: Stack):
    for name in ("x-api-key", "authorization"):
        value = KEY if name == "x-api-key" else f"Bearer {KEY}"
        status, body = stack.call("POST", "/v1/messages", BODY, key=None, **{name: value})
        assert (status, body["type"]) == (200, "message"), "with no anthropic-version at all"
    with pytest.raises(anthropic.AuthenticationError) as caught:
        stack.anthropic_client("wrong-key").messages.create(**BODY)
    assert caught.value.type == "authentication_error"
    assert "wrong-key" not in str(caught.value.body)


@pytest.mark.parametrize("stream", [False, True])
def test_an_unknown_model(client: anthropic.Anthropic, stream: bool):
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(**BODY | {"model": "nope", "stream": stream})
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    assert body["request_id"] == caught.value.request_id
    assert "nope" in body["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_a_refusal_of_the_provider(client: anthropic.Anthropic, model: str, stream: bool):
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model=model, max_tokens=9, messages=user("[[error: 400]]"), stream=stream)
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_cut_by_the_provider_does_not_look_whole(client: anthropic.Anthropic, model: str):
    events: list[Any] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        events.extend(
            client.messages.create(model=model, max_tokens=100, messages=user("[[cut]] [[tokens: 50]]"), stream=True)
        )
    assert "message_stop" not in [event.type for event in events]
    body: Any = caught.value.body
    assert body["request_id"] == caught.value.request_id


def test_a_client_that_hangs_up_closes_the_call(stack: Stack):
    stream = stack.anthropic_client().messages.create(
        model="fast", max_tokens=3000, messages=user("[[tokens: 3000]]"), stream=True
    )
    next(iter(stream))
    stream.close()
    deadline = time.monotonic() + 60
    while stack.openai_wire.stats()["in_flight"]:
        assert time.monotonic() < deadline, "the provider is still generating"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "JSON"),
        (b"[1]", "object"),
        ({key: BODY[key] for key in ("model", "messages")}, "max_tokens"),
        (BODY | {"max_tokens": "9"}, "max_tokens"),
        (BODY | {"messages": []}, "messages"),
        (BODY | {"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
        (BODY | {"messages": user([{"type": "video"}])}, "messages[0].content[0].type"),
        (BODY | {"messages": user("word " * 20_000)}, "messages"),
        (BODY | {"stream": "yes"}, "stream"),
    ],
)
def test_bad_input_is_named(stack: Stack, body: Any, named: str):
    status, answer = stack.call("POST", "/v1/messages", body)
    assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    assert named in answer["error"]["message"]
    assert answer["request_id"]


def test_paths_and_methods_that_do_not_exist(stack: Stack):
    version = {"anthropic-version": "2026-10-21"}
    for path, headers in (("/v1/nonsense", version), ("/v1/messages/nonsense/more", {})):
        status, body = stack.call("GET", path, **headers)
        assert (status, body["error"]["type"]) == (404, "not_found_error")
    status, body = stack.call("DELETE", "/v1/messages")
    assert (status, body["type"]) == (405, "error")


def test_every_response_has_a_request_id_of_its_own(stack: Stack):
    headers = {"anthropic-version": "2026-10-21", "x-api-key": KEY}
    seen = set()
    for path in ("/v1/models", "/v1/nonsense", "/v1/messages"):
        answer = httpx.get(stack.url + path, headers=headers)
        seen.add(answer.headers["request-id"])
        assert answer.is_success or answer.json()["request_id"] == answer.headers["request-id"]
    assert len(seen) == 3


def test_what_is_left_of_a_tier_is_told_and_then_refused(stack: Stack):
    """The tier `free` allows 60 requests and 10,000 tokens a minute."""
    made = stack.call("POST", "/admin/keys", {"tenant": "anthropic-free", "tier": "free"}, key=ADMIN_KEY)[1]
    client = stack.anthropic_client(made["key"])
    raw = client.messages.with_raw_response.create(**BODY)
    assert raw.headers["anthropic-ratelimit-requests-limit"] == "60"
    assert raw.headers["anthropic-ratelimit-tokens-limit"] == "10000"
    assert int(raw.headers["anthropic-ratelimit-tokens-remaining"]) < 10_000
    assert raw.headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
    with pytest.raises(anthropic.RateLimitError) as caught:  # noqa: PT012 — how many fit depends on what was estimated
        for _ in range(100):
            client.messages.create(**BODY)
    assert caught.value.type == "rate_limit_error"
    assert 0 < float(caught.value.response.headers["retry-after"]) <= 120


def test_a_message_is_a_job_like_any_other(stack: Stack, client: anthropic.Anthropic):
    message = client.messages.create(**BODY)
    status, job = stack.call("GET", "/v1/jobs/job_" + message.id.removeprefix("msg_"))
    assert (status, job["status"], job["output"]["text"]) == (200, "succeeded", "hi")
    status, body = stack.call(
        "POST", "/v1/batches", {"input_file_id": "file-x", "endpoint": "/v1/messages", "completion_window": "24h"}
    )
    assert (status, body["error"]["param"]) == (400, "endpoint")
