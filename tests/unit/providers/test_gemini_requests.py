"""A request in the words of Google's generateContent."""

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
from penstock.configuration import ProviderConfig
from penstock.errors import InvalidRequest
from penstock.http import make_client
from penstock.providers.gemini import Gemini
from penstock.providers.gemini_contents import STAND_IN_SEAL
from penstock.providers.gemini_request import build

USER = Message("user", (Text("Hi"),))
WEATHER = Tool("weather", {"properties": {"city": {"type": "string"}}}, "of a city")
LOOSE = Tool("now", {})
STRICT = Tool("exact", {}, strict=True)


def body(*messages: Message, model: str = "gemini-3.5-flash", **fields: Any) -> dict[str, Any]:
    return build(CompletionRequest(model="public", messages=messages or (USER,), **fields), model)


def config(**fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = body(**fields).get("generationConfig", {})
    return made


def said(*parts: Any, role: Any = "user") -> list[dict[str, Any]]:
    """The wire's parts of one message."""
    (turn,) = body(Message(role, parts))["contents"]
    return list(turn["parts"])


def test_the_least_request() -> None:
    assert body() == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_a_conversation() -> None:
    """Turns of one role are merged, empty texts are left out, results stand apart from what else is said."""
    wire = body(
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("a"),), name="ann"),
        Message("user", (Text("b"),)),
        Message("assistant", (Text(""), ToolCall("c1", "f", '{"x": "é"}', signature="c2ln"), ToolCall("c2", "g", ""))),
        Message("tool", (ToolResult("c1", "one"),)),
        Message("user", (Text("and?"),)),
        Message("tool", (ToolResult("c2", "no", is_error=True),)),
        Message("assistant", (Text(""),)),
    )
    assert wire["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert wire["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {
            "role": "model",
            "parts": [
                {"functionCall": {"id": "c1", "name": "f", "args": {"x": "é"}}, "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "c2", "name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "f", "response": {"output": "one"}}},
                {"functionResponse": {"id": "c2", "name": "g", "response": {"error": "no"}}},
            ],
        },
        {"role": "user", "parts": [{"text": "and?"}]},
    ]


def test_system_messages_anywhere_become_the_system_instruction() -> None:
    wire = body(Message("system", (Text("a"),)), USER, Message("system", (Text("b"), Text(""))))
    assert wire["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert [turn["role"] for turn in wire["contents"]] == ["user"]
    assert body(Message("system", (Text(""),)), USER) == body()


def test_images_and_documents() -> None:
    """The type of a URL is told where its ending tells it."""
    assert said(
        Image(url="https://a/b.PNG?x=1", detail="low"),
        Image(url="https://a/b"),
        Image(url="https://a/b", media_type="image/webp"),
        Image(data="QUJD", media_type="image/png"),
        Image(url="data:image/gif;base64,REVG"),
        Document(url="gs://bucket/c.pdf", filename="c.pdf"),
        Document(data="QUJD", media_type="text/plain"),
    ) == [
        {"fileData": {"fileUri": "https://a/b.PNG?x=1", "mimeType": "image/png"}},
        {"fileData": {"fileUri": "https://a/b"}},
        {"fileData": {"fileUri": "https://a/b", "mimeType": "image/webp"}},
        {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        {"inlineData": {"mimeType": "image/gif", "data": "REVG"}},
        {"fileData": {"fileUri": "gs://bucket/c.pdf", "mimeType": "application/pdf"}},
        {"inlineData": {"mimeType": "text/plain", "data": "QUJD"}},
    ]


def test_a_tool_that_answers_with_a_picture() -> None:
    called = Message("assistant", (ToolCall("c", "draw", "{}"),))
    result = ToolResult("c", "done", images=(Image(data="QUJD", media_type="image/png"),))
    wire = body(USER, called, Message("tool", (result,)))
    assert wire["contents"][-1]["parts"][0]["functionResponse"] == {
        "id": "c",
        "name": "draw",
        "response": {"output": "done"},
        "parts": [{"inlineData": {"mimeType": "image/png", "data": "QUJD"}}],
    }


def test_a_result_names_the_latest_call_of_its_id() -> None:
    turns = [
        part
        for name in ("f", "g")
        for part in (Message("assistant", (ToolCall("c", name, ""),)), Message("tool", (ToolResult("c", ""),)))
    ]
    results = [turn["parts"][0] for turn in body(USER, *turns)["contents"] if turn["role"] == "user"][1:]
    assert [result["functionResponse"]["name"] for result in results] == ["f", "g"]


def test_thoughts_go_back_with_their_seal() -> None:
    """Without one the vendor reads nothing of them."""
    parts = said(
        Reasoning("unsealed"),
        Reasoning("hm", "c2ln"),
        Text("a"),
        Reasoning("", "ZQ==", redacted=True),
        role="assistant",
    )
    assert parts == [
        {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "a"},
        {"text": "", "thoughtSignature": "ZQ=="},
    ]


@pytest.mark.parametrize(
    ("model", "seals", "expected"),
    [
        ("gemini-3.5-flash", (None, None), (STAND_IN_SEAL, None)),
        ("gemini-flash-latest", (None, None), (STAND_IN_SEAL, None)),
        ("gemini-3.5-flash", ("c2ln", None), ("c2ln", None)),
        ("gemini-2.5-pro", (None, None), (None, None)),
        ("models/gemini-2.0-flash", (None, None), (None, None)),
    ],
)
def test_calls_of_another_model_get_the_documented_stand_in(model: str, seals: Any, expected: Any) -> None:
    """The third generation refuses a turn whose first call has no seal; real ones are never touched."""
    calls = tuple(ToolCall(f"c{n}", "f", "", signature=seal) for n, seal in enumerate(seals))
    parts = body(USER, Message("assistant", calls), model=model)["contents"][1]["parts"]
    assert tuple(part.get("thoughtSignature") for part in parts) == expected


def test_every_setting() -> None:
    assert config(
        max_tokens=5,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        seed=0,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        stop=("a", "b"),
        n=2,
        logprobs=True,
        top_logprobs=4,
        user="u",
    ) == {
        "maxOutputTokens": 5,
        "temperature": 0.0,
        "topP": 0.5,
        "topK": 3,
        "seed": 0,
        "presencePenalty": 0.5,
        "frequencyPenalty": -0.5,
        "stopSequences": ["a", "b"],
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 4,
    }


def test_logprobs_without_rivals() -> None:
    assert config(logprobs=True) == {"responseLogprobs": True}


def test_tools() -> None:
    wire = body(tools=(WEATHER, LOOSE), tool_choice=ToolChoice("tool", "now"))
    assert wire["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "weather",
                    "description": "of a city",
                    "parametersJsonSchema": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
                {"name": "now", "parametersJsonSchema": {"type": "object"}},
            ]
        }
    ]
    assert wire["toolConfig"] == {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["now"]}}


