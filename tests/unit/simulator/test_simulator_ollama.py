"""The simulator in Ollama's words: what it refuses, and the shape of what it says."""

import json

import pytest

from simulator import ollama_chat
from simulator.limits import BucketState, LimitHit
from simulator.ollama_wire import OllamaWire
from simulator.options import SimulatorOptions
from simulator.refusal import RefusalError
from simulator.vendor import Call

CALL = Call("id", 0, 0.0, SimulatorOptions(embedding_dimensions=32))
HI = {"role": "user", "content": "Hi"}
NOW = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}


def read(*messages, **more):
    return ollama_chat.read(json.dumps({"model": "m", "messages": messages, **more}).encode(), {})


def said(text, **more):
    return read({"role": "user", "content": text}, **more)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": ""}, 400, "model is required"),
        ({"messages": [{"role": "developer"}]}, 400, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, 400, "content"),
        ({"messages": [{"role": "user", "images": ["https://a/b.png"]}]}, 400, "base64"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]}, 400, "arguments"),
        ({"top_logprobs": 21}, 400, "between 0 and 20"),
        ({"options": {"num_predict": 1.5}}, 500, "of type integer"),
        ({"options": {"temperature": "hot"}}, 500, "of type float32"),
        ({"options": {"stop": "END"}}, 500, "array of strings"),
        ({"format": "xml"}, 400, "invalid format"),
        ({"think": "a lot"}, 400, "invalid think value"),
    ],
)
def test_what_the_server_would_refuse(body, status, words):
    with pytest.raises(RefusalError, match=words) as caught:
        ollama_chat.read(json.dumps({"model": "m", "messages": [HI], **body}).encode(), {})
    assert caught.value.status == status


def test_a_stream_is_what_one_gets_unless_one_says_otherwise():
    assert read(HI).stream is True
    assert read(HI, stream=False).stream is False


def test_settings_are_options():
    question = read(HI, options={"num_predict": 5, "stop": ["a"], "unheard_of": {}}, format={"type": "object"})
    assert (question.max_tokens, question.stop, question.schema) == (5, ("a",), {"type": "object"})
    endless = read(HI, options={"num_predict": -1}, format="json")
    assert (endless.max_tokens, endless.schema) == (None, {})


def lines(question) -> list[dict]:
    body = b"".join(frame.data for frame in ollama_chat.reply(question, CALL).frames)
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def test_a_streamed_text_is_the_plain_one():
    asked = {"logprobs": True, "top_logprobs": 2}
    plain = json.loads(ollama_chat.reply(said("[[echo: Hello you]]", stream=False, **asked), CALL).body)
    *live, last = lines(said("[[echo: Hello you]]", **asked))
    assert plain["message"] == {"role": "assistant", "content": "Hello you"}
    assert [line["message"]["content"] for line in live] == ["Hell", "o yo", "u"]
    assert [entry for line in live for entry in line["logprobs"]] == plain["logprobs"]
    assert [len(entry["top_logprobs"]) for entry in plain["logprobs"]] == [2, 2, 2]
    assert [line["done"] for line in (*live, last)] == [False, False, False, True]
    told = ("done_reason", "prompt_eval_count", "eval_count")
    assert [last[name] for name in told] == [plain[name] for name in told] == ["stop", 5, 3]


def test_calls_come_whole_with_their_arguments_as_objects():
    order = '[[tool: add {"a": 1}]] [[tool: now]]'
    plain = json.loads(ollama_chat.reply(said(order, stream=False), CALL).body)
    live = lines(said(order))
    calls = [call for line in live for call in line["message"].get("tool_calls", ())]
    assert calls == plain["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == [{"a": 1}, {}]
    assert (len(live), plain["done_reason"]) == (3, "stop")


def test_without_messages_the_model_is_loaded():
    (line,) = lines(read())
    assert (line["done"], line["done_reason"], line["message"]["content"]) == (True, "load", "")


def test_a_conversation_with_every_kind_of_content_is_understood():
    question = read(
        {"role": "user", "content": "Look:", "images": ["QUJD"]},
        {"role": "assistant", "tool_calls": [{"function": {"name": "now", "arguments": {"zone": "x"}}}]},
        {"role": "tool", "tool_name": "now", "content": "noon"},
        tools=[NOW],
        think="max",
    )
    assert (question.last, question.after_tool) == ("noon", True)
    assert question.input_tokens > 85


def test_embeddings_are_cut_to_the_dimensions_asked_for():
    endpoint = OllamaWire().endpoints[1]

    def vectors(**body) -> list[list[float]]:
        question = endpoint.read(json.dumps({"model": "m", **body}).encode(), {})
        return json.loads(endpoint.reply(question, CALL).body)["embeddings"]

    assert [len(vector) for vector in vectors(input=["a", "b"])] == [32, 32]
    assert [len(vector) for vector in vectors(input="a", dimensions=8)] == [8]
    assert [len(vector) for vector in vectors(input="a", dimensions=99)] == [32]
    with pytest.raises(RefusalError, match="invalid input type"):
        vectors(input=[1, 2])


def test_errors_and_headers():
    """A message is all there is, after a 429 too."""
    wire = OllamaWire()
    buckets = [BucketState("requests", 20, 19, 3.0)]
    assert wire.headers("r1", buckets, 0) == {}
    hit = RefusalError(429, "x", limit=LimitHit("requests", 20, 0, 1, 3.0))
    body, headers = wire.error(hit, "r1", buckets)
    assert json.loads(body).keys() == {"error"}
    assert headers == {"Content-Type": "application/json"}
    assert wire.unknown_model("x").status == 404
