"""Penstock's own dialect: bodies, the job object, and a stream that goes on after `Last-Event-ID`."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.dialects.examples import CREATED, FINISHED, Events, ended, event_lists, failed, pending, sse

from penstock.completion import Message, PartDelta, PartStarted, Text
from penstock.dialects.job import JobStream, parse, render, render_error
from penstock.errors import InvalidRequest

TEXT: Events = [PartStarted(0, "text"), PartDelta(0, "H"), PartDelta(0, "i")]


def live(events: Events, final: Any, after: int = 0) -> list[bytes]:
    stream = JobStream(pending(), after)
    frames = [*stream.started(), *(frame for event in events for frame in stream.event(event))]
    return [*frames, *stream.close(render(final))]


def test_a_text_or_messages():
    asked = {"model": "m", "temperature": 0, "metadata": {"a": "b"}}
    by_text = parse(asked | {"input": "Hi"})
    assert by_text.messages == (Message("user", (Text("Hi"),)),)
    assert by_text == parse(asked | {"messages": [{"role": "user", "content": "Hi"}], "input": None})
    assert by_text.extra == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x"}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "input": ["x"]}, "input"),
        ({"model": "m", "input": "x", "messages": [{"role": "user", "content": "x"}]}, "input"),
        ({"model": "m", "messages": [{"role": "x"}]}, "messages[0].role"),
        ({"model": "m", "input": "x", "metadata": {"a": 1}}, "metadata"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as caught:
        parse(body)
    assert caught.value.param == param


def test_the_object_of_a_job_that_succeeded():
    events: Events = [*TEXT, PartStarted(1, "tool_call", 0, "c", "f"), PartDelta(1, "{}"), PartStarted(2, "reasoning")]
    facts = ended(pending({"model": "m", "metadata": {"a": "b"}}), events, "tool_calls")
    assert render(facts) == {
        "id": "job_" + facts.id.hex,
        "object": "job",
        "status": "succeeded",
        "model": "m",
        "created_at": CREATED,
        "started": True,
        "finished_at": FINISHED,
        "output": {
            "text": "Hi",
            "reasoning": None,
            "refusal": None,
            "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}],
            "finish_reason": "tool_calls",
        },
        "usage": {
            "input_tokens": 9, "output_tokens": 5, "total_tokens": 14, "cached_tokens": 3, "cache_write_tokens": 1,
            "reasoning_tokens": 2,
        },
        "error": None,
        "cache": None,
        "metadata": {"a": "b"},
        "callback_url": None,
        "routing": None,
    }  # fmt: skip


def test_a_job_that_waits_or_was_cancelled_has_no_answer_and_no_error():
    for facts in (pending(), replace(pending(), state="cancelled", finished_at=FINISHED)):
        shown = render(facts)
        assert (shown["status"], shown["output"], shown["usage"], shown["error"]) == (facts.state, None, None, None)


def test_what_there_is_of_a_broken_answer_is_shown():
    shown = render(failed(pending(), TEXT, code="broken"))
    assert shown["error"] == {"type": "ProviderError", "message": "it broke", "code": "broken"}
    assert (shown["output"]["text"], shown["output"]["finish_reason"], shown["usage"]) == ("Hi", None, None)
    assert render(replace(pending(), state="expired"))["error"]["code"] == "expired"


def test_every_choice_is_shown():
    events: Events = [PartStarted(0, "text", 1), PartDelta(0, "b"), PartStarted(1, "text", 0), PartDelta(1, "a")]
    output = render(ended(pending(), events, "stop", "length"))["output"]
    assert (output["text"], [choice["text"] for choice in output["choices"]]) == ("a", ["a", "b"])
    assert [choice["finish_reason"] for choice in output["choices"]] == ["stop", "length"]


def test_errors_are_in_the_same_envelope_as_everywhere():
    error = {"type": "T", "message": "why", "status": 404, "param": None, "code": None}
    assert render_error(error)["error"]["message"] == "why"


@given(event_lists(choices=2), st.data())
def test_a_stream_goes_on_after_any_number(events: Events, data: st.DataObject):
    final = ended(pending(), events)
    whole = live(events, final)
    assert final.result
    assert live(list(final.result.events()), final) == whole
    after = data.draw(st.integers(0, len(whole) + 1))
    assert live(events, final, after) == whole[after:]
    frames = sse(b"".join(whole))
    assert [fields["id"] for fields, _ in frames] == [str(number) for number in range(1, len(frames) + 1)]
    assert (frames[0][0]["event"], frames[-1][0]["event"], frames[-1][1]) == ("start", "end", render(final))
    texts = [""] * len(final.result.parts)
    for fields, told in frames:
        if fields["event"] == "delta":
            texts[told["part"]] += told["text"]
    assert texts == [part.text for part in final.result.parts]


def test_a_reset_begins_the_numbers_anew():
    """What follows it has the numbers that the same events have in a stream that is read later."""
    stream = JobStream(pending(), after=2)
    for frames in (stream.started(), *(stream.event(event) for event in TEXT)):
        assert len(frames) <= 1
    (reset,) = stream.reset()
    assert (sse(reset)[0][0], stream.last_number) == ({"id": "0", "event": "reset"}, 0)
    again = [*stream.started(), *(frame for event in TEXT for frame in stream.event(event))]
    final = ended(pending(), TEXT)
    assert [*again, *stream.close(render(final))] == live(TEXT, final)


def test_a_second_beginning_is_not_told():
    stream = JobStream(pending())
    assert len([*stream.started(), *stream.started()]) == 1
