"""Responses as they are shown: the object in every state, and the stream as a fold that can be replayed."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter
from unit.dialects.examples import FINISHED, Events, ended, entry, event_lists, failed, pending, sdk, sse

from penstock.completion import PartDelta, PartStarted
from penstock.dialects.facts import JobFacts
from penstock.dialects.openai_responses import ResponsesStream, StreamFrame, joined, render, status

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TEXT: Events = [
    PartStarted(0, "text"),
    PartDelta(0, "H", (entry("H", known_bytes=False),)),
    PartDelta(0, "i\u2028", (entry("i"),)),
]
ENDS = {"stop": "completed", "length": "incomplete", "content_filter": "incomplete", "tool_calls": "completed"}


def live(facts: JobFacts, events: Events, final: JobFacts) -> list[StreamFrame]:
    """What a subscriber sees that is there from the beginning to the end."""
    stream = ResponsesStream(facts)
    frames = [*stream.open(), *(stream.started() if final.started else [])]
    for event in events:
        frames += stream.event(event)
    return [*frames, *stream.close(final)]


def replayed(final: JobFacts) -> list[StreamFrame]:
    """What a subscriber is told who comes after the end."""
    stored = final.result.events() if final.result else ()
    return live(final, list(stored), final)


def told(frames: list[StreamFrame]) -> list[dict[str, Any]]:
    """The data of frames, after checking what all of them keep to."""
    found = []
    for number, frame in enumerate(frames):
        (fields, data), = sse(frame.data)  # fmt: skip
        assert fields == {"event": data["type"]}, "an event line, and never an id line"
        assert data["sequence_number"] == frame.sequence_number == number
        assert not data.get("error")
        _EVENT.validate_python(data)
        found.append(data)
    return found


STATES = [
    (replace(pending(), state="queued"), "queued"),
    (replace(pending(), state="running", started=True), "in_progress"),
    (replace(pending(), state="pending", started=True), "in_progress"),
    (ended(pending(), TEXT), "completed"),
    (ended(pending(), TEXT, "length"), "incomplete"),
    (ended(pending(), TEXT, "content_filter"), "incomplete"),
    (failed(pending(), TEXT), "failed"),
    (failed(pending(), []), "failed"),
    (replace(pending(), state="expired", finished_at=FINISHED), "failed"),
    (replace(pending(), state="cancelled", finished_at=FINISHED), "cancelled"),
]


@pytest.mark.parametrize(("facts", "shown"), STATES)
def test_every_state(facts: JobFacts, shown: str):
    response = render(facts)
    Response.model_validate(response)
    assert response["status"] == status(facts) == shown
    assert (response["error"] is not None) == (shown == "failed")
    assert (response["incomplete_details"] is not None) == (shown == "incomplete")
    assert (response["usage"] is not None) == (shown in ("completed", "incomplete"))
    assert (response["completed_at"] is not None) == (shown == "completed")
    assert {item["status"] for item in response["output"]} <= {"completed" if shown == "completed" else "incomplete"}


def test_the_token_limit_cuts_only_the_part_that_grew_last():
    events: Events = [*TEXT, PartStarted(1, "tool_call", 0, "c", "f"), PartDelta(1, '{"x')]
    response = render(ended(pending(), events, "length"))
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in response["output"]] == ["completed", "incomplete"]


def test_the_part_that_was_cut_need_not_be_the_last_that_began():
    events: Events = [*TEXT, PartStarted(1, "tool_call", 0, "c", "f"), PartDelta(0, "!")]
    response = render(ended(pending(), events, "length"))
    assert [item["status"] for item in response["output"]] == ["incomplete", "completed"]


def test_bytes_of_half_a_character_are_kept():
    """Their token is no text of its own, so they cannot be made from it."""
    half = {"token": "\ufffd", "logprob": -1.0, "bytes": [0xF0, 0x9F], "top_logprobs": []}
    (item,) = render(ended(pending(), [PartStarted(0, "text"), PartDelta(0, "", (half,))]))["output"]
    assert item["content"][0]["logprobs"] == [half]


def test_logprobs_always_have_bytes():
    (item,) = render(ended(pending(), TEXT))["output"]
    assert [(one["token"], one["bytes"]) for one in item["content"][0]["logprobs"]] == [("H", [72]), ("i", [105])]
    assert item["content"][0]["logprobs"][0]["top_logprobs"][0]["bytes"] == [72]


@pytest.mark.parametrize(
    ("http_status", "code", "shown", "message"),
    [
        (400, "context_length_exceeded", "invalid_prompt", "it broke (context_length_exceeded)"),
        (404, None, "invalid_prompt", "it broke"),
        (429, "rate_limit_exceeded", "rate_limit_exceeded", "it broke"),
        (502, None, "server_error", "it broke"),
        (504, "slow", "server_error", "it broke (slow)"),
    ],
)
def test_error_codes_are_of_the_closed_set(http_status: int, code: str | None, shown: str, message: str):
    response = render(failed(pending(), [], http_status, code))
    Response.model_validate(response)
    assert response["error"] == {"code": shown, "message": message}


@pytest.mark.parametrize("background", [True, False])
def test_the_order_of_events(background: bool):
    facts = pending(background=background)
    final = ended(facts, TEXT)
    data = told(live(facts, TEXT, final))
    opening = ["response.created", "response.queued"] if background else ["response.created"]
    assert [event["type"] for event in data] == [
        *opening,
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert data[0]["response"]["status"] == ("queued" if background else "in_progress")
    assert data[-1]["response"] == render(final)


def test_a_job_that_never_began():
    final = replace(failed(pending(), []), started=False)
    assert [event["type"] for event in told(live(pending(), [], final))] == [
        "response.created",
        "response.queued",
        "response.failed",
    ]


def test_a_cancelled_stream_just_ends():
    final = replace(failed(pending(), TEXT), state="cancelled", error=None)
    frames = live(pending(), TEXT, final)
    assert told(frames)[-1]["type"] == "response.output_text.delta"
    assert replayed(final) == frames


def test_a_failure_without_any_stored_answer_still_ends_the_stream():
    """Its items were told, but nothing of them was kept: they stay open, and the last event holds what GET gives."""
    final = failed(pending(), [])
    last = told(live(pending(), TEXT, final))[-1]
    assert (last["type"], last["response"]) == ("response.failed", render(final))


def test_closing_before_the_end_is_refused():
    with pytest.raises(ValueError, match="ends"):
        ResponsesStream(pending()).close(replace(pending(), state="running"))


def test_a_second_beginning_is_not_told():
    stream = ResponsesStream(pending())
    assert len([*stream.open(), *stream.open(), *stream.started(), *stream.started()]) == 3
    assert ResponsesStream.opened(pending()).next_number == 2


def test_an_interrupted_stream_says_so():
    stream = ResponsesStream(pending())
    data = told([*stream.open(), stream.interrupted()])[-1]
    assert (data["type"], data["code"]) == ("error", "server_error")


@given(event_lists(), st.sampled_from([*ENDS, None]), st.booleans(), st.data())
def test_any_stream(events: Events, reason: Any, background: bool, data: st.DataObject):
    """Numbered without gaps, one bracket around every item, deltas adding up to what is done, replays identical."""
    facts = pending(background=background)
    final = ended(facts, events, reason) if reason else failed(facts, events)
    frames = live(facts, events, final)
    assert replayed(final) == frames
    seen = data.draw(st.integers(0, len(events)))
    assert live(facts, events[:seen], final) == frames, "what was lost of a stream is told from the stored answer"
    known = json.loads(json.dumps(final.body))
    assert replayed(replace(final, body=known)) == frames
    assert_folds(told(frames), render(final))


@given(event_lists(), st.sampled_from([*ENDS, None, "cancelled"]), st.booleans(), st.data())
def test_a_resumed_stream_is_the_rest_of_the_whole_one(
    events: Events, reason: Any, background: bool, data: st.DataObject
):
    """From any number, while it goes on or after its end: what was told and the rest are the whole."""
    facts = pending(background=background)
    final = ended(facts, events, reason) if reason in ENDS else failed(facts, events)
    if reason == "cancelled":
        final = replace(final, state="cancelled", error=None)
    frames = live(facts, events, final)
    whole = joined(frames)
    told_to = data.draw(st.integers(-1, len(frames)))
    told_before = b"".join(frame.data for frame in frames[: told_to + 1])
    assert told_before + joined(ResponsesStream(final).close(final), told_to) == whole
    rejoined = ResponsesStream(facts)
    pieces = [rejoined.open(), rejoined.started()]
    pieces += [rejoined.event(event) for event in events[: data.draw(st.integers(0, len(events)))]]
    pieces.append(rejoined.close(final))
    assert told_before + b"".join(joined(piece, told_to) for piece in pieces) == whole


def assert_folds(events: list[dict[str, Any]], final: dict[str, Any]) -> None:
    """The events of a stream add up to the final object."""
    items: dict[int, dict[str, Any]] = {}
    grown: dict[int, str] = {}
    done: set[int] = set()
    for event in events:
        kind, index = event["type"], event.get("output_index")
        if kind == "response.output_item.added":
            assert index == len(items)
            items[index], grown[index] = event["item"], ""
            assert event["item"]["status"] == "in_progress"
        elif index is not None:
            assert index not in done
            assert event.get("item_id", items[index]["id"]) == items[index]["id"]
        if kind.endswith(".delta"):
            grown[index] += event["delta"]
        elif kind == "response.content_part.done":
            assert event["part"] in final["output"][index]["content"]
        elif kind == "response.output_item.done":
            assert event["item"] == final["output"][index]
            assert event["item"]["id"] == items[index]["id"]
            done.add(index)
        elif kind.endswith(".done"):
            assert grown[index] == next(event[name] for name in ("text", "refusal", "arguments") if name in event)
    assert done == set(items) == set(range(len(final["output"])))
    texts = [item["arguments"] if "arguments" in item else _text(item["content"][0]) for item in final["output"]]
    assert list(grown.values()) == texts
    assert events[-1]["type"] == "response." + final["status"]
    assert events[-1]["response"] == final


def _text(part: dict[str, Any]) -> str:
    return part["refusal"] if part["type"] == "refusal" else part["text"]


@settings(max_examples=30)
@given(event_lists(), st.booleans())
def test_through_the_sdk(events: Events, background: bool):
    """Its accumulator accepts every stream, and ends at the object that GET gives."""
    facts = pending(background=background)
    final = ended(facts, events)
    stream = b"".join(frame.data for frame in live(facts, events, final))
    with sdk(stream).responses.stream(model="m", input="Hi") as read:
        seen = list(read)
        response = read.get_final_response()
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert response.output_text == Response.model_validate(render(final)).output_text
    snapshots = {event.output_index: event.snapshot for event in seen if event.type == "response.output_text.delta"}
    texts = [
        item["content"][0]["text"]
        for item in render(final)["output"]
        if item["id"].startswith("msg") and "text" in item["content"][0]
    ]
    assert sorted(snapshots.values()) == sorted(text for text in texts if text)
