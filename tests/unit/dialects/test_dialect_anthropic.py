"""Anthropic's messages as they are shown: whole, streamed, and when they failed."""

import json
from dataclasses import replace
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from unit.dialects.examples import USAGE, Events, ended, event_lists, failed, interleavings, pending, sse

from penstock.completion import PartDelta, PartStarted
from penstock.dialects.anthropic_errors import error_type
from penstock.dialects.anthropic_messages import MessagesStream, render, render_error

TEXT: Events = [PartStarted(0, "text"), PartDelta(0, "H"), PartDelta(0, "i")]
#: as an OpenAI wire may send it: two calls whose fragments interleave, and a text that goes on between them
PARALLEL: Events = [
    PartStarted(0, "reasoning"),
    PartDelta(0, "hm"),
    PartStarted(1, "text"),
    PartDelta(1, "let me "),
    PartStarted(2, "tool_call", 0, "call_a", "f"),
    PartDelta(2, '{"x":'),
    PartStarted(3, "tool_call", 0, None, "g"),
    PartDelta(3, '{"y":'),
    PartDelta(1, "see"),
    PartDelta(2, "1}"),
    PartDelta(3, "2}"),
]
SEALED: Events = [
    PartStarted(0, "reasoning"),
    PartDelta(0, "hm"),
    PartDelta(0, "", (), "seal"),
    PartStarted(1, "reasoning", 0, None, "redacted"),
    PartDelta(1, "", (), "dark"),
    *[replace(event, part=2) for event in TEXT],
]
_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def streamed(events: Events, final: Any) -> bytes:
    stream = MessagesStream(pending(), input_tokens=7, request_id="req_1")
    return b"".join([*stream.open(), *(f for event in events for f in stream.event(event)), *stream.close(final)])


def blocks_of(stream: bytes) -> list[dict[str, Any]]:
    """The blocks of a whole stream, its grammar checked on the way: (contract §12.2)."""
    frames = sse(stream)
    assert all(fields == {"event": data["type"]} for fields, data in frames), "each frame names its type"
    kinds = [data["type"] for _, data in frames]
    assert (kinds[0], *kinds[-2:]) == ("message_start", "message_delta", "message_stop")
    assert set(kinds[1:-2]) <= {"content_block_start", "content_block_delta", "content_block_stop", "ping"}
    blocks: list[dict[str, Any]] = []
    is_open = False
    for _, data in frames[1:-2]:
        _EVENT.validate_python(data)
        if data["type"] == "content_block_start":
            assert not is_open, "blocks do not overlap"
            assert data["index"] == len(blocks)
            blocks.append({**data["content_block"], "grown": ""})
            is_open = True
        elif data["type"] == "content_block_delta":
            assert is_open
            assert data["index"] == len(blocks) - 1
            field = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
            if data["delta"]["type"] == "signature_delta":
                blocks[-1]["signature"] += data["delta"]["signature"]
            else:
                blocks[-1]["grown"] += data["delta"][field[data["delta"]["type"]]]
        elif data["type"] == "content_block_stop":
            assert is_open
            assert data["index"] == len(blocks) - 1
            is_open = False
    assert not is_open, "every block is stopped"
    return blocks


