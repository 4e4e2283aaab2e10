"""Bodies of Anthropic's messages: what is read, and which field is named when it cannot be."""

import base64
from typing import Any

import pytest

from penstock.completion import (
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
from penstock.dialects.anthropic_messages import parse, parse_prompt
from penstock.errors import InvalidRequest

USER = {"role": "user", "content": "Hi"}
BODY: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [USER]}
TOOL = {"name": "f", "input_schema": {"type": "object"}}
FORMAT = {"type": "json_schema", "schema": {"type": "object"}}


def content(value: Any, role: str = "user") -> dict[str, Any]:
    return BODY | {"messages": [{"role": role, "content": value}]}


def parts(value: Any, role: str = "user") -> tuple[Any, ...]:
    (message,) = parse(content(value, role)).messages
    return message.parts


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def test_the_least_body():
    request = parse(BODY)
    assert (request.model, request.max_tokens, request.messages) == ("m", 9, (Message("user", (Text("Hi"),)),))
    assert (request.n, request.stop, request.tools, request.fallback) == (1, (), (), ())
    assert request.temperature is request.response_format is request.reasoning_effort is request.user is None
    assert request.extra == {"anthropic": {}}


@pytest.mark.parametrize("system", [None, "", []])
def test_a_system_prompt_that_says_nothing_is_none(system: Any):
    assert [message.role for message in parse(BODY | {"system": system}).messages] == ["user"]


def test_a_system_prompt_stands_first():
    blocks = [text("a", cache_control={"type": "ephemeral"}), text("b")]
    assert parse(BODY | {"system": "s"}).messages[0] == Message("system", (Text("s"),))
    assert parse(BODY | {"system": blocks}).messages[0] == Message("system", (Text("a", "5m"), Text("b")))
    inside = parse(BODY | {"messages": [{"role": "system", "content": "s"}, USER]})
    assert [message.role for message in inside.messages] == ["system", "user"]


def test_pictures_and_documents():
    found = parts(
        [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}},
            {"type": "document", "title": "t", "source": {"type": "text", "media_type": "text/plain", "data": "é"}},
            {"type": "document", "source": {"type": "content", "content": [text("a"), text("b")]}},
            {"type": "document", "source": {"type": "url", "url": "https://x/y.pdf"}},
        ]
    )
    assert found == (
        Image(data="AA==", media_type="image/png"),
        Image(url="https://x/y.png"),
        Document(data="AA==", media_type="application/pdf"),
        Document(data=base64.b64encode("é".encode()).decode(), media_type="text/plain", filename="t"),
        Document(data=base64.b64encode(b"a\nb").decode(), media_type="text/plain"),
        Document(url="https://x/y.pdf"),
    )


def test_an_assistants_turn():
    found = parts(
        [
            {"type": "thinking", "thinking": "hm", "signature": "seal"},
            {"type": "thinking", "thinking": "hm", "signature": ""},
            {"type": "redacted_thinking", "data": "dark"},
            text("t"),
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": "é"}},
        ],
        "assistant",
    )
    assert found == (
        Reasoning("hm", "seal"),
        Reasoning("hm"),
        Reasoning("", "dark", redacted=True),
        Text("t"),
        ToolCall("toolu_1", "f", '{"x":"é"}'),
    )
    assert parts([], "assistant") == (Text(""),)


def test_results_of_tools_come_before_what_is_said_beside_them():
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    request = parse(
        content(
            [
                text("and?"),
                {"type": "tool_result", "tool_use_id": "a", "content": [text("4"), picture, text("2")]},
                {"type": "tool_result", "tool_use_id": "b", "content": "no", "is_error": True},
                {"type": "tool_result", "tool_use_id": "c"},
            ]
        )
    )
    image = Image(data="AA==", media_type="image/png")
    results = (ToolResult("a", "4\n2", (image,)), ToolResult("b", "no", is_error=True), ToolResult("c", ""))
    assert request.messages == (Message("tool", results), Message("user", (Text("and?"),)))


