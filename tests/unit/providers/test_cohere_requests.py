"""A request in the words of Cohere's chat and embeddings."""

import base64
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
from penstock.providers.cohere_request import build, build_embedding

USER = Message("user", (Text("Hi"),))
WEATHER = Tool("weather", {"properties": {}}, "of a city")
NOW = Tool("now", {"type": "object"})


def body(*messages: Message, stream: bool = False, **fields: Any) -> dict[str, Any]:
    request = CompletionRequest(model="public", messages=messages or (USER,), **fields)
    return build(request, "served", stream=stream)


def refused(*messages: Message, **fields: Any) -> str | None:
    with pytest.raises(InvalidRequest) as caught:
        body(*messages, **fields)
    return caught.value.param


def test_the_least_request() -> None:
    assert body() == {"model": "served", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    assert body(stream=True)["stream"] is True


def test_a_conversation() -> None:
    """Results of tools are messages of their own; turns that say nothing are left out, the vendor refuses them."""
    call = ToolCall("c1", "f", '{"x": 1}')
    wire = body(
        Message("system", (Text("Be brief."), Text(""), Text("Be kind."))),
        Message("user", (Text("a"),), name="ann"),
        Message("assistant", (Text("I look."), call, ToolCall("c2", "g", ""))),
        Message("tool", (ToolResult("c1", "one"), ToolResult("c2", ""))),
        Message("assistant", (Text(""),)),
        Message("user", (ToolResult("c1", "again"), Text("and?"))),
    )["messages"]
    assert wire == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
                {"id": "c2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
            ],
            "content": "I look.",
        },
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "tool", "tool_call_id": "c1", "content": "again"},
        {"role": "user", "content": "and?"},
    ]


def test_earlier_thoughts() -> None:
    """They stand with the text they led to, or are the plan of the calls; what was sealed stays unread."""
    thought, sealed = Reasoning("hm", "a-seal-of-another-vendor"), Reasoning("", "ZQ==", redacted=True)
    wire = body(
        USER,
        Message("assistant", (thought, sealed, Text("Yes."))),
        Message("assistant", (thought, sealed, Reasoning("so"), ToolCall("c1", "f", "{}"))),
        Message("assistant", (sealed,)),
    )["messages"]
    assert wire[1]["content"] == [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Yes."}]
    assert (wire[2]["tool_plan"], wire[2].get("content")) == ("hm\nso", None)
    assert len(wire) == 3


def test_a_failed_tool_says_so() -> None:
    """The format has no flag for it; the keys of a document are shown to the model."""
    (wire,) = body(Message("tool", (ToolResult("c1", "no such city", is_error=True),)))["messages"]
    assert wire["content"] == [{"type": "document", "document": {"data": {"error": "no such city"}}}]


def test_images() -> None:
    (wire,) = body(
        Message(
            "user",
            (Text("Look:"), Image(url="https://a/b.png", detail="low"), Image(data="QUJD", media_type="image/png")),
        )
    )["messages"]
    assert wire["content"] == [
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
    ]


def test_documents_join_those_of_the_request() -> None:
    text = base64.b64encode("Grüße".encode()).decode()
    wire = body(
        Message("user", (Text("Read:"), Document(data=text, media_type="text/plain", filename="a.txt"))),
        Message("user", (Document(url=f"data:text/markdown;base64,{text}"),)),
        extra={"documents": ["first"]},
    )
    assert wire["documents"] == ["first", {"data": {"text": "Grüße", "title": "a.txt"}}, {"data": {"text": "Grüße"}}]
    assert wire["messages"] == [{"role": "user", "content": "Read:"}]
    assert "documents" not in body()


def test_every_setting() -> None:
    wire = body(
        max_tokens=5,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        seed=0,
        presence_penalty=0.0,
        frequency_penalty=0.25,
        stop=("a", "b"),
        logprobs=True,
        top_logprobs=0,
    )
    assert wire == body() | {
        "max_tokens": 5,
        "temperature": 0.0,
        "p": 0.5,
        "k": 3,
        "seed": 0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.25,
        "stop_sequences": ["a", "b"],
        "logprobs": True,
    }


def test_tools() -> None:
    wire = body(tools=(WEATHER, NOW))
    weather = {"name": "weather", "parameters": {"type": "object", "properties": {}}, "description": "of a city"}
    assert wire["tools"] == [
        {"type": "function", "function": weather},
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}},
    ]
    assert "strict_tools" not in wire


