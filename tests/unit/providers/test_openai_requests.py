"""A request in the words of OpenAI's chat completions."""

from typing import Any

import pytest

from penstock.completion import (
    CompletionRequest,
    Image,
    Message,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from penstock.errors import InvalidRequest
from penstock.providers.openai_chat_request import build

USER = Message("user", (Text("Hi"),))
WEATHER = Tool("weather", {"type": "object"}, "of a city", strict=True)


def body(*messages: Message, stream: bool = False, limit_field: str = "max_tokens", **fields: Any) -> dict[str, Any]:
    request = CompletionRequest(model="public", messages=messages or (USER,), **fields)
    return build(request, "served", stream=stream, limit_field=limit_field)


def test_the_least_request_says_nothing_else() -> None:
    assert body() == {"model": "served", "messages": [{"role": "user", "content": "Hi"}]}


def test_a_conversation() -> None:
    wire = body(
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("a"), Text("b")), name="ann"),
        Message("assistant", (Text("calling"), ToolCall("c1", "f", '{"x": 1}'), ToolCall("c2", "g", ""))),
        Message("tool", (ToolResult("c1", "one"), ToolResult("c2", "two"))),
        Message("assistant", (ToolCall("c3", "f", "{}"),)),
        Message("user", (ToolResult("c3", "three"), Text("and?"))),
        Message("assistant", ()),
    )["messages"]
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    other = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}
    third = {"id": "c3", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert wire == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "ann"},
        {"role": "assistant", "content": "calling", "tool_calls": [call, other]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": "two"},
        {"role": "assistant", "content": None, "tool_calls": [third]},
        {"role": "tool", "tool_call_id": "c3", "content": "three"},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": ""},
    ]


def test_images() -> None:
    wire = body(
        Message("user", (Image(url="https://a/b.png", detail="low"), Image(data="QUJD", media_type="image/png")))
    )["messages"]
    assert wire[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://a/b.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}},
    ]


@pytest.mark.parametrize(
    "message", [Message("assistant", (Image(url="https://a"),)), Message("user", (Image(data="QUJD"),))]
)
def test_images_that_cannot_be_said(message: Message) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(message)
    assert caught.value.param == "messages"


def test_every_setting() -> None:
    same = {
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 3,
        "n": 2,
        "seed": 0,
        "presence_penalty": -1.0,
        "frequency_penalty": 1.0,
        "logit_bias": {"50256": -100},
        "logprobs": True,
        "top_logprobs": 0,
        "user": "u",
    }
    wire = body(max_tokens=5, stop=("a", "b"), **same)
    assert {name: wire[name] for name in same} == same
    assert (wire["max_tokens"], wire["stop"]) == (5, ["a", "b"])


def test_the_name_of_the_limit() -> None:
    wire = body(max_tokens=5, limit_field="max_completion_tokens")
    assert wire["max_completion_tokens"] == 5
    assert "max_tokens" not in wire


def test_tools() -> None:
    wire = body(tools=(WEATHER, Tool("now", {})), tool_choice=ToolChoice("tool", "now"), parallel_tool_calls=False)
    weather = {"name": "weather", "parameters": {"type": "object"}, "description": "of a city", "strict": True}
    assert wire["tools"] == [
        {"type": "function", "function": weather},
        {"type": "function", "function": {"name": "now", "parameters": {}}},
    ]
    assert wire["tool_choice"] == {"type": "function", "function": {"name": "now"}}
    assert wire["parallel_tool_calls"] is False


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_tool_choice_by_mode(mode: Any) -> None:
    assert body(tools=(WEATHER,), tool_choice=ToolChoice(mode))["tool_choice"] == mode


def test_without_tools_nothing_is_said_of_them() -> None:
    """Servers refuse the fields; but that a tool was demanded is not hidden from them."""
    assert body(tool_choice=ToolChoice("auto"), parallel_tool_calls=True).keys() == {"model", "messages"}
    assert body(tool_choice=ToolChoice("required"))["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ResponseFormat("text"), None),
        (ResponseFormat("json_object"), {"type": "json_object"}),
        (
            ResponseFormat("json_schema", "n", {"type": "object"}, strict=True),
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        ),
    ],
)
def test_response_format(wanted: ResponseFormat, expected: Any) -> None:
    assert body(response_format=wanted).get("response_format") == expected


def test_a_stream_always_asks_for_its_usage() -> None:
    extra = {"stream_options": {"include_usage": False, "include_obfuscation": False}}
    wire = body(stream=True, extra=extra)
    assert wire["stream"] is True
    assert wire["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_extra_goes_along_but_overrides_nothing() -> None:
    extra = {"store": False, "model": "x", "temperature": 2, "stream": True, "stream_options": {}, "seed": 4}
    wire = body(temperature=1.0, extra=extra)
    assert wire == body(temperature=1.0) | {"store": False, "seed": 4}
