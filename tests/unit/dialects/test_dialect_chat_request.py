"""Chat bodies: what is read, and which field is named when it cannot be."""

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
from penstock.dialects.openai_chat import parse
from penstock.errors import InvalidRequest

USER = {"role": "user", "content": "Hi"}
BODY: dict[str, Any] = {"model": "m", "messages": [USER]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def content(value: Any, role: str = "user") -> dict[str, Any]:
    return BODY | {"messages": [{"role": role, "content": value}]}


def test_the_least_body():
    request = parse(BODY)
    assert (request.model, request.messages) == ("m", (Message("user", (Text("Hi"),)),))
    assert (request.n, request.stop, request.tools, request.extra) == (1, (), (), {})
    assert request.temperature is request.max_tokens is request.response_format is None


def test_every_role():
    messages = [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {
            "role": "tool",
            "tool_call_id": "c",
            "content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}],
        },
        {"role": "assistant", "content": "t", "tool_calls": []},
        {"role": "assistant", "content": None, "refusal": "no"},
    ]
    assert parse(BODY | {"messages": messages}).messages == (
        Message("system", (Text("s"),)),
        Message("system", (Text("d"),)),
        Message("user", (Text("a"), Text("b")), "Ann"),
        Message("assistant", (ToolCall("c", "f", "{}"),)),
        Message("tool", (ToolResult("c", "42"),)),
        Message("assistant", (Text("t"),)),
        Message("assistant", (Text("no"),)),
    )


@pytest.mark.parametrize(
    ("url", "image"),
    [
        ("https://h/a.png", Image(url="https://h/a.png", detail="low")),
        ("data:image/png;base64,QUJD", Image(data="QUJD", media_type="image/png", detail="low")),
    ],
)
def test_pictures(url: str, image: Image):
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    assert parse(content([part])).messages[0].parts == (image,)


def test_every_parameter():
    request = parse(
        BODY
        | {
            "max_tokens": 7, "temperature": 0, "top_p": 0.5, "top_k": 4, "n": 2, "stop": "x", "seed": -1,
            "presence_penalty": -2, "frequency_penalty": 2.0, "logit_bias": {"5": -100}, "logprobs": True,
            "top_logprobs": 20, "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}},
            "parallel_tool_calls": False, "user": "u",
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
        }
    )  # fmt: skip
    assert (request.max_tokens, request.temperature, request.top_p, request.top_k, request.n) == (7, 0, 0.5, 4, 2)
    assert (request.stop, request.seed, request.logit_bias) == (("x",), -1, {"5": -100})
    assert (request.presence_penalty, request.frequency_penalty) == (-2, 2.0)
    assert (request.logprobs, request.top_logprobs, request.parallel_tool_calls, request.user) == (True, 20, False, "u")
    assert (request.tools, request.tool_choice) == ((Tool("f", {"type": "object"}),), ToolChoice("tool", "f"))
    assert request.response_format == ResponseFormat("json_schema", "n", {}, True)
    assert request.extra == {}


def test_synonyms_and_forms():
    assert parse(BODY | {"max_completion_tokens": 3}).max_tokens == 3
    assert parse(BODY | {"max_completion_tokens": 3, "max_tokens": 9}).max_tokens == 3
    assert parse(BODY | {"stop": ["a", "b", "c", "d"]}).stop == ("a", "b", "c", "d")
    assert parse(BODY | {"response_format": {"type": "json_object"}}).response_format == ResponseFormat("json_object")
    assert parse(BODY | {"response_format": {"type": "text"}}).response_format is None
    assert parse(BODY | {"tools": [TOOL], "tool_choice": "required"}).tool_choice == ToolChoice("required")


def test_an_empty_list_of_tools_leaves_nothing_of_tools():
    request = parse(BODY | {"tools": [], "tool_choice": "auto", "parallel_tool_calls": True})
    assert (request.tools, request.tool_choice, request.parallel_tool_calls, request.extra) == ((), None, None, {})


def test_null_counts_as_left_out():
    names = ("temperature", "max_tokens", "stop", "n", "tools", "tool_choice", "stream", "metadata", "an_extension")
    assert parse(BODY | dict.fromkeys(names)) == parse(BODY)


def test_unknown_fields_go_to_the_provider_but_ours_stay():
    ours = {"store": False, "metadata": {"a": "b"}, "stream": True, "stream_options": {"include_usage": True}}
    theirs = {"service_tier": "flex", "reasoning_effort": "default", "min_p": 0.1, "chat_template_kwargs": {"x": [1]}}
    assert parse(BODY | ours | theirs).extra == theirs


def test_effort_is_neutral_in_the_common_words_and_left_to_the_server_in_its_own():
    known, own = parse(BODY | {"reasoning_effort": "low"}), parse(BODY | {"reasoning_effort": "default"})
    assert (known.reasoning_effort, known.extra) == ("low", {})
    assert (own.reasoning_effort, own.extra) == (None, {"reasoning_effort": "default"})


@pytest.mark.parametrize(
    ("file", "document"),
    [
        ({"file_data": "data:text/csv;base64,QQ==", "filename": "a.pdf"}, Document(None, "QQ==", "text/csv", "a.pdf")),
        ({"file_data": "QQ==", "filename": "a.TXT"}, Document(None, "QQ==", "text/plain", "a.TXT")),
        ({"file_data": "QQ=="}, Document(None, "QQ==", "application/pdf")),
        ({"file_url": "https://h/a.pdf"}, Document(url="https://h/a.pdf")),
    ],
)
def test_documents(file: dict[str, Any], document: Document):
    request = parse(content([{"type": "file", "file": file}, {"type": "text", "text": "?"}]))
    assert request.messages == (Message("user", (document, Text("?"))),)


def test_thoughts_come_back_sealed_where_they_were():
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "s"},
        {"type": "reasoning.encrypted", "data": "d"},
        {"type": "reasoning.summary", "summary": "?"},
    ]
    call = CALL | {"extra_content": {"google": {"thought_signature": "g"}}}
    plain = {"role": "assistant", "content": "a", "reasoning_content": "hm"}
    sealed = {"role": "assistant", "tool_calls": [call], "reasoning_content": "hm", "reasoning_details": details}
    request = parse(BODY | {"messages": [plain, sealed]})
    assert request.messages == (
        Message("assistant", (Reasoning("hm"), Text("a"))),
        Message("assistant", (Reasoning("hm", "s"), Reasoning("", "d", redacted=True), ToolCall("c", "f", "{}", "g"))),
    )


