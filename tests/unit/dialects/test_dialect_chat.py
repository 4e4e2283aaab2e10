"""Chat completions as they are shown: whole, streamed, and when they failed."""

from dataclasses import replace
from typing import Any

import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter
from unit.dialects.examples import CREATED, Events, ended, entry, event_lists, failed, pending, sdk, sse

from penstock.completion import Message, PartDelta, PartStarted, Reasoning, ToolCall
from penstock.dialects.openai_chat import ChatStream, parse, render, render_error

CALLS: Events = [
    PartStarted(0, "reasoning"),
    PartDelta(0, "hm"),
    PartStarted(1, "tool_call", 0, "call_a", "f"),
    PartDelta(1, '{"x":'),
    PartStarted(2, "tool_call", 0, None, "g"),
    PartDelta(2, "{}"),
    PartDelta(1, "1}"),
]
TEXT: Events = [PartStarted(0, "text"), PartDelta(0, "H", (entry("H"),)), PartDelta(0, "i", (entry("i"),))]
_CHUNK = TypeAdapter(ChatCompletionChunk)


def streamed(facts: Any, events: Events, final: Any, *, include_usage: bool = False) -> bytes:
    stream = ChatStream(facts, include_usage=include_usage)
    return b"".join([*stream.open(), *(f for event in events for f in stream.event(event)), *stream.close(final)])


def messages_of(stream: bytes) -> dict[int, dict[str, Any]]:
    """The choices that the chunks of a stream add up to."""
    choices: dict[int, dict[str, Any]] = {}
    for _, chunk in sse(stream):
        for choice in chunk["choices"] if chunk != "[DONE]" else ():
            seen = choices.setdefault(choice["index"], {"finish_reason": None, "calls": {}, "logprobs": []})
            assert seen["finish_reason"] is None, "nothing follows the last chunk of a choice"
            assert ("role" in choice["delta"]) == (seen.setdefault("role", None) is None)
            seen["role"] = "assistant"
            for name in ("content", "reasoning_content", "refusal"):
                seen[name] = seen.get(name, "") + (choice["delta"].get(name) or "")
            for call in choice["delta"].get("tool_calls", ()):
                if "id" in call:
                    assert call["index"] == len(seen["calls"])
                    seen["calls"][call["index"]] = {
                        "id": call["id"],
                        "type": "function",
                        "function": {"name": "", "arguments": ""},
                    }
                for name, text in call["function"].items():
                    seen["calls"][call["index"]]["function"][name] += text
            seen["logprobs"] += (choice["logprobs"] or {}).get("content") or []
            seen["finish_reason"] = choice["finish_reason"]
    return choices


def assert_same(stream: bytes, completion: dict[str, Any]) -> None:
    """A stream adds up to the completion."""
    choices = messages_of(stream)
    assert sorted(choices) == [choice["index"] for choice in completion["choices"]]
    for choice in completion["choices"]:
        seen, message = choices[choice["index"]], choice["message"]
        assert seen["finish_reason"] == choice["finish_reason"]
        assert seen["content"] == (message["content"] or "")
        assert seen["refusal"] == (message["refusal"] or "")
        assert seen["reasoning_content"] == message.get("reasoning_content", "")
        assert list(seen["calls"].values()) == message.get("tool_calls", [])
        assert seen["logprobs"] == ((choice["logprobs"] or {}).get("content") or [])


def test_text_with_logprobs():
    completion = render(ended(pending(), TEXT))
    shown = ChatCompletion.model_validate(completion)
    assert (shown.id, shown.created, shown.model) == ("chatcmpl-" + pending().id.hex, CREATED, "m")
    choice = completion["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": "Hi", "refusal": None}
    assert choice["logprobs"] == {"content": [entry("H"), entry("i")], "refusal": None}
    assert (completion["usage"]["prompt_tokens"], completion["usage"]["total_tokens"]) == (9, 14)