@pytest.mark.parametrize(
    ("choice", "tool", "expected"),
    [
        (None, LOOSE, None),
        (None, STRICT, {"mode": "VALIDATED"}),
        (ToolChoice("auto"), LOOSE, {"mode": "AUTO"}),
        (ToolChoice("auto"), STRICT, {"mode": "VALIDATED"}),
        (ToolChoice("required"), STRICT, {"mode": "ANY"}),
        (ToolChoice("none"), STRICT, {"mode": "NONE"}),
    ],
)
def test_tool_choice(choice: ToolChoice | None, tool: Tool, expected: Any) -> None:
    wire = body(tools=(tool,), tool_choice=choice)
    assert wire.get("toolConfig", {}).get("functionCallingConfig") == expected


def test_without_tools_nothing_is_said_of_them() -> None:
    assert body(tool_choice=ToolChoice("auto"), parallel_tool_calls=False) == body()
    wire = body(tool_choice=ToolChoice("required"))
    assert wire["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}


def test_the_form_of_the_answer() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}}
    assert config(response_format=ResponseFormat("json_schema", "n", schema, strict=True)) == {
        "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    }
    assert config(response_format=ResponseFormat("json_object")) == {"responseMimeType": "application/json"}
    assert config(response_format=ResponseFormat("text")) == {}


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        ("gemini-3.5-flash", {"reasoning_effort": "minimal"}, {"thinkingLevel": "MINIMAL", "includeThoughts": True}),
        ("gemini-4-argon", {"reasoning_effort": "max"}, {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-2.5-flash", {"reasoning_effort": "medium"}, {"thinkingBudget": 8192, "includeThoughts": True}),
        ("gemini-3.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-flash", {"reasoning_effort": "none"}, {"thinkingBudget": 0}),
        ("gemini-2.5-flash", {"reasoning_tokens": 0, "reasoning_effort": "high"}, {"thinkingBudget": 0}),
        (
            "gemini-3.5-flash",
            {"reasoning_tokens": 500, "reasoning_effort": "high"},
            {"thinkingBudget": 500, "includeThoughts": True},
        ),
    ],
)
def test_how_much_to_think(model: str, asked: Any, expected: Any) -> None:
    """A level and a budget exclude each other, and only the newer models know levels."""
    assert config(model=model, **asked) == {"thinkingConfig": expected}


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("logit_bias", {"logit_bias": {"1": 1.0}}),
        ("parallel_tool_calls", {"tools": (LOOSE,), "parallel_tool_calls": False}),
        ("parallel_tool_calls", {"tools": (LOOSE,), "parallel_tool_calls": False, "tool_choice": ToolChoice("auto")}),
    ],
)
def test_what_cannot_be_said_is_refused_by_name(field: str, fields: Any) -> None:
    with pytest.raises(InvalidRequest, match=field) as caught:
        body(**fields)
    assert caught.value.param == field


