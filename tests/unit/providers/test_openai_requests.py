"""A request in the words of OpenAI's chat completions."""

import json
from typing import Any

import pytest

from penstock.catalogue import Quirks
from penstock.completion import (
    CompletionRequest,
    Document,
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
from penstock.providers.openai_chat_request import build

COMMON = Quirks()
USER = Message("user", (Text("Hi"),))
WEATHER = Tool("weather", {"type": "object"}, "of a city", strict=True)


def body(*messages: Message, stream: bool = False, quirks: Quirks = COMMON, **fields: Any) -> dict[str, Any]:
    request = CompletionRequest(model="public", messages=messages or (USER,), **fields)
    return build(request, "served", stream=stream, quirks=quirks)


def refused(*messages: Message, **fields: Any) -> str | None:
    """The field that a request is refused for."""
    with pytest.raises(InvalidRequest) as caught:
        body(*messages, **fields)
    return caught.value.param


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


def test_documents() -> None:
    wire = body(
        Message(
            "user",
            (
                Text("Read."),
                Document(data="QUJD", media_type="application/pdf", filename="a.pdf"),
                Document(data="REVG", media_type="application/pdf"),
                Document(url="data:text/plain;base64,R0hJ"),
            ),
        )
    )["messages"]
    assert wire[0]["content"] == [
        {"type": "text", "text": "Read."},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,REVG"}},
        {"type": "file", "file": {"filename": "document.txt", "file_data": "data:text/plain;base64,R0hJ"}},
    ]


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", (Image(url="https://a"),)),
        Message("system", (Document(data="QUJD", media_type="application/pdf"),)),
        Message("user", (Image(data="QUJD"),)),
        Message("user", (Document(data="QUJD"),)),
        Message("user", (Document(url="https://a/b.pdf"),)),
    ],
)
def test_pictures_and_documents_that_cannot_be_said(message: Message) -> None:
    assert refused(message) == "messages"


def test_pictures_of_tools_follow_their_results() -> None:
    """The results of a turn stand together, so the pictures come after the last, before anyone speaks again."""
    picture = Image(data="QUJD", media_type="image/png")
    wire = body(
        Message("assistant", (ToolCall("c1", "f", "{}"), ToolCall("c2", "g", "{}"))),
        Message("tool", (ToolResult("c1", "one", (picture, picture)),)),
        Message("tool", (ToolResult("c2", "two"),)),
        Message("assistant", (ToolCall("c3", "f", "{}"),)),
        Message("user", (ToolResult("c3", "three", (picture,)), Text("and?"))),
    )["messages"]
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}

    def pictures(call: str, count: int) -> Any:
        named = {"type": "text", "text": f"Images from the result of tool call {call}:"}
        return {"role": "user", "content": [named, *[shown] * count]}

    assert [message["role"] for message in wire[:3]] == ["assistant", "tool", "tool"]
    assert (wire[3], wire[4]["role"]) == (pictures("c1", 2), "assistant")
    assert wire[5:] == [
        {"role": "tool", "tool_call_id": "c3", "content": "three"},
        pictures("c3", 1),
        {"role": "user", "content": "and?"},
    ]
    last = body(Message("tool", (ToolResult("c1", "", (picture,)),)))["messages"]
    assert last == [{"role": "tool", "tool_call_id": "c1", "content": ""}, pictures("c1", 1)]


def test_a_tool_that_failed_without_a_word() -> None:
    parts = (ToolResult("c1", "no such city", is_error=True), ToolResult("c2", "", is_error=True))
    wire = body(Message("tool", parts))["messages"]
    assert [message["content"] for message in wire] == ["no such city", "The tool failed."]


THOUGHT = Message("assistant", (Reasoning("hm", "seal"), Text("Yes"), ToolCall("c1", "f", "{}")))


def test_thoughts_are_told_again_where_the_server_wants_them() -> None:
    def own(field: Any, message: Message = THOUGHT) -> dict[str, Any]:
        (wire,) = body(message, quirks=Quirks(reasoning_field=field))["messages"]
        return wire

    untold = own(None)
    assert untold.keys() == {"role", "content", "tool_calls"}
    assert own("reasoning_content") == untold | {"reasoning_content": "hm"}
    assert own("reasoning") == untold | {"reasoning": "hm"}
    sealed = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "seal"}
    assert own("thinking") == untold | {"content": [sealed, {"type": "text", "text": "Yes"}]}
    assert own("reasoning_details") == untold | {"reasoning": "hm"}
    details = [{"type": "reasoning.encrypted", "data": "xyz"}]
    encrypted = Message("assistant", (Reasoning("", json.dumps(details), redacted=True), Text("Yes")))
    assert own("reasoning_details", encrypted) == {
        "role": "assistant",
        "content": "Yes",
        "reasoning_details": details,
    }
    assert own("reasoning_content", encrypted) == {"role": "assistant", "content": "Yes"}


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
    wire = body(max_tokens=5, quirks=Quirks(limit_field="max_completion_tokens"))
    assert wire["max_completion_tokens"] == 5
    assert "max_tokens" not in wire