def test_one_strict_tool_makes_all_of_them_strict() -> None:
    """The format has one switch, and no tool is worse for it."""
    assert body(tools=(WEATHER, Tool("f", {}, strict=True)))["strict_tools"] is True


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        (ToolChoice("auto"), None),
        (ToolChoice("none"), "NONE"),
        (ToolChoice("required"), "REQUIRED"),
        (ToolChoice("tool", "now"), "REQUIRED"),
    ],
)
def test_tool_choice(choice: ToolChoice | None, expected: Any) -> None:
    wire = body(tools=(WEATHER, NOW), tool_choice=choice)
    assert wire.get("tool_choice") == expected
    offered = [tool["function"]["name"] for tool in wire["tools"]]
    assert offered == (["now"] if choice is not None and choice.name else ["weather", "now"])


def test_without_tools_nothing_is_said_of_them() -> None:
    assert body(tool_choice=ToolChoice("auto"), parallel_tool_calls=False) == body()
    assert body(tool_choice=ToolChoice("none")) == body()
    assert body(tool_choice=ToolChoice("required"))["tool_choice"] == "REQUIRED"
    assert refused(tool_choice=ToolChoice("tool", "f"), tools=(NOW,)) == "tool_choice"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"reasoning_effort": "none"}, {"type": "disabled"}),
        ({"reasoning_effort": "low"}, {"type": "enabled"}),
        ({"reasoning_effort": "low", "reasoning_tokens": 500}, {"type": "enabled", "token_budget": 500}),
        ({"reasoning_effort": "high", "reasoning_tokens": 0}, {"type": "disabled"}),
        ({"reasoning_tokens": 500, "extra": {"thinking": {"type": "disabled"}}}, {"type": "disabled"}),
    ],
)
def test_thinking(fields: Any, expected: Any) -> None:
    assert body(**fields).get("thinking") == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ResponseFormat("text"), None),
        (ResponseFormat("json_object"), {"type": "json_object"}),
        (
            ResponseFormat("json_schema", "n", {"type": "object"}, strict=True),
            {"type": "json_object", "json_schema": {"type": "object"}},
        ),
    ],
)
def test_response_format(wanted: ResponseFormat, expected: Any) -> None:
    assert body(response_format=wanted).get("response_format") == expected


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logit_bias", {"1": 1.0}),
        ("top_logprobs", 2),
        ("parallel_tool_calls", False),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(field: str, value: Any) -> None:
    assert refused(**{field: value}, tools=(NOW,)) == field


def test_neutral_values_and_hints_are_no_reason_to_refuse() -> None:
    assert body(n=1, logit_bias={}, top_logprobs=0, user="u") == body()
    assert body(tools=(NOW,), parallel_tool_calls=True) == body(tools=(NOW,))


PDF = Document(data="JVBERi0=", media_type="application/pdf")


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", (Image(url="https://a"),)),
        Message("assistant", (PDF,)),
        Message("system", (Image(url="https://a"),)),
        Message("user", (Image(data="QUJD"),)),
        Message("user", (PDF,)),
        Message("user", (Document(url="https://a/b.txt", media_type="text/plain"),)),
        Message("user", (Document(url="data:text/plain,abc"),)),
        Message("user", (Document(data="/w==", media_type="text/plain"),)),
        Message("user", (Document(data="QUJD"),)),
        Message("tool", (ToolResult("c", "", (Image(url="https://a"),)),)),
    ],
)
def test_messages_that_cannot_be_said(message: Message) -> None:
    assert refused(message) == "messages"


def test_only_the_formats_own_fields_are_taken_from_extra() -> None:
    own = {"safety_mode": "STRICT", "citation_options": {"mode": "OFF"}, "priority": 3}
    assert body(extra=own | {"store": True, "model": "x", "metadata": {}}) == body() | own
    assert refused(Message("user", (Document(data="QQ==", media_type="text/plain"),)), extra={"documents": "x"})


def embedding(*inputs: Any, **fields: Any) -> dict[str, Any]:
    return build_embedding(EmbeddingRequest(model="public", inputs=inputs, **fields), "served")


def test_embeddings() -> None:
    least = {
        "model": "served",
        "texts": ["a", "b"],
        "input_type": "search_document",
        "embedding_types": ["float"],
    }
    assert embedding("a", "b") == least
    given = {"input_type": "search_query", "truncate": "NONE", "encoding_format": "float", "embedding_types": ["int8"]}
    more = embedding("a", "b", dimensions=256, user="u", extra=given)
    assert more == least | {"output_dimension": 256, "input_type": "search_query", "truncate": "NONE"}


def test_tokens_cannot_be_embedded() -> None:
    with pytest.raises(InvalidRequest) as caught:
        embedding("a", (1, 2))
    assert caught.value.param == "input"