def test_messages_of_one_role_are_one_turn():
    """Results in a second message too stand before what was said in the first: they answer the assistant."""
    result = {"type": "tool_result", "tool_use_id": "a", "content": "4"}
    request = parse(
        {
            "model": "m",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "one"},
                {"role": "user", "content": [text("two")]},
                {"role": "assistant", "content": "three"},
                {"role": "assistant", "content": "four"},
                {"role": "user", "content": "five"},
                {"role": "user", "content": [result]},
            ],
        }
    )
    assert request.messages == (
        Message("user", (Text("one"), Text("two"))),
        Message("assistant", (Text("three"), Text("four"))),
        Message("tool", (ToolResult("a", "4"),)),
        Message("user", (Text("five"),)),
    )


def test_settings():
    request = parse(
        BODY
        | {
            "temperature": 0.5, "top_p": 0.9, "top_k": 3, "stop_sequences": ["x", "y"],
            "metadata": {"user_id": "ann"}, "fallback": ["other"], "stream": True, "service_tier": "auto",
            "diagnostics": {"a": 1},
        }
    )  # fmt: skip
    assert (request.temperature, request.top_p, request.top_k, request.stop) == (0.5, 0.9, 3, ("x", "y"))
    assert (request.user, request.fallback) == ("ann", ("other",))
    assert request.extra == {"anthropic": {}}, "what concerns nobody but the vendor's own service is left out"


def test_tools():
    tool = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True, "type": "custom"}
    marked = tool | {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert parse(BODY | {"tools": [tool, marked]}).tools == (
        Tool("f", {"type": "object"}, "d", strict=True),
        Tool("f", {"type": "object"}, "d", strict=True, cache="1h"),
    )
    assert parse(BODY | {"tools": []}).tools == ()


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "none"}, ToolChoice("none")),
        ({"type": "tool", "name": "f"}, ToolChoice("tool", "f")),
    ],
)
def test_choosing_tools(choice: dict[str, Any], expected: ToolChoice):
    request = parse(BODY | {"tools": [TOOL], "tool_choice": choice})
    assert (request.tool_choice, request.parallel_tool_calls) == (expected, None)
    alone = parse(BODY | {"tools": [TOOL], "tool_choice": choice | {"disable_parallel_tool_use": True}})
    assert alone.parallel_tool_calls is False


def test_without_tools_a_choice_says_nothing():
    for kind in ("auto", "none"):
        request = parse(BODY | {"tools": [], "tool_choice": {"type": kind, "disable_parallel_tool_use": True}})
        assert request.tool_choice is request.parallel_tool_calls is None


@pytest.mark.parametrize(
    ("fields", "effort", "tokens"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "low", 1024),
        ({"thinking": {"type": "enabled", "budget_tokens": 8000}}, "medium", 8000),
        ({"thinking": {"type": "enabled", "budget_tokens": 16000}}, "high", 16000),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "max"}},
            "max",
            1024,
        ),
        ({"thinking": {"type": "adaptive"}}, None, None),
        ({"thinking": {"type": "disabled"}}, None, None),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}, "low", None),
    ],
)
def test_thinking(fields: dict[str, Any], effort: str | None, tokens: int | None):
    request = parse(BODY | fields)
    assert (request.reasoning_effort, request.reasoning_tokens) == (effort, tokens)
    assert request.extra == {"anthropic": fields}, "the same wire format is told in its own words"


def test_the_form_of_the_answer():
    request = parse(BODY | {"output_config": {"format": FORMAT}})
    assert request.response_format == ResponseFormat("json_schema", schema={"type": "object"})


def test_marks_for_the_cache():
    mark = {"cache_control": {"type": "ephemeral"}}
    (first, second) = parts([text("a", **mark), text("b", cache_control={"type": "ephemeral", "ttl": "1h"})])
    assert (first.cache, second.cache) == ("5m", "1h")
    assert parts([text("a", cache_control={"type": "later"})]) == (Text("a"),)
    assert parse(BODY | mark).extra == {"anthropic": mark}