def test_tool_calls():
    completion = render(ended(pending(), CALLS, "tool_calls"))
    ChatCompletion.model_validate(completion)
    message = completion["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == (None, "hm")
    one, other = message["tool_calls"]
    assert one == {"id": "call_a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
    assert other["id"].startswith("call_"), "a call without an id gets one"
    assert completion["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("reason", "shown"), [("length", "length"), ("stop_sequence", "stop"), ("refusal", "content_filter")]
)
def test_finish_reasons_of_other_dialects(reason: Any, shown: str):
    assert render(ended(pending(), TEXT, reason))["choices"][0]["finish_reason"] == shown


def test_an_answer_without_parts_is_an_empty_text():
    assert render(ended(pending(), []))["choices"][0]["message"]["content"] == ""


def test_a_partial_answer_is_never_shown_as_a_completion():
    with pytest.raises(ValueError, match="whole"):
        render(failed(pending(), TEXT))


def test_through_the_sdk():
    """Its own accumulator ends at the completion, reasoning and usage included."""
    stream = streamed(pending(), CALLS, final := ended(pending(), CALLS, "tool_calls"), include_usage=True)
    with sdk(stream).chat.completions.stream(model="m", messages=[]) as read:
        completion = read.get_final_completion()
    message = completion.choices[0].message
    assert [(c.id, c.function.arguments) for c in message.tool_calls or ()] == [
        (c["id"], c["function"]["arguments"]) for c in render(final)["choices"][0]["message"]["tool_calls"]
    ]
    assert completion.usage
    assert completion.usage.model_dump(exclude_none=True) == render(final)["usage"]


def test_seals_are_told_with_what_they_seal():
    """An answer's message that is sent back as it came returns them, streamed or not."""
    events: Events = [
        PartStarted(0, "reasoning"),
        PartDelta(0, "h"),
        PartDelta(0, "m"),
        PartDelta(0, "", (), "s0"),
        PartStarted(1, "reasoning", 0, None, "redacted"),
        PartDelta(1, "", (), "s1"),
        PartStarted(2, "tool_call", 0, "call_a", "f"),
        PartDelta(2, "{}"),
        PartDelta(2, "", (), "s2"),
    ]
    final = ended(pending(), events, "tool_calls")
    message = render(final)["choices"][0]["message"]
    assert message["reasoning_details"] == [
        {"index": 0, "type": "reasoning.text", "text": "hm", "signature": "s0"},
        {"index": 1, "type": "reasoning.encrypted", "data": "s1"},
    ]
    with sdk(streamed(pending(), events, final)).chat.completions.stream(model="m", messages=[]) as read:
        whole = read.get_final_completion().choices[0].message.model_dump()
    assert [detail.get("signature") or detail.get("data") for detail in whole["reasoning_details"]] == ["s0", "s1"]
    thoughts = (Reasoning("hm", "s0"), Reasoning("", "s1", redacted=True), ToolCall("call_a", "f", "{}", "s2"))
    for sent_back in (message, {name: value for name, value in whole.items() if value is not None}):
        (read_back,) = parse({"model": "m", "messages": [sent_back]}).messages
        assert read_back == Message("assistant", thoughts)


def test_an_interrupted_stream_does_not_look_whole():
    stream = ChatStream(pending(), include_usage=False)
    frames = b"".join([*stream.open(), *stream.event(TEXT[0]), *stream.event(TEXT[1]), *stream.interrupted()])
    with pytest.raises(openai.APIError, match="interrupted"):
        list(sdk(frames).chat.completions.create(model="m", messages=[], stream=True))


def test_usage_only_where_asked_for():
    without = sse(streamed(pending(), TEXT, ended(pending(), TEXT)))
    assert all("usage" not in data for _, data in without)
    *most, usage, done = sse(streamed(pending(), TEXT, ended(pending(), TEXT), include_usage=True))
    assert (usage[1]["choices"], done[1]) == ([], "[DONE]")
    assert usage[1]["usage"] == render(ended(pending(), TEXT))["usage"]
    assert all("usage" not in data for _, data in most)


def test_a_stream_that_broke_off_does_not_look_whole():
    stream = streamed(pending(), TEXT, failed(pending(), TEXT))
    assert sse(stream)[-1][1]["error"]["type"] == "server_error"
    with pytest.raises(openai.APIError, match="it broke"):
        list(sdk(stream).chat.completions.create(model="m", messages=[], stream=True))


@pytest.mark.parametrize("state", ["cancelled", "expired"])
def test_a_stream_that_was_ended_says_so(state: str):
    frames = sse(streamed(pending(), TEXT, replace(pending(), state=state, finished_at=1)))
    assert frames[-1][1]["error"]["code"] == state
    assert frames[-1][1]["error"]["message"]


def test_opening_twice_opens_once():
    """A worker that died before its first word is followed by another, which begins again."""
    stream = ChatStream(pending({"n": 2}), include_usage=False)
    assert len(stream.open()) == 2
    assert stream.open() == []


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "bad", "invalid_request_error"),
        (404, None, "invalid_request_error"),
        (429, "rate_limit_exceeded", "rate_limit_error"),
        (429, "insufficient_quota", "insufficient_quota"),
        (502, None, "server_error"),
        (503, None, "server_error"),
    ],
)
def test_errors(status: int, code: str | None, kind: str):
    error = {"type": "T", "message": "why", "status": status, "param": "p", "code": code}
    assert render_error(error) == {"error": {"message": "why", "type": kind, "param": "p", "code": code}}


def test_an_error_is_made_of_strings_whatever_a_provider_sent():
    error = render_error({"type": "ProviderError", "message": "", "status": 400, "param": 3, "code": 40012})["error"]
    assert error == {"message": "ProviderError", "type": "invalid_request_error", "param": "3", "code": "40012"}


@settings(max_examples=50)
@given(st.integers(1, 3).flatmap(lambda n: st.tuples(st.just(n), event_lists(choices=n))), st.data())
def test_any_stream_adds_up_to_the_completion(drawn: tuple[int, Events], data: st.DataObject):
    """Also when its end was lost and had to be told from the stored answer."""
    choices, events = drawn
    facts = pending({"n": choices})
    final = ended(facts, events, *["stop"] * choices)
    completion = render(final)
    ChatCompletion.model_validate(completion)
    seen = data.draw(st.integers(0, len(events)))
    stream = streamed(facts, events[:seen], final, include_usage=True)
    assert stream == streamed(facts, events, final, include_usage=True)
    assert_same(stream, completion)
    frames = sse(stream)
    assert [fields for fields, _ in frames] == [{}] * len(frames), "neither event nor id lines"
    assert frames[-1][1] == "[DONE]"
    for _, chunk in frames[:-1]:
        _CHUNK.validate_python(chunk)
        assert (chunk["id"], chunk["created"]) == (completion["id"], completion["created"])
    with sdk(stream).chat.completions.stream(model="m", messages=[]) as read:
        read.until_done()
        final_message = read.get_final_completion().choices[-1].message
    assert (final_message.content or "") == (completion["choices"][-1]["message"]["content"] or "")
