"""A request in the words of Bedrock's Converse."""

import json
from typing import Any

import pytest

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
from penstock.providers.bedrock_request import NO_OUTPUT, build

USER = Message("user", (Text("Hi"),))
CALLED = (Message("assistant", (ToolCall("c1", "f", "{}"),)), Message("tool", (ToolResult("c1", "one"),)))
WEATHER = Tool("weather", {"properties": {}}, "of a city", strict=True)
CLAUDE = "eu.anthropic.claude-sonnet-4-6"
NOVA = "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-2-lite-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"
PDF = {"data": "QUJD", "media_type": "application/pdf"}


def body(*messages: Message, model: str = "mistral.large", stream: bool = False, **fields: Any) -> dict[str, Any]:
    request = CompletionRequest(model="public", messages=messages or (USER,), **fields)
    return build(request, model, stream=stream)


def content(*parts: Any) -> list[dict[str, Any]]:
    return body(Message("user", parts))["messages"][0]["content"]


def test_the_least_request() -> None:
    assert body() == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}


def test_a_conversation() -> None:
    """Turns of one role are merged, the results of tools come first in theirs, blank texts are left out."""
    wire = body(
        Message("system", (Text("Be brief."), Text(" "))),
        Message("user", (Text("a"),), name="ann"),
        Message("user", (Text("b"),)),
        Message("assistant", (Text("\n\n"), ToolCall("c1", "f", '{"x": 1}'), ToolCall("c2", "g", ""))),
        Message("tool", (ToolResult("c1", "one"),)),
        Message("user", (Text("and?"),)),
        Message("tool", (ToolResult("c2", "no such tool", is_error=True),)),
        Message("assistant", (Text(""),)),
        tools=(WEATHER,),
    )
    assert wire["system"] == [{"text": "Be brief."}]
    assert wire["messages"] == [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {
            "role": "assistant",
            "content": [
                {"toolUse": {"toolUseId": "c1", "name": "f", "input": {"x": 1}}},
                {"toolUse": {"toolUseId": "c2", "name": "g", "input": {}}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "c1", "content": [{"text": "one"}]}},
                {"toolResult": {"toolUseId": "c2", "content": [{"text": "no such tool"}], "status": "error"}},
                {"text": "and?"},
            ],
        },
    ]


def test_thinking_goes_back_with_its_signature() -> None:
    """What nobody signed was thought by another model, and is left out."""
    thought = (Reasoning("hm", "c2ln"), Reasoning("", "ZQ==", redacted=True), Reasoning("else"), Text("so"))
    assert body(USER, Message("assistant", thought))["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "ZQ=="}},
        {"text": "so"},
    ]


def test_images_travel_as_bytes() -> None:
    blocks = content(
        Image(data="QUJD", media_type="image/jpg"),
        Image(url="data:image/webp;base64,REVG", detail="low"),
    )
    assert [block["image"] for block in blocks] == [
        {"format": "jpeg", "source": {"bytes": "QUJD"}},
        {"format": "webp", "source": {"bytes": "REVG"}},
    ]


def test_documents_get_names_that_the_vendor_takes() -> None:
    """No two are the same, whatever their case; a name that has nothing left becomes a plain one."""
    files = ["John's  report_v1.pdf", "JOHN S REPORT V1", None, "分期报告.pdf", "a.b (1) [x].md", "r" * 400]
    blocks = content(*(Document(filename=name, **PDF) for name in files), Text("Read."))
    names = [block["document"]["name"] for block in blocks[:-1]]
    assert names[:5] == ["John s report v1", "JOHN S REPORT V1 (2)", "document", "document (2)", "a b (1) [x]"]
    assert len(names[5]) <= 200
    assert blocks[0]["document"] == {"format": "pdf", "source": {"bytes": "QUJD"}, "name": "John s report v1"}


def test_names_are_unique_across_turns() -> None:
    wire = body(
        Message("user", (Document(filename="a.pdf", **PDF), Text("Read."))),
        Message("assistant", (Text("Done."),)),
        Message("user", (Document(filename="a.txt", data="QUJD", media_type="text/plain"), Text("And this."))),
    )
    first, second = wire["messages"][0]["content"][0], wire["messages"][2]["content"][0]
    assert (first["document"]["name"], second["document"]["name"]) == ("a", "a (2)")
    assert second["document"]["format"] == "txt"


def test_a_tools_result_with_pictures_and_one_without_anything() -> None:
    """A blank text is refused by Claude, an empty list by others."""
    shot = Image(data="QUJD", media_type="image/png")
    results = (ToolResult("c1", "", (shot,)), ToolResult("c2", "\n"))
    called = Message("assistant", (ToolCall("c1", "f", ""), ToolCall("c2", "f", "")))
    wire = body(USER, called, Message("tool", results), tools=(WEATHER,))
    assert [block["toolResult"]["content"] for block in wire["messages"][2]["content"]] == [
        [{"image": {"format": "png", "source": {"bytes": "QUJD"}}}],
        [{"text": NO_OUTPUT}],
    ]


