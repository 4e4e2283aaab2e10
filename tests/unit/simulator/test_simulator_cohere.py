"""The simulator in Cohere's words: what it refuses, and the shape of what it says."""

import json

import pytest

from simulator import cohere_chat, cohere_embed
from simulator.cohere_wire import CohereWire
from simulator.limits import BucketState, LimitHit
from simulator.options import SimulatorOptions
from simulator.refusal import RefusalError
from simulator.vendor import Call

CALL = Call("id", 0, 0.0, SimulatorOptions())
NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
HI = {"role": "user", "content": "Hi"}


def read(*messages, **more):
    body = {"model": "m", "messages": messages or [HI], **more}
    return cohere_chat.read(json.dumps(body).encode(), {})


def said(text, **more):
    return read({"role": "user", "content": text}, **more)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "developer", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": ""}]}, "must not be empty"),
        ({"messages": [{"role": "user"}]}, "content"),
        ({"messages": [{"role": "user", "content": [{"type": "document", "document": {}}]}]}, "image_url or text"),
        ({"messages": [{"role": "assistant", "content": [{"type": "image_url"}]}]}, "text or thinking"),
        ({"messages": [{"role": "tool", "tool_call_id": "c1", "content": "x"}]}, "tool call id not found"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "c1", "function": {}}]}]}, "must be of type"),
        ({"temperature": 1.1}, "temperature"),
        ({"p": 1.5}, "'p'"),
        ({"k": 501}, "'k'"),
        ({"presence_penalty": -0.1}, "presence_penalty"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": list("abcdef")}, "stop_sequences"),
        ({"tools": [{"type": "function", "function": {"name": "a-b", "parameters": {"type": "object"}}}]}, "a-b"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": {}}}]}, "schema must be an object"),
        ({"tool_choice": "REQUIRED"}, "tool_choice"),
        ({"tools": [NOW], "tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_object"}, "documents": ["x"]}, "not supported with RAG"),
        ({"thinking": {"type": "enabled", "token_budget": 0}}, "token_budget"),
    ],
)
def test_what_the_vendor_would_refuse(body, words):
    with pytest.raises(RefusalError, match=words) as caught:
        cohere_chat.read(json.dumps({"model": "m", "messages": [HI], **body}).encode(), {})
    assert caught.value.status == 400


def test_a_conversation_with_every_kind_of_content_is_understood():
    call = {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
    image = {"type": "image_url", "image_url": {"url": "https://a"}}
    told = {"type": "document", "document": {"data": {"time": "noon"}}}
    question = read(
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [image, {"type": "text", "text": "?"}]},
        {"role": "assistant", "tool_plan": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": [told]},
        tools=[NOW],
        documents=[{"data": {"text": "x"}}],
    )
    assert (question.last, question.after_tool) == ('{"time":"noon"}', True)
    assert question.input_tokens > 85


def events(question) -> list[dict]:
    frames = b"".join(frame.data for frame in cohere_chat.reply(question, CALL).frames).decode().split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    read = [frame.split("\n") for frame in frames[:-2]]
    values = [json.loads(data.removeprefix("data: ")) for _, data in read]
    assert [name for name, _ in read] == [f"event: {value['type']}" for value in values]
    return values


def test_a_streamed_text_is_the_plain_one():
    question = said("[[echo: Hello you]]", logprobs=True)
    plain = json.loads(cohere_chat.reply(question, CALL).body)
    live = events(said("[[echo: Hello you]]", logprobs=True, stream=True))
    assert plain["message"] == {"role": "assistant", "content": [{"type": "text", "text": "Hello you"}]}
    kinds = ["message-start", "content-start", *["content-delta"] * 3, "content-end", "message-end"]
    assert [event["type"] for event in live] == kinds
    deltas = [event for event in live if event["type"] == "content-delta"]
    assert [event["delta"]["message"]["content"]["text"] for event in deltas] == ["Hell", "o yo", "u"]
    assert [event["logprobs"] for event in deltas] == plain["logprobs"]
    assert live[-1]["delta"] == {"finish_reason": "COMPLETE", "usage": plain["usage"]}
    assert plain["usage"]["tokens"] == {"input_tokens": 5.0, "output_tokens": 3.0}


def test_calls_of_tools_have_no_content():
    order = '[[tool: add {"a": 1}]] [[tool: now]]'
    plain = json.loads(cohere_chat.reply(said(order), CALL).body)
    assert (plain["finish_reason"], plain["message"].get("content")) == ("TOOL_CALL", None)
    assert [call["function"]["arguments"] for call in plain["message"]["tool_calls"]] == ['{"a": 1}', "{}"]
    starts = [event for event in events(said(order, stream=True)) if event["type"] == "tool-call-start"]
    assert [event["index"] for event in starts] == [0, 1]
    assert [event["delta"]["message"]["tool_calls"]["function"]["arguments"] for event in starts] == ["", ""]


def test_a_required_tool_is_called():
    assert said("Well?", tools=[NOW], tool_choice="REQUIRED").forced_tool == "now"
    assert said("Well?", tools=[NOW], tool_choice="NONE").forced_tool is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input_type": None}, "valid input_type"),
        ({"input_type": "poem"}, "valid input_type"),
        ({"texts": "a"}, "texts"),
        ({"texts": []}, "texts"),
        ({"texts": ["a", ""]}, "index 1"),
        ({"texts": ["a"] * 97}, "at most 96"),
        ({"output_dimension": 300}, "output_dimension"),
        ({"truncate": "MIDDLE"}, "truncate"),
    ],
)
def test_embeddings_that_the_vendor_would_refuse(body, words):
    whole = {"model": "m", "input_type": "search_query", "texts": ["a"], **body}
    with pytest.raises(RefusalError, match=words):
        cohere_embed.read(json.dumps(whole).encode(), {})


def test_errors_and_headers():
    """A good answer tells what is left of the calls; a refusal tells nothing but its words."""
    wire = CohereWire()
    buckets = [BucketState("requests", 20, 19, 3.0), BucketState("tokens", 100, 1, 3.0)]
    limits = {"x-trial-endpoint-call-limit": "20", "x-trial-endpoint-call-remaining": "19"}
    assert wire.headers("r1", buckets, 0) == {"x-debug-trace-id": "r1"} | limits
    hit = RefusalError(429, "x", limit=LimitHit("requests", 20, 0, 1, 3.0))
    body, headers = wire.error(hit, "r1", buckets)
    assert json.loads(body).keys() == {"id", "message"}
    assert "minute request limit" in json.loads(body)["message"]
    assert headers.keys() == {"x-debug-trace-id", "Content-Type"}
    assert wire.unknown_model("x").status == 404
