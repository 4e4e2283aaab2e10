"""A request in the words of Ollama's chat and embeddings."""

from typing import Any

import pytest

from penstock.completion import (
    CompletionRequest,
    Document,
    EmbeddingRequest,
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from penstock.errors import InvalidRequest
from penstock.providers.ollama_request import build, build_embedding

USER = Message("user", (Text("Hi"),))
WEATHER = Tool("weather", {"properties": {"city": {"type": "string"}}}, "of a city")
NOW = Tool("now", {}, strict=False)


def body(*messages: Message, stream: bool = False, **fields: Any) -> dict[str, Any]:
    request = CompletionRequest(model="public", messages=messages or (USER,), **fields)
    return build(request, "served", stream=stream)


def refused(*messages: Message, **fields: Any) -> str | None:
    with pytest.raises(InvalidRequest) as caught:
        body(*messages, **fields)
    return caught.value.param


def test_the_least_request_says_that_it_is_no_stream() -> None:
    """One is what one gets otherwise."""
    assert body() == {"model": "served", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    assert body(stream=True)["stream"] is True


def test_a_conversation() -> None:
    """Results of tools are messages of their own, and name their tool beside the call."""
    wire = body(
        Message("system", (Text("Be brief."), Text(""), Text("Be kind."))),
        Message("user", (Text("a"),), name="ann"),
        Message("assistant", (Text("I look."), ToolCall("c1", "f", '{"x": 1}'), ToolCall("c2", "g", ""))),
        Message("tool", (ToolResult("c1", "one", is_error=True), ToolResult("c2", ""))),
        Message("user", (ToolResult("c9", "three"), Text("and?"))),
        Message("assistant", ()),
    )["messages"]
    assert wire == [
        {"role": "system", "content": "Be brief.\nBe kind."},
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "c1", "function": {"index": 0, "name": "f", "arguments": {"x": 1}}},
                {"id": "c2", "function": {"index": 1, "name": "g", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "one", "tool_call_id": "c1", "tool_name": "f"},
        {"role": "tool", "content": "", "tool_call_id": "c2", "tool_name": "g"},
        {"role": "tool", "content": "three", "tool_call_id": "c9"},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": ""},
    ]


def test_earlier_thoughts() -> None:
    parts = (Reasoning("hm", "a-seal"), Reasoning("", "ZQ==", redacted=True), Reasoning("so"), Text("Yes."))
    (wire,) = body(Message("assistant", parts))["messages"]
    assert wire == {"role": "assistant", "content": "Yes.", "thinking": "hm\nso"}


def test_images_are_base64_alone() -> None:
    images = (Image(data="QUJD", media_type="image/png", detail="low"), Image(url="data:image/gif;base64,REVG"))
    wire = body(Message("user", (Text("Look:"), *images)), Message("tool", (ToolResult("c1", "seen", images[:1]),)))
    assert wire["messages"] == [
        {"role": "user", "content": "Look:", "images": ["QUJD", "REVG"]},
        {"role": "tool", "content": "seen", "tool_call_id": "c1", "images": ["QUJD"]},
    ]


def test_every_setting() -> None:
    wire = body(
        max_tokens=5,
        temperature=0.0,
        top_p=1.0,
        top_k=3,
        seed=0,
        presence_penalty=-1.0,
        frequency_penalty=0.5,
        stop=("a", "b"),
        logprobs=True,
        top_logprobs=0,
    )
    options = {
        "num_predict": 5,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 3,
        "seed": 0,
        "presence_penalty": -1.0,
        "frequency_penalty": 0.5,
        "stop": ["a", "b"],
    }
    assert wire == body() | {"options": options, "logprobs": True, "top_logprobs": 0}


def test_the_callers_own_options_are_kept() -> None:
    wire = body(max_tokens=5, extra={"options": {"num_ctx": 8192, "num_predict": 9}})
    assert wire["options"] == {"num_ctx": 8192, "num_predict": 5}
    assert refused(extra={"options": "num_ctx=1"}) == "options"


def test_tools() -> None:
    weather = {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        "description": "of a city",
    }
    assert body(tools=(WEATHER, NOW))["tools"] == [
        {"type": "function", "function": weather},
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    ]


def test_tools_that_must_not_be_called_are_not_offered() -> None:
    assert body(tools=(NOW,), tool_choice=ToolChoice("none")) == body()
    assert body(tools=(NOW,), tool_choice=ToolChoice("auto")) == body(tools=(NOW,))


@pytest.mark.parametrize("choice", [ToolChoice("required"), ToolChoice("tool", "now")])
def test_a_tool_that_must_be_called_cannot_be_promised(choice: ToolChoice) -> None:
    assert refused(tools=(NOW,), tool_choice=choice) == "tool_choice"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "low"}, "low"),
        ({"reasoning_effort": "medium"}, "medium"),
        ({"reasoning_effort": "high"}, "high"),
        ({"reasoning_effort": "xhigh"}, "max"),
        ({"reasoning_effort": "max"}, "max"),
        ({"reasoning_effort": "high", "reasoning_tokens": 0}, False),
        ({"reasoning_tokens": 500, "extra": {"think": True}}, True),
        ({"reasoning_tokens": 500, "reasoning_effort": "low"}, "low"),
    ],
)
def test_thinking(fields: Any, expected: Any) -> None:
    assert body(**fields).get("think") == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ResponseFormat("text"), None),
        (ResponseFormat("json_object"), "json"),
        (ResponseFormat("json_schema", "n", {"type": "object"}, strict=True), {"type": "object"}),
        (ResponseFormat("json_schema", "n"), "json"),
    ],
)
def test_response_format(wanted: ResponseFormat, expected: Any) -> None:
    assert body(response_format=wanted).get("format") == expected


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("n", {"n": 2}),
        ("logit_bias", {"logit_bias": {"1": 1.0}}),
        ("parallel_tool_calls", {"parallel_tool_calls": False, "tools": (NOW,)}),
        ("reasoning_tokens", {"reasoning_tokens": 500}),
        ("tools", {"tools": (WEATHER, Tool("f", {}, strict=True))}),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(field: str, fields: Any) -> None:
    assert refused(**fields) == field


