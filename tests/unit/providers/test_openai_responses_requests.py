"""A request in the words of OpenAI's Responses."""

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
from penstock.providers.openai_responses_request import LOGPROBS, SEALED, build

USER = Message("user", (Text("Hi"),))
WEATHER = Tool("weather", {"type": "object"}, "of a city", strict=True)
PICTURE = Image(data="QUJD", media_type="image/png")


def body(*messages: Message, stream: bool = False, quirks: Quirks | None = None, **fields: Any) -> dict[str, Any]:
    request = CompletionRequest(model="public", messages=messages or (USER,), **fields)
    return build(request, "served", stream=stream, quirks=quirks or Quirks())


def items(*messages: Message) -> list[dict[str, Any]]:
    return body(*messages)["input"]


def refused(*messages: Message, **fields: Any) -> str | None:
    """The field that a request is refused for."""
    with pytest.raises(InvalidRequest) as caught:
        body(*messages, **fields)
    return caught.value.param


def test_the_least_request_stores_nothing() -> None:
    assert body() == {"model": "served", "input": [{"role": "user", "content": "Hi"}], "store": False}


def test_a_conversation() -> None:
    """Parts become items in their order: a thought stands before the call that came of it."""
    wire = items(
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("a"), Text("b")), name="ann"),
        Message("assistant", (Reasoning("hm", "seal"), Text("calling"), ToolCall("c1", "f", '{"x": 1}'))),
        Message("tool", (ToolResult("c1", "one"),)),
        Message("assistant", (Text("x"), Text("y"), ToolCall("c2", "g", ""))),
        Message("user", (ToolResult("c2", "two"), Text("and?"))),
        Message("assistant", (Text(""),)),
    )
    assert wire == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]},
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "seal",
        },
        {"role": "assistant", "content": "calling"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"x": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "x"}, {"type": "output_text", "text": "y"}]},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c2", "output": "two"},
        {"role": "user", "content": "and?"},
    ]


def test_thoughts_go_back_by_their_seal() -> None:
    """One that nobody sealed says nothing here; one that had no text has none."""
    hidden = Reasoning("", "seal", redacted=True)
    assert items(Message("assistant", (Reasoning("hm"), hidden, Text("Yes")))) == [
        {"type": "reasoning", "summary": [], "encrypted_content": "seal"},
        {"role": "assistant", "content": "Yes"},
    ]


def test_pictures_and_documents() -> None:
    (wire,) = items(
        Message(
            "user",
            (
                Image(url="https://a/b.png", detail="low"),
                PICTURE,
                Document(url="https://a/b.pdf"),
                Document(data="QUJD", media_type="application/pdf", filename="a.pdf"),
                Document(url="data:text/plain;base64,R0hJ"),
            ),
        )
    )
    assert wire["content"] == [
        {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "auto"},
        {"type": "input_file", "file_url": "https://a/b.pdf"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
        {"type": "input_file", "filename": "document.txt", "file_data": "data:text/plain;base64,R0hJ"},
    ]


def test_pictures_of_tools_stay_with_their_results() -> None:
    parts = (ToolResult("c1", "one", (PICTURE,)), ToolResult("c2", "", (PICTURE,)), ToolResult("c3", "", is_error=True))
    shown = {"type": "input_image", "image_url": "data:image/png;base64,QUJD", "detail": "auto"}
    assert [item["output"] for item in items(Message("tool", parts))] == [
        [{"type": "input_text", "text": "one"}, shown],
        [shown],
        "The tool failed.",
    ]


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", (Image(url="https://a"),)),
        Message("system", (Document(url="https://a"),)),
        Message("user", (Image(data="QUJD"),)),
        Message("user", (Document(data="QUJD"),)),
    ],
)
def test_messages_that_cannot_be_said(message: Message) -> None:
    assert refused(message) == "messages"