def test_neutral_values_and_hints_are_no_reason_to_refuse() -> None:
    assert body(n=1, logit_bias={}, user="u", parallel_tool_calls=False) == body()
    body(tools=(LOOSE,), parallel_tool_calls=False, tool_choice=ToolChoice("none"))
    body(tools=(LOOSE,), parallel_tool_calls=True)


@pytest.mark.parametrize(
    "messages",
    [
        [Message("assistant", (ToolCall("c", "f", "{"),))],
        [Message("assistant", (ToolCall("c", "f", "[1]"),))],
        [Message("system", (Image(url="https://a"),))],
        [Message("user", (Image(data="QUJD"),))],
        [Message("user", (Document(url="data:text/plain,abc"),))],
        [Message("tool", (ToolResult("c", "of no call"),))],
        [Message("tool", (ToolResult("c", "too early"),)), Message("assistant", (ToolCall("c", "f", ""),))],
        [
            Message("assistant", (ToolCall("c", "f", ""),)),
            Message("tool", (ToolResult("c", "", images=(Image(url="https://a/b.png"),)),)),
        ],
    ],
)
def test_messages_that_cannot_be_said(messages: list[Message]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(*messages)
    assert caught.value.param == "messages"


def test_only_the_formats_own_fields_are_taken_from_extra() -> None:
    """The rest was said in another dialect, and this vendor refuses what it does not know."""
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    wire = body(extra={"safetySettings": safety, "store": True, "model": "x", "contents": []})
    assert wire == body() | {"safetySettings": safety}


def test_what_is_neutral_is_laid_over_the_formats_own() -> None:
    """Except for how much to think: its own words say more than ours."""
    own = {
        "generationConfig": {"topK": 1, "mediaResolution": "LOW", "thinkingConfig": {"thinkingLevel": "LOW"}},
        "toolConfig": {"retrievalConfig": {"languageCode": "de"}},
    }
    wire = body(extra=own, top_k=7, reasoning_effort="high", tools=(LOOSE,), tool_choice=ToolChoice("none"))
    assert wire["generationConfig"] == {
        "topK": 7,
        "mediaResolution": "LOW",
        "thinkingConfig": {"thinkingLevel": "LOW"},
    }
    assert wire["toolConfig"] == {
        "retrievalConfig": {"languageCode": "de"},
        "functionCallingConfig": {"mode": "NONE"},
    }


@pytest.fixture
def adapter() -> Gemini:
    return Gemini("g", ProviderConfig(wire_format="gemini", base_url="http://a/v1beta"), make_client(connections=1))


def test_a_resources_name_is_taken_as_it_is(adapter: Gemini) -> None:
    paths = [adapter._path(model, stream=False) for model in ("m", "models/m", "tunedModels/m", "a?b#c")]
    assert paths == [
        "/models/m:generateContent",
        "/models/m:generateContent",
        "/tunedModels/m:generateContent",
        "/models/a%3Fb%23c:generateContent",
    ]


def test_embeddings(adapter: Gemini) -> None:
    """One request for each text, with the format's own settings where the caller gives them."""
    request = EmbeddingRequest(
        model="public", inputs=("a", ""), dimensions=8, user="u", extra={"taskType": "CLUSTERING", "input_type": "x"}
    )
    each = {"model": "models/served", "outputDimensionality": 8, "taskType": "CLUSTERING"}
    assert adapter._embedding_path("served") == "/models/served:batchEmbedContents"
    assert adapter._embedding_body(request, "served") == {
        "requests": [each | {"content": {"parts": [{"text": text}]}} for text in ("a", "")]
    }


def test_tokens_cannot_be_embedded(adapter: Gemini) -> None:
    with pytest.raises(InvalidRequest) as caught:
        adapter._embedding_body(EmbeddingRequest(model="public", inputs=("a", (1, 2))), "served")
    assert caught.value.param == "input"