def test_a_prompt_alone_needs_no_limit():
    prompt = {name: value for name, value in BODY.items() if name != "max_tokens"}
    assert parse_prompt(prompt).messages == parse(BODY).messages
    with pytest.raises(InvalidRequest):
        parse_prompt({"model": "m"})


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": 1, "messages": [USER]}, "model"),
        ({"model": "", "max_tokens": 1, "messages": [USER]}, "model"),
        ({"model": "m", "messages": [USER]}, "max_tokens"),
        (BODY | {"max_tokens": 0}, "max_tokens"),
        (BODY | {"max_tokens": "9"}, "max_tokens"),
        ({"model": "m", "max_tokens": 1}, "messages"),
        (BODY | {"messages": []}, "messages"),
        (BODY | {"messages": {}}, "messages"),
        (BODY | {"messages": ["Hi"]}, "messages[0]"),
        (BODY | {"messages": [{"content": "x"}]}, "messages[0].role"),
        (BODY | {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (BODY | {"messages": [{"role": "user"}]}, "messages[0].content"),
        (content([]), "messages[0].content"),
        (content(3), "messages[0].content"),
        (content(["x"]), "messages[0].content[0]"),
        (content([{"text": "x"}]), "messages[0].content[0].type"),
        (content([{"type": "text"}]), "messages[0].content[0].text"),
        (content([{"type": "tool_use", "id": "a", "name": "f", "input": {}}]), "messages[0].content[0].type"),
        (content([{"type": "server_tool_use"}], "assistant"), "messages[0].content[0].type"),
        (content([{"type": "tool_use", "id": "a", "name": "f", "input": "{}"}], "assistant"),
         "messages[0].content[0].input"),
        (content([{"type": "tool_use", "name": "f", "input": {}}], "assistant"), "messages[0].content[0].id"),
        (content([{"type": "tool_result"}]), "messages[0].content[0].tool_use_id"),
        (content([{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "document"}]}]),
         "messages[0].content[0].content[0].type"),
        (content([{"type": "image"}]), "messages[0].content[0].source"),
        (content([{"type": "image", "source": {"type": "file", "file_id": "f"}}]),
         "messages[0].content[0].source.type"),
        (content([{"type": "image", "source": {"type": "url", "url": "ftp://x"}}]),
         "messages[0].content[0].source.url"),
        (content([{"type": "image", "source": {"type": "base64", "data": "AA=="}}]),
         "messages[0].content[0].source.media_type"),
        (content([{"type": "document", "source": {"type": "file"}}]), "messages[0].content[0].source.type"),
        (BODY | {"system": 3}, "system"),
        (BODY | {"system": [{"type": "image"}]}, "system[0].type"),
        (BODY | {"temperature": "hot"}, "temperature"),
        (BODY | {"top_p": 2}, "top_p"),
        (BODY | {"top_k": -1}, "top_k"),
        (BODY | {"stream": "yes"}, "stream"),
        (BODY | {"stop_sequences": "x"}, "stop_sequences"),
        (BODY | {"stop_sequences": ["x", 3]}, "stop_sequences[1]"),
        (BODY | {"stop_sequences": [""]}, "stop_sequences[0]"),
        (BODY | {"metadata": "x"}, "metadata"),
        (BODY | {"metadata": {"user_id": 3}}, "metadata.user_id"),
        (BODY | {"fallback": "x"}, "fallback"),
        (BODY | {"tools": {}}, "tools"),
        (BODY | {"tools": [{"input_schema": {}}]}, "tools[0].name"),
        (BODY | {"tools": [{"name": "f"}]}, "tools[0].input_schema"),
        (BODY | {"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools[0].type"),
        (BODY | {"tool_choice": "auto"}, "tool_choice"),
        (BODY | {"tool_choice": {"type": "some"}}, "tool_choice.type"),
        (BODY | {"tool_choice": {"type": "any"}}, "tool_choice"),
        (BODY | {"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice.name"),
        (BODY | {"thinking": True}, "thinking"),
        (BODY | {"thinking": {"type": "deep"}}, "thinking.type"),
        (BODY | {"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        (BODY | {"thinking": {"type": "enabled", "budget_tokens": "x"}}, "thinking.budget_tokens"),
        (BODY | {"output_config": 3}, "output_config"),
        (BODY | {"output_config": {"effort": "some"}}, "output_config.effort"),
        (BODY | {"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        (BODY | {"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(body: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert caught.value.param == param
    assert param in caught.value.message
