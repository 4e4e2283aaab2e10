"""A request in the words of Anthropic's messages."""

from typing import Any

import pytest

from penstock.completion import (
    CompletionRequest,
    Document,
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
from penstock.providers.anthropic_messages_request import DEFAULT_MAX_TOKENS, build

USER = Message("user", (Text("Hi"),))
WEATHER = Tool("weather", {"properties": {}}, "of a city", strict=True)


def body(*messages: Message, stream: bool = False, max_output: int | None = None, **fields: Any) -> dict[str, Any]:
    request = CompletionRequest(model="public", messages=messages or (USER,), **fields)
    return build(request, "served", stream=stream, max_output=max_output)


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def test_the_least_request() -> None:
    assert body() == {
        "model": "served",
        "max_tokens": DEFAULT_MAX_TOKENS,
        "messages": [{"role": "user", "content": [text("Hi")]}],
    }


def test_a_conversation() -> None:
    """Turns of one role are merged, the results of tools come first in theirs, empty texts are left out."""
    wire = body(
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("a"),), name="ann"),
        Message("user", (Text("b"),)),
        Message("assistant", (Text(""), ToolCall("c1", "f", '{"x": 1}'), ToolCall("c2", "g", ""))),
        Message("tool", (ToolResult("c1", "one"),)),
        Message("user", (Text("and?"),)),
        Message("tool", (ToolResult("c2", ""),)),
        Message("assistant", (Text(""),)),
    )
    assert wire["system"] == "Be brief."
    assert wire["messages"] == [
        {"role": "user", "content": [text("a"), text("b")]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "c1", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "c2", "content": ""},
                text("and?"),
            ],
        },
    ]


def test_system_messages_anywhere_become_the_system_prompt() -> None:
    wire = body(Message("system", (Text("a"),)), USER, Message("system", (Text("b"), Text(""))))
    assert wire["system"] == [text("a"), text("b")]
    assert [turn["role"] for turn in wire["messages"]] == ["user"]


def test_images() -> None:
    wire = body(
        Message(
            "user",
            (
                Image(url="https://a/b.png", detail="low"),
                Image(data="QUJD", media_type="image/png"),
                Image(url="data:image/gif;base64,REVG"),
            ),
        )
    )
    assert [block["source"] for block in wire["messages"][0]["content"]] == [
        {"type": "url", "url": "https://a/b.png"},
        {"type": "base64", "media_type": "image/png", "data": "QUJD"},
        {"type": "base64", "media_type": "image/gif", "data": "REVG"},
    ]


def test_every_setting() -> None:
    wire = body(max_tokens=5, temperature=0.0, top_p=0.5, top_k=3, stop=("a", "b"), user="u", stream=True)
    expected = {"max_tokens": 5, "temperature": 0.0, "top_p": 0.5, "top_k": 3, "stop_sequences": ["a", "b"]}
    assert wire.items() >= (expected | {"metadata": {"user_id": "u"}, "stream": True}).items()


def test_the_limit_where_none_is_given() -> None:
    """The format demands one."""
    assert body(max_output=64_000)["max_tokens"] == 64_000
    assert body(max_output=64_000, max_tokens=7)["max_tokens"] == 7


def test_tools() -> None:
    wire = body(tools=(WEATHER, Tool("now", {}, strict=False)), tool_choice=ToolChoice("tool", "now"))
    assert wire["tools"] == [
        {
            "name": "weather",
            "input_schema": {"type": "object", "properties": {}},
            "description": "of a city",
            "strict": True,
        },
        {"name": "now", "input_schema": {"type": "object"}},
    ]
    assert wire["tool_choice"] == {"type": "tool", "name": "now"}


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("required"), None, {"type": "any"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("none"), False, {"type": "none"}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, expected: Any) -> None:
    wire = body(tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=parallel)
    assert wire.get("tool_choice") == expected


def test_without_tools_nothing_is_said_of_them() -> None:
    assert "tool_choice" not in body(tool_choice=ToolChoice("auto"), parallel_tool_calls=False)
    assert body(tool_choice=ToolChoice("required"))["tool_choice"] == {"type": "any"}


def test_a_schema_joins_what_else_is_said_of_the_output() -> None:
    wanted = ResponseFormat("json_schema", "n", {"type": "object", "properties": {}}, strict=True)
    wire = body(response_format=wanted, extra={"output_config": {"effort": "low"}})
    form = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}
    assert wire["output_config"] == {"effort": "low", "format": form}
    assert "output_config" not in body(response_format=ResponseFormat("text"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -0.5),
        ("logit_bias", {"1": 1.0}),
        ("response_format", ResponseFormat("json_object")),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(**{field: value})
    assert (caught.value.param, field in caught.value.message or field == "response_format") == (field, True)


def test_neutral_values_and_hints_are_no_reason_to_refuse() -> None:
    wire = body(n=1, presence_penalty=0.0, frequency_penalty=0.0, logit_bias={}, seed=7)
    assert wire == body()


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", (ToolCall("c", "f", "{"),)),
        Message("assistant", (ToolCall("c", "f", "[1]"),)),
        Message("assistant", (Image(url="https://a"),)),
        Message("system", (Image(url="https://a"),)),
        Message("user", (Image(data="QUJD"),)),
        Message("user", (Image(url="data:image/svg+xml,<svg/>"),)),
    ],
)
def test_messages_that_cannot_be_said(message: Message) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(message)
    assert caught.value.param == "messages"


def test_only_the_formats_own_fields_are_taken_from_extra() -> None:
    """The rest was said in another dialect, and this vendor refuses what it does not know."""
    thinking = {"type": "enabled", "budget_tokens": 1024}
    wire = body(extra={"thinking": thinking, "store": True, "model": "x", "max_tokens": 1})
    assert wire == body() | {"thinking": thinking}


def test_a_caller_of_the_same_dialect_is_taken_at_its_word() -> None:
    own = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}, "cache_control": {"type": "x"}}
    assert body(extra={"anthropic": own}, reasoning_effort="xhigh") == body() | own
    assert body(extra={"anthropic": {"output_config": {"effort": "low"}}}, reasoning_effort="low") == body() | {
        "output_config": {"effort": "low"}
    }, "an effort alone switches no thinking on"


def test_a_budget_that_was_lowered_replaces_the_callers_own() -> None:
    own = {"thinking": {"type": "enabled", "budget_tokens": 9000, "display": "omitted"}}
    wire = body(extra={"anthropic": own}, reasoning_tokens=1024, reasoning_effort="high")
    assert wire["thinking"] == {"type": "enabled", "budget_tokens": 1024, "display": "omitted"}


def test_marks_for_the_cache_stand_on_their_blocks() -> None:
    mark, hour = {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    wire = body(
        Message("system", (Text("s", "1h"),)),
        Message("user", (Text("Hi", "5m"), Image(url="https://a", cache="5m"), Document(url="https://b", cache="5m"))),
        Message("assistant", (ToolCall("c", "f", "{}", cache="5m"),)),
        Message("tool", (ToolResult("c", "42", cache="5m"),)),
        tools=(Tool("f", {}, cache="1h"),),
    )
    assert wire["system"] == [text("s") | hour]
    blocks = [block for turn in wire["messages"] for block in turn["content"]]
    assert [block["type"] for block in blocks] == ["text", "image", "document", "tool_use", "tool_result"]
    assert all(block["cache_control"] == mark["cache_control"] for block in blocks)
    assert wire["tools"][0]["cache_control"] == hour["cache_control"]