def test_neutral_values_and_hints_are_no_reason_to_refuse() -> None:
    assert body(n=1, logit_bias={}, user="u", parallel_tool_calls=False) == body()
    assert body(tools=(NOW,), parallel_tool_calls=True) == body(tools=(NOW,))


def test_no_message_is_an_order_to_load_the_model() -> None:
    request = CompletionRequest(model="public", messages=())
    with pytest.raises(InvalidRequest) as caught:
        build(request, "served", stream=False)
    assert caught.value.param == "messages"


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", (ToolCall("c", "f", "{"),)),
        Message("assistant", (ToolCall("c", "f", "[1]"),)),
        Message("assistant", (Image(data="QUJD"),)),
        Message("system", (Image(data="QUJD"),)),
        Message("user", (Image(url="https://a/b.png"),)),
        Message("user", (Image(url="data:image/svg+xml,<svg/>"),)),
        Message("user", (Image(),)),
        Message("user", (Document(data="QQ==", media_type="text/plain"),)),
        Message("tool", (ToolResult("c", "", (Image(url="https://a/b.png"),)),)),
    ],
)
def test_messages_that_cannot_be_said(message: Message) -> None:
    assert refused(message) == "messages"


def test_only_the_formats_own_fields_are_taken_from_extra() -> None:
    own = {"keep_alive": "10m", "truncate": False, "shift": False, "think": "high"}
    assert body(extra=own | {"store": True, "model": "x", "stream": True, "format": "json"}) == body() | own


def embedding(*inputs: Any, **fields: Any) -> dict[str, Any]:
    return build_embedding(EmbeddingRequest(model="public", inputs=inputs, **fields), "served")


def test_embeddings() -> None:
    least = {"model": "served", "input": ["a", "b"]}
    assert embedding("a", "b", user="u", extra={"encoding_format": "float"}) == least
    own = {"truncate": False, "keep_alive": 0, "options": {"num_ctx": 512}}
    assert embedding("a", "b", dimensions=64, extra=own) == least | own | {"dimensions": 64}


def test_tokens_cannot_be_embedded() -> None:
    with pytest.raises(InvalidRequest) as caught:
        embedding("a", (1, 2))
    assert caught.value.param == "input"