def test_every_setting() -> None:
    wire = body(max_tokens=5, temperature=0.0, top_p=0.5, stop=("a", "b"), top_k=3)
    assert wire["inferenceConfig"] == {"maxTokens": 5, "temperature": 0.0, "topP": 0.5, "stopSequences": ["a", "b"]}
    assert wire["additionalModelRequestFields"] == {"top_k": 3}


@pytest.mark.parametrize(
    ("model", "asked", "fields"),
    [
        (CLAUDE, {"top_k": 3}, {"top_k": 3}),
        (NOVA, {"top_k": 3}, {"inferenceConfig": {"topK": 3}}),
        ("cohere.command-r-v1:0", {"top_k": 3}, {"k": 3}),
        (PROFILE, {"top_k": 3}, {"top_k": 3}),
        (CLAUDE, {"reasoning_tokens": 2000}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
        (
            CLAUDE,
            {"reasoning_tokens": 2000, "reasoning_effort": "low"},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            CLAUDE,
            {"reasoning_effort": "xhigh"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        ),
        (CLAUDE, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        (
            NOVA,
            {"reasoning_effort": "max"},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
        ),
        (NOVA, {"reasoning_effort": "none"}, {"reasoningConfig": {"type": "disabled"}}),
        (
            NOVA,
            {"reasoning_effort": "high", "reasoning_tokens": 2000},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}},
        ),
        ("openai.gpt-oss-120b-1:0", {"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}),
        ("us.openai.gpt-5.6-sol", {"reasoning_effort": "max"}, {"reasoning": {"effort": "max"}}),
        ("us.openai.gpt-5.6-sol", {"reasoning_effort": "none"}, {"reasoning": {"effort": "none"}}),
    ],
)
def test_what_is_said_in_the_makers_own_words(model: str, asked: dict[str, Any], fields: dict[str, Any]) -> None:
    assert body(model=model, **asked)["additionalModelRequestFields"] == fields


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        ("meta.llama3-1-70b-instruct-v1:0", "top_k", 3),
        ("meta.llama3-1-70b-instruct-v1:0", "reasoning_effort", "low"),
        (NOVA, "reasoning_tokens", 2000),
        ("openai.gpt-oss-20b-1:0", "reasoning_effort", "none"),
        (PROFILE, "reasoning_effort", "high"),
    ],
)
def test_what_a_maker_cannot_be_told_is_refused_by_name(model: str, field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(model=model, **{field: value})
    assert (caught.value.param, field in caught.value.message) == (field, True)


def test_tools() -> None:
    wire = body(tools=(WEATHER, Tool("now", {}, " ", strict=False)), tool_choice=ToolChoice("tool", "now"))
    schema = {"json": {"type": "object", "properties": {}}}
    weather = {"name": "weather", "inputSchema": schema, "description": "of a city", "strict": True}
    assert wire["toolConfig"] == {
        "tools": [
            {"toolSpec": weather},
            {"toolSpec": {"name": "now", "inputSchema": {"json": {"type": "object"}}}},
        ],
        "toolChoice": {"tool": {"name": "now"}},
    }


@pytest.mark.parametrize(
    ("choice", "parallel", "converse", "claude"),
    [
        (None, None, None, None),
        (None, True, None, None),
        (ToolChoice("auto"), None, None, None),
        (ToolChoice("required"), True, {"any": {}}, None),
        (None, False, None, {"type": "auto"}),
        (ToolChoice("required"), False, None, {"type": "any"}),
        (ToolChoice("tool", "weather"), False, None, {"type": "tool", "name": "weather"}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, parallel: bool | None, converse: Any, claude: Any) -> None:
    """One call at a time can be said to Claude only, and then all of the choice is said there."""
    wire = body(model=CLAUDE, tools=(WEATHER,), tool_choice=choice, parallel_tool_calls=parallel)
    assert wire["toolConfig"].get("toolChoice") == converse
    told = wire.get("additionalModelRequestFields", {}).get("tool_choice")
    assert told == (claude and {**claude, "disable_parallel_tool_use": True})


def test_one_call_at_a_time_cannot_be_said_to_others() -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(tools=(WEATHER,), parallel_tool_calls=False)
    assert caught.value.param == "parallel_tool_calls"


def test_calling_no_tool_is_having_none() -> None:
    """The vendor has no word for it, and takes calls made earlier only together with tools."""
    none = ToolChoice("none")
    assert body(tools=(WEATHER,), tool_choice=none, parallel_tool_calls=False) == body()
    for fields, param in (({"tools": (WEATHER,), "tool_choice": none}, "tool_choice"), ({}, "tools")):
        with pytest.raises(InvalidRequest) as caught:
            body(USER, *CALLED, **fields)
        assert caught.value.param == param


def test_without_tools_nothing_is_said_of_them() -> None:
    assert body(tool_choice=ToolChoice("auto"), parallel_tool_calls=False) == body()
    with pytest.raises(InvalidRequest) as caught:
        body(tool_choice=ToolChoice("required"))
    assert caught.value.param == "tool_choice"


def test_a_schema_travels_as_text() -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    wire = body(response_format=ResponseFormat("json_schema", "verdict", schema, strict=True))
    structure = wire["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert wire["outputConfig"]["textFormat"]["type"] == "json_schema"
    assert (json.loads(structure["schema"]), structure["name"]) == (schema, "verdict")
    assert "outputConfig" not in body(response_format=ResponseFormat("text"))


@pytest.mark.parametrize(("stream", "path"), [(False, "/stop_sequence"), (True, "/delta/stop_sequence")])
def test_claude_is_asked_which_stop_string_matched(stream: bool, path: str) -> None:
    wire = body(model=CLAUDE, stop=("END",), stream=stream)
    assert wire["additionalModelResponseFieldPaths"] == [path]
    assert "additionalModelResponseFieldPaths" not in body(model=CLAUDE, stream=stream)
    assert "additionalModelResponseFieldPaths" not in body(model=NOVA, stop=("END",))


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
    wire = body(n=1, presence_penalty=0.0, frequency_penalty=0.0, logit_bias={}, seed=7, user="u")
    assert wire == body()


@pytest.mark.parametrize(
    "message",
    [
        Message("assistant", (ToolCall("c", "f", "{"),)),
        Message("assistant", (ToolCall("c", "f", "[1]"),)),
        Message("assistant", (Image(data="QUJD", media_type="image/png"),)),
        Message("system", (Image(data="QUJD", media_type="image/png"),)),
        Message("user", (Image(url="https://a/b.png"),)),
        Message("user", (Image(url="s3://bucket/secret.png", media_type="image/png"),)),
        Message("user", (Image(data="QUJD"),)),
        Message("user", (Image(data="QUJD", media_type="image/tiff"),)),
        Message("user", (Image(url="data:image/svg+xml,<svg/>"),)),
        Message("user", (Document(data="QUJD", media_type="application/zip"),)),
        Message("tool", (ToolResult("c", "", (Image(url="https://a/b.png"),)),)),
    ],
)
def test_messages_that_cannot_be_said(message: Message) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(message)
    assert caught.value.param == "messages"


def test_only_the_formats_own_fields_are_taken_from_extra() -> None:
    """The rest was said in another dialect."""
    guard = {"guardrailIdentifier": "abc", "guardrailVersion": "1"}
    wire = body(extra={"guardrailConfig": guard, "store": True, "messages": [], "toolConfig": {}})
    assert wire == body() | {"guardrailConfig": guard}


def test_a_callers_words_for_the_model_join_ours_and_win() -> None:
    said = {"output_config": {"effort": "max", "x": 1}, "anthropic_beta": ["b"]}
    wire = body(model=CLAUDE, reasoning_effort="low", extra={"additionalModelRequestFields": said})
    assert wire["additionalModelRequestFields"] == {
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "max", "x": 1},
        "anthropic_beta": ["b"],
    }
    with pytest.raises(InvalidRequest) as caught:
        body(extra={"additionalModelRequestFields": [1]})
    assert caught.value.param == "additionalModelRequestFields"


MARKED = (
    Message("system", (Text("rules", cache="5m"), Text("more"))),
    Message("user", (Text("a document", cache="1h"), Text("a question"))),
)
POINT = {"cachePoint": {"type": "default"}}


def test_marks_for_the_prompt_cache_stand_behind_what_they_keep() -> None:
    tool = Tool("look", {}, cache="5m")
    found = body(*MARKED, model="eu.anthropic.claude-sonnet", tools=(tool,))
    assert found["system"] == [{"text": "rules"}, POINT, {"text": "more"}]
    assert found["messages"][0]["content"] == [{"text": "a document"}, POINT, {"text": "a question"}]
    assert found["toolConfig"]["tools"][1:] == [POINT]


def test_a_model_is_told_no_marks_that_it_does_not_know() -> None:
    nova = body(*MARKED, model="amazon.nova-pro", tools=(Tool("look", {}, cache="5m"),))
    assert POINT in nova["system"]
    assert POINT in nova["messages"][0]["content"]
    assert len(nova["toolConfig"]["tools"]) == 1
    assert "cachePoint" not in str(body(*MARKED))