def test_what_a_server_does_not_support_is_refused_by_name() -> None:
    quirks = Quirks(unsupported=["n", "seed", "logprobs", "logit_bias", "tools", "json_schema", "reasoning_effort"])
    asked = {"n": 2, "seed": 0, "logprobs": True, "logit_bias": {"1": -1}, "tools": (WEATHER,)}
    for name, value in (asked | {"reasoning_effort": "low"}).items():
        assert refused(quirks=quirks, **{name: value}) == name
    assert refused(quirks=quirks, response_format=ResponseFormat("json_schema", "n", {})) == "response_format"
    assert refused(quirks=Quirks(unsupported=["min_p"]), extra={"min_p": 0.1}) == "min_p"


def test_what_is_not_asked_for_is_not_refused() -> None:
    """A neutral value asks for nothing, and is not sent either."""
    quirks = Quirks(unsupported=["n", "presence_penalty", "logit_bias", "logprobs", "parallel_tool_calls", "seed"])
    wire = body(quirks=quirks, n=1, presence_penalty=0.0, logit_bias={}, tools=(WEATHER,), parallel_tool_calls=True)
    assert wire.keys() == {"model", "messages", "tools"}
    assert body(quirks=Quirks(unsupported=["json_schema"]), response_format=ResponseFormat("json_object"))


def test_hints_are_dropped_and_fields_renamed() -> None:
    quirks = Quirks(dropped=["user", "name", "thinking"], renamed={"seed": "random_seed"})
    wire = body(Message("user", (Text("Hi"),), name="ann"), quirks=quirks, seed=7, user="u", extra={"thinking": {}})
    assert wire == body() | {"random_seed": 7}


def test_a_tool_that_must_be_called() -> None:
    def choice(quirks: Quirks) -> Any:
        return body(tools=(WEATHER,), tool_choice=ToolChoice("required"), quirks=quirks)["tool_choice"]

    assert choice(COMMON) == "required"
    assert choice(Quirks(required_tool_choice="any")) == "any"
    none = Quirks(required_tool_choice=None)
    for demand in (ToolChoice("required"), ToolChoice("tool", "weather")):
        assert refused(tools=(WEATHER,), tool_choice=demand, quirks=none) == "tool_choice"


@pytest.mark.parametrize(
    ("reasoning", "asked", "expected"),
    [
        ("reasoning_effort", {"reasoning_effort": "xhigh"}, {"reasoning_effort": "xhigh"}),
        ("reasoning_effort", {"reasoning_effort": "none"}, {"reasoning_effort": "none"}),
        ("reasoning", {"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        ("reasoning", {"reasoning_tokens": 900, "reasoning_effort": "low"}, {"reasoning": {"max_tokens": 900}}),
        ("reasoning_effort", {"reasoning_tokens": 900, "reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        ("thinking", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ("thinking", {"reasoning_effort": "low"}, {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("enable_thinking", {"reasoning_effort": "none"}, {"enable_thinking": False}),
        ("enable_thinking", {"reasoning_effort": "high"}, {"enable_thinking": True}),
        ("enable_thinking", {"reasoning_tokens": 900}, {"enable_thinking": True, "thinking_budget": 900}),
        ("enable_thinking", {}, {}),
    ],
)
def test_how_much_to_think(reasoning: Any, asked: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body(quirks=Quirks(reasoning=reasoning), **asked) == body() | expected


@pytest.mark.parametrize("reasoning", ["reasoning_effort", "thinking"])
def test_a_budget_that_cannot_be_said(reasoning: Any) -> None:
    assert refused(quirks=Quirks(reasoning=reasoning), reasoning_tokens=900) == "reasoning_tokens"


def test_the_callers_own_field_says_more_than_a_word() -> None:
    own = {"thinking": {"type": "enabled", "budget_tokens": 900}}
    assert body(quirks=Quirks(reasoning="thinking"), reasoning_effort="none", extra=own) == body() | own


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


def test_a_stream_of_a_server_that_cannot_be_asked_for_usage() -> None:
    wire = body(stream=True, quirks=Quirks(stream_usage=False), extra={"stream_options": {"include_usage": True}})
    assert wire == body() | {"stream": True}


def test_extra_goes_along_but_overrides_nothing() -> None:
    extra = {"store": False, "model": "x", "temperature": 2, "stream": True, "stream_options": {}, "seed": 4}
    wire = body(temperature=1.0, extra=extra)
    assert wire == body(temperature=1.0) | {"store": False, "seed": 4}


def test_what_only_another_dialect_knows_stays_behind() -> None:
    assert body(extra={"mcp_servers": [], "context_management": {}, "min_p": 0.1}) == body() | {"min_p": 0.1}


def test_what_callers_of_anthropics_dialect_say_to_their_vendor_is_not_forwarded() -> None:
    assert body(extra={"anthropic": {"thinking": {"type": "adaptive"}, "cache_control": {}}}) == body()