def sdk(stream: bytes) -> anthropic.Anthropic:
    """The vendor's client, to which any call answers with this stream."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(api_key="k", base_url="http://stream", max_retries=0, http_client=http)


def test_text():
    message = render(ended(pending(), TEXT))
    shown = Message.model_validate(message)
    assert (shown.id, shown.model, shown.role) == ("msg_" + pending().id.hex, "m", "assistant")
    assert message["content"] == [{"type": "text", "text": "Hi"}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)


def test_usage_leaves_the_cached_part_of_the_prompt_apart():
    usage = render(ended(pending(), TEXT))["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (5, 3, 1)
    assert usage["output_tokens"] == USAGE.output_tokens
    assert usage["output_tokens_details"] == {"thinking_tokens": 2}


def test_thoughts_and_calls():
    message = render(ended(pending(), PARALLEL, "tool_calls"))
    Message.model_validate(message)
    thought, text, one, other = message["content"]
    assert thought == {"type": "thinking", "thinking": "hm", "signature": ""}
    assert text == {"type": "text", "text": "let me see"}
    assert one == {"type": "tool_use", "id": "call_a", "name": "f", "input": {"x": 1}}
    assert other["id"], "a call without an id gets one"
    assert message["stop_reason"] == "tool_use"


def test_sealed_thoughts():
    message = render(ended(pending(), SEALED))
    Message.model_validate(message)
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "seal"},
        {"type": "redacted_thinking", "data": "dark"},
        {"type": "text", "text": "Hi"},
    ]


@pytest.mark.parametrize(
    ("events", "reason", "shown"),
    [
        (TEXT, "stop", "end_turn"),
        (TEXT, "length", "max_tokens"),
        (TEXT, "content_filter", "refusal"),
        (TEXT, "refusal", "refusal"),
        (PARALLEL, "tool_calls", "tool_use"),
        (PARALLEL, "stop", "tool_use"),
        (PARALLEL, "length", "max_tokens"),
        ([PartStarted(0, "refusal"), PartDelta(0, "no")], "stop", "refusal"),
    ],
)
def test_stop_reasons(events: Events, reason: Any, shown: str):
    assert render(ended(pending(), events, reason))["stop_reason"] == shown


def test_the_stop_string_that_matched():
    final = ended(pending(), TEXT, "stop_sequence")
    assert final.result
    final = replace(final, result=replace(final.result, stop_sequence="STOP"))
    assert (render(final)["stop_reason"], render(final)["stop_sequence"]) == ("stop_sequence", "STOP")
    delta = sse(streamed(TEXT, final))[-2][1]["delta"]
    assert delta == {"stop_reason": "stop_sequence", "stop_sequence": "STOP"}


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [("", {}), (" ", {}), ('{"x": 1}', {"x": 1}), ('{"x"', {"INVALID_JSON": '{"x"'}), ("[]", {"INVALID_JSON": "[]"})],
)
def test_input_is_always_an_object(arguments: str, shown: dict[str, Any]):
    events: Events = [PartStarted(0, "tool_call", 0, "a", "f"), PartDelta(0, arguments)]
    assert render(ended(pending(), events, "tool_calls"))["content"][0]["input"] == shown


def test_an_empty_text_is_no_block():
    events: Events = [PartStarted(0, "text"), PartDelta(0, "")]
    assert render(ended(pending(), events))["content"] == []
    assert blocks_of(streamed(events, ended(pending(), events))) == []


def test_a_partial_answer_is_never_shown_as_a_message():
    with pytest.raises(ValueError, match="whole"):
        render(failed(pending(), TEXT))


def test_a_text_is_streamed_as_it_comes():
    stream = MessagesStream(pending(), input_tokens=7)
    frames = [stream.event(event) for event in TEXT]
    kinds = [[data["type"] for _, data in sse(b"".join(group))] for group in frames]
    assert kinds == [["message_start"], ["content_block_start", "content_block_delta"], ["content_block_delta"]]
    start = sse(b"".join(frames[0]))[0][1]["message"]
    assert Message.model_validate(start).usage.input_tokens == 7
    assert (start["content"], start["stop_reason"]) == ([], None)


def test_interleaved_parts_become_blocks_one_after_the_other():
    found = [(b["type"], b["grown"]) for b in blocks_of(streamed(PARALLEL, ended(pending(), PARALLEL, "tool_calls")))]
    assert found == [
        ("thinking", "hm"),
        ("text", "let me "),
        ("tool_use", '{"x":1}'),
        ("tool_use", '{"y":2}'),
        ("text", "see"),
    ]


def test_another_call_waits_until_the_arguments_before_it_are_whole():
    stream = MessagesStream(pending())
    told = [b"".join(stream.event(event)) for event in PARALLEL]
    assert told[6:9] == [b"", b"", b""], "the second call, its fragment and the text wait"
    assert b"1}" in told[9]
    assert b"tool_use" in told[9], "the first call is whole: the second begins"


def test_a_late_seal_is_a_thought_of_its_own():
    events = [*TEXT[:2], PartStarted(1, "reasoning"), PartDelta(1, "hm"), TEXT[2], PartDelta(1, "", (), "seal")]
    last = blocks_of(streamed(events, ended(pending(), events)))[-1]
    assert (last["type"], last["grown"], last["signature"]) == ("thinking", "", "seal")


def test_sealed_thoughts_streamed():
    thought, dark, text = blocks_of(streamed(SEALED, ended(pending(), SEALED)))
    assert (thought["grown"], thought["signature"]) == ("hm", "seal")
    assert (dark["type"], dark["data"]) == ("redacted_thinking", "dark")
    assert text["grown"] == "Hi"


@pytest.mark.parametrize("events", [TEXT, PARALLEL, SEALED])
def test_through_the_sdk(events: Events):
    """Its own accumulator ends at a message that says the same."""
    final = ended(pending(), events, "tool_calls" if events is PARALLEL else "stop")
    with sdk(streamed(events, final)).messages.stream(model="m", max_tokens=1, messages=[]) as read:
        message = read.get_final_message()
    shown = Message.model_validate(render(final))
    assert (message.id, message.stop_reason, message.usage) == (shown.id, shown.stop_reason, shown.usage)
    for kind in ("thinking", "redacted_thinking", "tool_use"):
        seen, expected = ([b.model_dump() for b in found.content if b.type == kind] for found in (message, shown))
        assert seen == expected
    seen, expected = ("".join(b.text for b in found.content if b.type == "text") for found in (message, shown))
    assert seen == expected


def test_a_failure_is_an_error_event_and_no_end():
    stream = streamed(TEXT, failed(pending(), TEXT, 529))
    kinds = [data["type"] for _, data in sse(stream)]
    assert kinds[-1] == "error"
    assert "message_stop" not in kinds
    assert sse(stream)[-1][1]["request_id"] == "req_1"
    assert sse(stream)[-1][1]["error"]["type"] == "overloaded_error"
    with pytest.raises(anthropic.APIStatusError, match="it broke"):
        list(sdk(stream).messages.create(model="m", max_tokens=1, messages=[], stream=True))


def test_a_stream_that_lost_its_worker_says_so():
    (frame,) = MessagesStream(pending()).interrupted()
    assert sse(frame)[0][0] == {"event": "error"}


def test_a_ping_never_comes_before_the_message():
    stream = MessagesStream(pending())
    kinds = [data["type"] for _, data in sse(b"".join([*stream.ping(), *stream.open(), *stream.ping()]))]
    assert kinds == ["message_start", "ping", "ping"]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"),
        (403, "permission_error"), (404, "not_found_error"), (405, "invalid_request_error"),
        (409, "invalid_request_error"), (413, "request_too_large"), (429, "rate_limit_error"), (500, "api_error"),
        (502, "api_error"), (503, "overloaded_error"), (504, "timeout_error"), (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_error_types(status: int, shown: str):
    assert error_type(status) == shown


def test_the_envelope():
    error = {"type": "InvalidRequest", "message": "it is empty", "status": 400, "param": "stop", "code": None}
    assert render_error(error, "req_1") == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "stop: it is empty"},
        "request_id": "req_1",
    }
    told = render_error(error | {"message": "Missing 'stop'.", "code": "missing"})
    assert told["error"]["message"] == "Missing 'stop'."
    assert told["error"]["details"] == {"error_code": "missing"}


@settings(max_examples=200)
@given(interleavings(), st.integers(0, 25))
def test_the_same_whether_it_was_seen_live_or_told_late(events: Events, seen: int):
    final = ended(pending(), events)
    live = streamed(events, final)
    assert blocks_of(streamed(events[:seen], final)) == blocks_of(live)
    shown = Message.model_validate(render(final)).content
    inputs = [json.loads(block["grown"]) for block in blocks_of(live) if block["type"] == "tool_use"]
    assert inputs == [block.input for block in shown if block.type == "tool_use"]


@settings(max_examples=200)
@given(event_lists(choices=2))
def test_arguments_that_are_no_json_break_nothing(events: Events):
    """Blocks do not overlap, no call is lost, and other choices than the first are not told."""
    final = ended(pending(), events, "stop", "stop")
    message = render(final)
    Message.model_validate(message)
    counts = [
        sum(block["type"] == "tool_use" for block in found)
        for found in (blocks_of(streamed(events, final)), message["content"])
    ]
    assert counts[0] == counts[1]
