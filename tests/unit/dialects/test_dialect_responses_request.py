"""Bodies of responses: what is read, what is listed again, and which field is named when it cannot be read."""

from dataclasses import replace
from typing import Any

import pytest
from openai.types.responses import Response, ResponseItem
from pydantic import TypeAdapter
from unit.dialects.examples import Events, ended, pending

from penstock.completion import (
    Document,
    Image,
    Message,
    PartDelta,
    PartStarted,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from penstock.dialects.openai_responses import input_items, parse, render
from penstock.dialects.responses_history import KEY, conversation, depth, output_item
from penstock.errors import InvalidRequest

BODY: dict[str, Any] = {"model": "m", "input": "Hi"}
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
_ITEM: TypeAdapter[Any] = TypeAdapter(ResponseItem)
HI = Message("user", (Text("Hi"),))
ANSWER: Events = [
    PartStarted(0, "reasoning"),
    PartDelta(0, "hm"),
    PartStarted(1, "text"),
    PartDelta(1, "Looking."),
    PartStarted(2, "tool_call", 0, "c", "f"),
    PartDelta(2, "{}"),
]


def items(*values: Any) -> dict[str, Any]:
    return BODY | {"input": list(values)}


def test_a_string_is_one_user_message():
    request = parse(BODY)
    assert (request.model, request.messages, request.extra) == ("m", (HI,), {})
    assert request.temperature is request.max_tokens is request.top_logprobs is None


def test_instructions_then_the_earlier_conversation_then_the_input():
    before = {"items": [{"role": "user", "content": "before"}], "depth": 1}
    request = parse(BODY | {"instructions": "Be brief.", "previous_response_id": "resp_1", KEY: before})
    assert request.extra == {}
    assert [message.text for message in request.messages] == ["Be brief.", "before", "Hi"]
    assert request.messages[0].role == "system"


def test_items_of_every_kind():
    request = parse(
        items(
            {"role": "developer", "content": "d"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"role": "user", "content": [{"type": "input_image", "image_url": "https://h/x", "detail": "auto"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"role": "assistant", "content": [{"type": "output_text", "text": "t", "annotations": []}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "e", "name": "g", "arguments": ""},
            {"type": "function_call_output", "call_id": "c", "output": "1"},
            {"type": "function_call_output", "call_id": "e", "output": [{"type": "input_text", "text": "2"}]},
        )
    )
    assert request.messages == (
        Message("system", (Text("d"),)),
        Message("user", (Text("a"),)),
        Message("user", (Image(url="https://h/x", detail="auto"),)),
        Message("assistant", (Text("t"), ToolCall("c", "f", "{}"), ToolCall("e", "g", ""))),
        Message("tool", (ToolResult("c", "1"),)),
        Message("tool", (ToolResult("e", "2"),)),
    )


SEALED_ANSWER: Events = [*ANSWER[:2], PartDelta(0, "", (), "s0"), *ANSWER[2:], PartDelta(2, "", (), "s2")]


def test_our_own_output_can_be_passed_back():
    output = render(ended(pending(), ANSWER, "tool_calls"))["output"]
    result = {"type": "function_call_output", "call_id": "c", "output": "42"}
    said = Message("assistant", (Reasoning("hm"), Text("Looking."), ToolCall("c", "f", "{}")))
    assert parse(items({"role": "user", "content": "Hi"}, *output, result)).messages == (
        HI,
        said,
        Message("tool", (ToolResult("c", "42"),)),
    )


def test_seals_are_told_where_they_are_asked_for_and_come_back():
    facts = pending(BODY | {"include": ["reasoning.encrypted_content"]})
    output = render(ended(facts, SEALED_ANSWER, "tool_calls"))["output"]
    for item in output:
        _ITEM.validate_python(item)
    said = Message("assistant", (Reasoning("hm", "s0"), Text("Looking."), ToolCall("c", "f", "{}", "s2")))
    assert parse(items({"role": "user", "content": "Hi"}, *output)).messages == (HI, said)
    assert "s0" not in str(render(ended(pending(), SEALED_ANSWER, "tool_calls"))["output"])
    redacted = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    answer = {"role": "assistant", "content": "a"}
    assert parse(items(redacted, answer)).messages == (
        Message("assistant", (Reasoning("", "x", redacted=True), Text("a"))),
    )


def test_a_conversation_is_all_before_it_its_input_and_its_answer():
    one = ended(pending(BODY | {"instructions": "x"}), SEALED_ANSWER, "tool_calls")
    result = {"type": "function_call_output", "call_id": "c", "output": "42"}
    history = {"items": conversation(one), "depth": depth(one) + 1}
    body = items(result) | {"previous_response_id": "resp_1", KEY: history}
    said = Message("assistant", (Reasoning("hm", "s0"), Text("Looking."), ToolCall("c", "f", "{}", "s2")))
    told = (HI, said, Message("tool", (ToolResult("c", "42"),)))
    assert parse(body).messages == told
    two = ended(pending(body), [PartStarted(0, "text"), PartDelta(0, "42.")])
    third = BODY | {"input": "Thanks", "previous_response_id": "resp_2", KEY: {"items": conversation(two)}}
    thanks = Message("user", (Text("Thanks"),))
    assert parse(third).messages == (*told, Message("assistant", (Text("42."),)), thanks)
    assert depth(two) == 1


def test_references_stand_for_items_of_earlier_answers():
    one = ended(pending(), ANSWER, "tool_calls")
    found = {f"fc_{one.id.hex}_2": output_item(one, 2)}
    assert output_item(one, 3) is output_item(pending(), 0) is None
    reference = {"type": "item_reference", "id": f"fc_{one.id.hex}_2"}
    result = {"type": "function_call_output", "call_id": "c", "output": "42"}
    body = items({"role": "user", "content": "Hi"}, reference, result) | {KEY: {"references": found}}
    called = Message("assistant", (ToolCall("c", "f", "{}"),))
    assert parse(body).messages == (HI, called, Message("tool", (ToolResult("c", "42"),)))
    listed = input_items(pending(body))
    assert (listed[1]["type"], listed[1]["id"]) == ("function_call", f"fc_{one.id.hex}_2")
    for item in listed:
        _ITEM.validate_python(item)
    assert parse(BODY | {"previous_response_id": "r", KEY: {"items": conversation(ended(pending(body), []))}})


def test_files_and_pictures_from_tools():
    image = {"type": "input_image", "image_url": "https://h/x"}
    request = parse(
        items(
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "filename": "a.pdf", "file_data": "QQ=="},
                    {"type": "input_file", "file_url": "https://h/b.pdf"},
                ],
            },
            {
                "type": "function_call_output",
                "call_id": "c",
                "output": [{"type": "input_text", "text": "see"}, image],
            },
        )
    )
    documents = Document(None, "QQ==", "application/pdf", "a.pdf"), Document(url="https://h/b.pdf")
    assert request.messages == (
        Message("user", documents),
        Message("tool", (ToolResult("c", "see", (Image(url="https://h/x"),)),)),
    )


def test_every_parameter():
    request = parse(
        BODY
        | {
            "max_output_tokens": 7, "temperature": 0, "top_p": 1, "tools": [TOOL], "parallel_tool_calls": False,
            "tool_choice": {"type": "function", "name": "f"}, "include": ["message.output_text.logprobs"],
            "top_logprobs": 3, "user": "u", "seed": 4, "text": {"format": {"type": "json_schema", "name": "n",
            "schema": {}, "strict": True}, "verbosity": "low"},
        }
    )  # fmt: skip
    assert (request.max_tokens, request.temperature, request.top_p, request.seed) == (7, 0, 1, 4)
    assert (request.tools, request.tool_choice) == (
        (Tool("f", {"type": "object"}, strict=False),),
        ToolChoice("tool", "f"),
    )
    assert (request.parallel_tool_calls, request.logprobs, request.top_logprobs, request.user) == (False, True, 3, "u")
    assert request.response_format == ResponseFormat("json_schema", "n", {}, True)
    assert request.extra == {}


def test_what_does_not_apply_is_ignored_and_extensions_are_forwarded():
    ignored = {
        "include": [], "store": False, "background": True, "stream": True, "reasoning": {"effort": "low"},
        "prompt_cache_key": "k", "prompt_cache_options": {}, "safety_identifier": "s", "stream_options": {},
        "context_management": [], "service_tier": "auto", "truncation": "auto", "metadata": {}, "tools": [],
        "tool_choice": "auto", "background_options": {"completion_window": "soonest"},
    }  # fmt: skip
    request = parse(BODY | ignored)
    assert request.extra == {}
    assert request.reasoning_effort == "low"
    told = {"prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "truncation"}
    assert set(request.responses_only) == told, "a provider of the same format is told"
    assert replace(request, responses_only={}, reasoning_effort=None) == parse(BODY)
    assert parse(BODY | {"min_p": 0.1}).extra == {"min_p": 0.1}


MISSING, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"input": "x"}, "model", MISSING),
        ({"model": "m"}, "input", MISSING),
        (BODY | {"input": 1}, "input", TYPE),
        (items(), "input", VALUE),
        (items({"type": "reasoning", "id": "r", "summary": []}), "input", VALUE),
        (items("x"), "input[0]", TYPE),
        (items({"content": "x"}), "input[0].role", MISSING),
        (items({"role": "tool", "content": "x"}), "input[0].role", VALUE),
        (items({"role": "user"}), "input[0].content", MISSING),
        (items({"role": "user", "content": 1}), "input[0].content", TYPE),
        (items({"role": "user", "content": ["x"]}), "input[0].content[0]", TYPE),
        (items({"role": "user", "content": [{"type": "input_audio"}]}), "input[0].content[0].type", VALUE),
        (items({"role": "user", "content": [{"type": "input_file"}]}), "input[0].content[0].file_data", MISSING),
        (
            items({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}),
            "input[0].content[0].file_id",
            VALUE,
        ),
        (items({"role": "system", "content": [{"type": "input_file"}]}), "input[0].content[0].type", VALUE),
        (items({"role": "user", "content": [{"type": "input_text"}]}), "input[0].content[0].text", MISSING),
        (items({"role": "system", "content": [{"type": "input_image"}]}), "input[0].content[0].type", VALUE),
        (
            items({"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}),
            "input[0].content[0].file_id",
            VALUE,
        ),
        (items({"type": "item_reference"}), "input[0].id", MISSING),
        (items({"type": "item_reference", "id": "x"}), "input[0].id", VALUE),
        (items({"type": 1}), "input[0].type", TYPE),
        (items({"type": "function_call", "name": "f", "arguments": ""}), "input[0].call_id", MISSING),
        (items({"type": "function_call", "call_id": "c", "name": "f"}), "input[0].arguments", MISSING),
        (items({"type": "function_call_output", "call_id": "c"}), "input[0].output", MISSING),
        (
            items({"type": "function_call_output", "call_id": "c", "output": [{"type": "input_file"}]}),
            "input[0].output[0].type",
            VALUE,
        ),
        (BODY | {"instructions": ["x"]}, "instructions", TYPE),
        (BODY | {"max_output_tokens": 0}, "max_output_tokens", VALUE),
        (BODY | {"temperature": "hot"}, "temperature", TYPE),
        (BODY | {"top_logprobs": 21}, "top_logprobs", VALUE),
        (BODY | {"background": "yes"}, "background", TYPE),
        (BODY | {"store": 1}, "store", TYPE),
        (BODY | {"include": "x"}, "include", TYPE),
        (BODY | {"include": [{}]}, "include", TYPE),
        (BODY | {"previous_response_id": 1}, "previous_response_id", TYPE),
        (BODY | {"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        (
            BODY | {KEY: {"error": {"message": "gone", "param": "previous_response_id", "code": VALUE}}},
            "previous_response_id",
            VALUE,
        ),
        (BODY | {"reasoning": {"effort": 1}}, "reasoning.effort", TYPE),
        (BODY | {"max_tool_calls": "x"}, "max_tool_calls", TYPE),
        (BODY | {"truncation": "some"}, "truncation", VALUE),
        (BODY | {"reasoning": "low"}, "reasoning", TYPE),
        (BODY | {"metadata": []}, "metadata", TYPE),
        (BODY | {"prompt": {"id": "p"}}, "prompt", VALUE),
        (BODY | {"conversation": "conv_1"}, "conversation", VALUE),
        (BODY | {"text": "x"}, "text", TYPE),
        (BODY | {"text": {"verbosity": "loud"}}, "text.verbosity", VALUE),
        (BODY | {"text": {"format": {"type": "xml"}}}, "text.format.type", VALUE),
        (BODY | {"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", MISSING),
        (BODY | {"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name", MISSING),
        (BODY | {"tools": [{"type": "web_search"}]}, "tools[0].type", VALUE),
        (BODY | {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name", MISSING),
        (BODY | {"tools": [TOOL | {"strict": "yes"}]}, "tools[0].strict", TYPE),
        (BODY | {"tools": [TOOL], "tool_choice": {"type": "function", "name": "g"}}, "tool_choice", VALUE),
        (BODY | {"tool_choice": {"type": "web_search"}}, "tool_choice", VALUE),
        (
            BODY | {"background_options": {"completion_window": "1h"}},
            "background_options.completion_window",
            VALUE,
        ),
        (
            BODY | {"stream": True, "background_options": {"completion_window": "8h"}},
            "background_options.completion_window",
            VALUE,
        ),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str, code: str):
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert (caught.value.param, caught.value.code, caught.value.status) == (param, code, 400)


def test_parameters_are_echoed():
    """Also those that were ignored, as far as clients can read them."""
    body = BODY | {
        "instructions": "Be brief.", "max_output_tokens": 5, "temperature": 0, "top_p": 0.5, "tools": [TOOL],
        "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": False, "metadata": {"a": "b"},
        "previous_response_id": "resp_1", "store": False, "truncation": "auto", "user": "u", "top_logprobs": 2,
        "reasoning": {"effort": "low", "summary": "auto"}, "prompt_cache_key": "k", "safety_identifier": "s",
        "max_tool_calls": 3,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}, "verbosity": "low"},
    }  # fmt: skip
    shown = render(pending(body))
    Response.model_validate(shown)
    given = {name: body[name] for name in body if name not in ("input", "tools")}
    assert {name: shown[name] for name in given} == given
    assert shown["tools"] == [TOOL | {"description": None}]


def test_defaults_are_told_where_nothing_was_said():
    shown = render(pending(BODY | {"reasoning": {"effort": "extreme", "summary": 5}, "tools": None}))
    Response.model_validate(shown)
    assert (shown["temperature"], shown["top_p"], shown["tool_choice"], shown["tools"]) == (1.0, 1.0, "auto", [])
    assert (shown["parallel_tool_calls"], shown["store"], shown["truncation"]) == (True, True, "disabled")
    assert (shown["reasoning"], shown["metadata"]) == ({"effort": None, "summary": None}, {})
    assert shown["text"] == {"format": {"type": "text"}}


def test_input_items_of_a_string():
    (item,) = input_items(pending())
    _ITEM.validate_python(item)
    assert (item["role"], item["content"]) == ("user", [{"type": "input_text", "text": "Hi"}])


def test_input_items_keep_their_order_and_get_ids():
    body = items(
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": [{"type": "input_image", "image_url": "https://h/x"}]},
        *render(ended(pending(), ANSWER, "tool_calls"))["output"],
        {"role": "assistant", "content": "t"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    )
    parse(body)
    found = input_items(pending(body))
    for item in found:
        _ITEM.validate_python(item)
    kinds = ["message", "message", "reasoning", "message", "function_call", "message", "function_call_output"]
    assert [item["type"] for item in found] == kinds
    assert len({item["id"] for item in found}) == len(found)
    assert found[3]["id"] == body["input"][3]["id"], "an id that was given is kept"
    twice = items({"role": "user", "content": "a", "id": "x"}, {"role": "user", "content": "b", "id": "x"})
    assert len({item["id"] for item in input_items(pending(twice))}) == 2, "ids are cursors, so none is there twice"
    assert found == input_items(replace(pending(body), state="running")), "the ids are the job's for ever"


def test_the_callback_address_is_not_the_providers_business() -> None:
    assert parse({"model": "m", "input": "hi", "callback_url": "https://a.example/", "x": 1}).extra == {"x": 1}