def test_no_temperature_is_the_providers_own():
    """0 is a wish, left out is none: a falsy default would turn one into the other."""
    assert parse(BODY | {"temperature": 0}).temperature == 0
    assert parse(BODY).temperature is None


MISSING, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"messages": [USER]}, "model", MISSING),
        ({"model": None, "messages": [USER]}, "model", MISSING),
        ({"model": 1, "messages": [USER]}, "model", TYPE),
        ({"model": "", "messages": [USER]}, "model", VALUE),
        ({"model": "m"}, "messages", MISSING),
        ({"model": "m", "messages": "Hi"}, "messages", TYPE),
        ({"model": "m", "messages": []}, "messages", VALUE),
        (BODY | {"messages": ["Hi"]}, "messages[0]", TYPE),
        (BODY | {"messages": [USER, {"content": "Hi"}]}, "messages[1].role", MISSING),
        (BODY | {"messages": [{"role": 1, "content": "Hi"}]}, "messages[0].role", TYPE),
        (BODY | {"messages": [{"role": "wizard", "content": "Hi"}]}, "messages[0].role", VALUE),
        (BODY | {"messages": [{"role": "user"}]}, "messages[0].content", MISSING),
        (content(None), "messages[0].content", MISSING),
        (content(None, "assistant"), "messages[0].content", MISSING),
        (content(7), "messages[0].content", TYPE),
        (content(7, "assistant"), "messages[0].content", TYPE),
        (content(0, "assistant"), "messages[0].content", TYPE),
        (content([]), "messages[0].content", VALUE),
        (content(["Hi"]), "messages[0].content[0]", TYPE),
        (content([{"text": "Hi"}]), "messages[0].content[0].type", MISSING),
        (content([{"type": "text"}]), "messages[0].content[0].text", MISSING),
        (content([{"type": "text", "text": 1}]), "messages[0].content[0].text", TYPE),
        (content([{"type": "input_audio"}]), "messages[0].content[0].type", VALUE),
        (content([{"type": "image_url", "image_url": {"url": "x"}}], "system"), "messages[0].content[0].type", VALUE),
        (content([{"type": "image_url"}]), "messages[0].content[0].image_url", MISSING),
        (content([{"type": "image_url", "image_url": "x"}]), "messages[0].content[0].image_url", TYPE),
        (content([{"type": "image_url", "image_url": {}}]), "messages[0].content[0].image_url.url", MISSING),
        (
            content([{"type": "file", "file": {"file_id": "file-1"}}]),
            "messages[0].content[0].file.file_id",
            VALUE,
        ),
        (content([{"type": "file", "file": {}}]), "messages[0].content[0].file.file_data", MISSING),
        (content([{"type": "file", "file": {}}], "system"), "messages[0].content[0].type", VALUE),
        (content([{"type": "file"}]), "messages[0].content[0].file", MISSING),
        (
            content([{"type": "file", "file": {"file_url": "ftp://x"}}]),
            "messages[0].content[0].file.file_url",
            VALUE,
        ),
        (BODY | {"reasoning_effort": 1}, "reasoning_effort", TYPE),
        (
            BODY | {"messages": [{"role": "assistant", "content": "x", "reasoning_content": 1}]},
            "messages[0].reasoning_content",
            TYPE,
        ),
        (
            content([{"type": "image_url", "image_url": {"url": "file:x"}}]),
            "messages[0].content[0].image_url.url",
            VALUE,
        ),
        (
            content([{"type": "image_url", "image_url": {"url": "data:image/png,x"}}]),
            "messages[0].content[0].image_url.url",
            VALUE,
        ),
        (BODY | {"messages": [USER | {"name": 5}]}, "messages[0].name", TYPE),
        (content("x", "tool"), "messages[0].tool_call_id", MISSING),
        (
            BODY | {"messages": [{"role": "assistant", "tool_calls": [CALL | {"id": None}]}]},
            "messages[0].tool_calls[0].id",
            MISSING,
        ),
        (
            BODY | {"messages": [{"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f"}}]}]},
            "messages[0].tool_calls[0].function.arguments",
            MISSING,
        ),
        (
            BODY | {"messages": [{"role": "assistant", "tool_calls": [CALL | {"type": "custom"}]}]},
            "messages[0].tool_calls[0].type",
            VALUE,
        ),
        (BODY | {"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls", TYPE),
        (BODY | {"temperature": "hot"}, "temperature", TYPE),
        (BODY | {"temperature": True}, "temperature", TYPE),
        (BODY | {"temperature": 2.5}, "temperature", VALUE),
        (BODY | {"top_p": -0.1}, "top_p", VALUE),
        (BODY | {"presence_penalty": 3}, "presence_penalty", VALUE),
        (BODY | {"max_tokens": 0}, "max_tokens", VALUE),
        (BODY | {"max_tokens": 1.5}, "max_tokens", TYPE),
        (BODY | {"max_completion_tokens": "9"}, "max_completion_tokens", TYPE),
        (BODY | {"n": 0}, "n", VALUE),
        (BODY | {"n": 129}, "n", VALUE),
        (BODY | {"seed": 2**63}, "seed", VALUE),
        (BODY | {"stop": 1}, "stop", TYPE),
        (BODY | {"stop": ["a", 1]}, "stop", TYPE),
        (BODY | {"logit_bias": {"1": "x"}}, "logit_bias", TYPE),
        (BODY | {"logprobs": 1}, "logprobs", TYPE),
        (BODY | {"logprobs": True, "top_logprobs": 21}, "top_logprobs", VALUE),
        (BODY | {"top_logprobs": 5}, "top_logprobs", VALUE),
        (BODY | {"tools": {}}, "tools", TYPE),
        (BODY | {"tools": ["f"]}, "tools[0]", TYPE),
        (BODY | {"tools": [{"function": {"name": "f"}}]}, "tools[0].type", MISSING),
        (BODY | {"tools": [{"type": "custom"}]}, "tools[0].type", VALUE),
        (BODY | {"tools": [{"type": "function"}]}, "tools[0].function", MISSING),
        (BODY | {"tools": [TOOL, {"type": "function", "function": {}}]}, "tools[1].function.name", MISSING),
        (
            BODY | {"tools": [{"type": "function", "function": {"name": "f", "parameters": []}}]},
            "tools[0].function.parameters",
            TYPE,
        ),
        (BODY | {"tool_choice": "required"}, "tool_choice", VALUE),
        (BODY | {"tools": [TOOL], "tool_choice": "maybe"}, "tool_choice", VALUE),
        (BODY | {"tools": [TOOL], "tool_choice": 1}, "tool_choice", TYPE),
        (BODY | {"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.function", MISSING),
        (
            BODY | {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "tool_choice",
            VALUE,
        ),
        (BODY | {"response_format": "json"}, "response_format", TYPE),
        (BODY | {"response_format": {"type": "xml"}}, "response_format.type", VALUE),
        (BODY | {"response_format": {"type": "json_schema"}}, "response_format.json_schema", MISSING),
        (
            BODY | {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "response_format.json_schema.schema",
            MISSING,
        ),
        (BODY | {"stream": "yes"}, "stream", TYPE),
        (BODY | {"stream_options": []}, "stream_options", TYPE),
        (BODY | {"metadata": {"a": 1}}, "metadata", TYPE),
        (BODY | {"metadata": {"a": "x" * 513}}, "metadata", VALUE),
        (BODY | {"metadata": {str(i): "" for i in range(17)}}, "metadata", VALUE),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str, code: str):
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert (caught.value.param, caught.value.code, caught.value.status) == (param, code, 400)
    assert param in caught.value.message


def test_the_callback_address_is_not_the_providers_business() -> None:
    assert parse(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "callback_url": "https://a.example/", "x": 1}
    ).extra == {"x": 1}