def test_every_setting() -> None:
    wire = body(max_tokens=5, temperature=0.0, top_p=0.5, user="u", logprobs=True, top_logprobs=2, stream=True)
    assert wire == body() | {
        "max_output_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "user": "u",
        "top_logprobs": 2,
        "include": [LOGPROBS],
        "stream": True,
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("top_k", 3),
        ("presence_penalty", 0.5),
        ("frequency_penalty", -0.5),
        ("logit_bias", {"1": 1.0}),
        ("reasoning_tokens", 900),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(field: str, value: Any) -> None:
    assert refused(**{field: value}) == field


def test_a_budget_of_thinking_that_is_told_in_words_too() -> None:
    assert body(reasoning_tokens=900, reasoning_effort="low")["reasoning"]["effort"] == "low"


def test_neutral_values_and_hints_are_no_reason_to_refuse() -> None:
    assert body(n=1, presence_penalty=0.0, frequency_penalty=0.0, logit_bias={}, seed=7, top_logprobs=3) == body()


def test_tools() -> None:
    """`strict` is always said: here it would be true if left out."""
    wire = body(tools=(WEATHER, Tool("now", {})), tool_choice=ToolChoice("tool", "now"), parallel_tool_calls=False)
    weather = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": True}
    assert wire["tools"] == [
        weather | {"description": "of a city"},
        {"type": "function", "name": "now", "parameters": {}, "strict": False},
    ]
    assert wire["tool_choice"] == {"type": "function", "name": "now"}
    assert wire["parallel_tool_calls"] is False


@pytest.mark.parametrize("mode", ["auto", "none", "required"])
def test_tool_choice_by_mode(mode: Any) -> None:
    assert body(tools=(WEATHER,), tool_choice=ToolChoice(mode))["tool_choice"] == mode


def test_without_tools_nothing_is_said_of_them() -> None:
    assert body(tool_choice=ToolChoice("auto"), parallel_tool_calls=True) == body()
    assert body(tool_choice=ToolChoice("required"))["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ResponseFormat("text"), {"type": "text"}),
        (ResponseFormat("json_object"), {"type": "json_object"}),
        (
            ResponseFormat("json_schema", "n", {"type": "object"}, strict=True),
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
        ),
        (ResponseFormat("json_schema"), {"type": "json_schema", "name": "answer", "schema": {}}),
    ],
)
def test_response_format(wanted: ResponseFormat, expected: Any) -> None:
    assert body(response_format=wanted)["text"] == {"format": expected}
    both = body(response_format=wanted, extra={"text": {"verbosity": "low", "format": {"type": "other"}}})["text"]
    assert both == {"verbosity": "low", "format": expected}


def test_seals_are_asked_for_where_thoughts_play_a_part() -> None:
    """A model that does not think refuses to seal."""
    assert "include" not in body()
    assert "include" not in body(reasoning_effort="none")
    assert body(reasoning_effort="none")["reasoning"] == {"effort": "none"}
    assert body(reasoning_effort="low")["include"] == [SEALED]
    assert body(USER, Message("assistant", (Reasoning("", "seal", redacted=True),)), USER)["include"] == [SEALED]
    own = {"include": ["web_search_call.results", SEALED], "reasoning": {"summary": "auto", "effort": "high"}}
    wire = body(reasoning_effort="low", logprobs=True, extra=own)
    assert wire["include"] == ["web_search_call.results", SEALED, LOGPROBS]
    assert wire["reasoning"] == {"summary": "auto", "effort": "high"}


def test_only_the_formats_own_fields_are_taken_from_extra() -> None:
    extra = {"service_tier": "flex", "min_p": 0.1, "store": True, "stream": True, "model": "x", "background": True}
    assert body(extra=extra) == body() | {"service_tier": "flex"}


def test_quirks_hold_here_too() -> None:
    quirks = Quirks(unsupported=["user"], dropped=["store"], renamed={"max_output_tokens": "max_tokens"})
    assert refused(user="u", quirks=quirks) == "user"
    wire = body(max_tokens=5, quirks=quirks)
    assert (wire["max_tokens"], "store" in wire) == (5, False)
