"""Legacy completions: their request, their object and their stream."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai.types import Completion
from unit.dialects.examples import (
    USAGE,
    Events,
    ended,
    entry,
    event_lists,
    failed,
    pending,
    result_of,
    sdk,
    sse,
)

from penstock.completion import CompletionRequest, Message, PartDelta, PartStarted, Text
from penstock.completion.result import joined
from penstock.dialects import openai_completions
from penstock.dialects.facts import JobFacts
from penstock.errors import InvalidRequest
from penstock.submission.plan import choices

parse, render = openai_completions.parse, openai_completions.render


def asked(**body: Any) -> JobFacts:
    return pending({"model": "m", "prompt": "Say: "} | body)


def said(text: str) -> tuple[Message, ...]:
    return (Message("user", (Text(text),)),)


def streamed(facts: JobFacts, final: JobFacts, given_events: Events, *, include_usage: bool = False) -> bytes:
    stream = openai_completions.TextStream(facts, include_usage=include_usage)
    frames = stream.open()
    for event in given_events:
        frames += stream.event(event)
    return b"".join(frames + stream.close(final))


def texts_of(frames: bytes) -> dict[int, str]:
    """What a client puts together from a stream."""
    texts: dict[int, str] = {}
    for _, chunk in sse(frames):
        for choice in chunk["choices"] if chunk != "[DONE]" else ():
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
    return texts


def test_every_field():
    body = {
        "model": "m",
        "prompt": ["a", "b"],
        "max_tokens": 5,
        "temperature": 0.5,
        "top_p": 0.9,
        "n": 2,
        "best_of": 2,
        "stop": ["x", "y"],
        "seed": 1,
        "presence_penalty": 1,
        "frequency_penalty": -1,
        "logit_bias": {"1": 2},
        "logprobs": 3,
        "user": "u",
        "echo": False,
        "suffix": None,
        "stream": True,
        "stream_options": {"include_usage": True},
        "min_p": 0.1,
    }
    request = parse(body)
    assert request == CompletionRequest(
        model="m",
        messages=said("a"),
        others=(said("b"),),
        max_tokens=5,
        temperature=0.5,
        top_p=0.9,
        n=2,
        stop=("x", "y"),
        seed=1,
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias={"1": 2},
        logprobs=True,
        top_logprobs=3,
        user="u",
        extra={"min_p": 0.1},
    )
    assert request.calls() == (replace(request, others=()), replace(request, messages=said("b"), others=()))
    assert choices(body) == 4


def test_what_is_left_out():
    request = parse({"model": "m", "prompt": "a", "logprobs": 0})
    assert request == CompletionRequest(model="m", messages=said("a"), logprobs=True)
    assert request.calls() == (request,)
    assert parse({"model": "m", "prompt": ["a"]}) == CompletionRequest(model="m", messages=said("a"))


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": {}}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": ["a", None]}, "prompt[1]"),
        ({"prompt": ["a"] * 2049}, "prompt"),
        ({"prompt": ["a"] * 100, "n": 100}, "n"),
        ({"n": 0}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"suffix": "end"}, "suffix"),
        ({"echo": 1}, "echo"),
        ({"echo": True, "logprobs": 1}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"logprobs": 21}, "logprobs"),
        ({"best_of": 3}, "best_of"),
        ({"tools": [{}]}, "tools"),
        ({"messages": []}, "messages"),
        ({"stop": 1}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as caught:
        parse({"model": "m", "prompt": "a"} | change)
    assert caught.value.param == param


TWO: Events = [
    PartStarted(0, "reasoning", 0),
    PartDelta(0, "hm"),
    PartStarted(1, "text", 0),
    PartStarted(2, "text", 1),
    PartDelta(1, "one"),
    PartDelta(2, "two", (entry("two"),)),
]


def test_the_object():
    shown = render(ended(asked(n=2), TWO, "stop_sequence", "length"))
    Completion.model_validate(shown)
    assert (shown["object"], shown["id"][:5], shown["model"]) == ("text_completion", "cmpl-", "m")
    assert [(c["index"], c["text"], c["finish_reason"]) for c in shown["choices"]] == [
        (0, "one", "stop"),
        (1, "two", "length"),
    ]
    assert shown["choices"][0]["logprobs"] is None
    assert shown["choices"][1]["logprobs"] == {
        "tokens": ["two"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{"two": -0.5}],
        "text_offset": [0],
    }
    assert shown["usage"]["total_tokens"] == USAGE.total_tokens


def test_prompts_stand_before_their_choices_where_asked_for():
    facts = asked(prompt=["A: ", "B: "], n=2, echo=True)
    each = [result_of([PartStarted(0, "text", 0), PartDelta(0, text)], "stop", "stop") for text in "ab"]
    final = replace(ended(facts, []), result=joined(each))
    assert [choice["text"] for choice in render(final)["choices"]] == ["A: a", "A: ", "B: b", "B: "]
    assert texts_of(streamed(facts, final, [])) == {0: "A: a", 1: "A: ", 2: "B: b", 3: "B: "}


@example([PartStarted(0, "text"), PartDelta(0, "bare"), PartDelta(0, "a", (entry("a"),))], 2, False)
@given(event_lists(choices=2), st.integers(0, 25), st.booleans())
def test_a_stream_tells_what_the_object_tells(events: Events, seen: int, echo: bool):
    """However much of it was seen live."""
    facts = asked(n=2, echo=echo)
    final = ended(facts, events, "stop", "length")
    whole = render(final)
    frames = streamed(facts, final, events[:seen])
    assert texts_of(frames) == {choice["index"]: choice["text"] for choice in whole["choices"]}
    offsets: dict[int, list[int]] = {0: [], 1: []}
    for _, chunk in sse(frames)[:-1]:
        for choice in chunk["choices"]:
            offsets[choice["index"]] += (choice["logprobs"] or {"text_offset": []})["text_offset"]
    assert [offsets[c["index"]] for c in whole["choices"]] == [
        (c["logprobs"] or {"text_offset": []})["text_offset"] for c in whole["choices"]
    ]
    ends = [c["finish_reason"] for _, k in sse(frames)[:-1] for c in k["choices"] if c["finish_reason"]]
    assert ends == ["stop", "length"]


def test_the_sdk_reads_the_stream():
    facts = asked(n=2)
    frames = streamed(facts, ended(facts, TWO, "stop", "stop"), TWO[:4], include_usage=True)
    chunks = list(sdk(frames).completions.create(model="m", prompt="a", stream=True))
    assert "".join(c.choices[0].text for c in chunks if c.choices and c.choices[0].index == 1) == "two"
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert {chunk.id for chunk in chunks} == {"cmpl-" + facts.id.hex}


def test_a_failure_is_the_last_frame():
    facts = asked()
    frames = sse(streamed(facts, failed(facts, TWO), TWO))
    assert frames[-1][1]["error"]["message"] == "it broke"


@pytest.mark.parametrize("reasons", [(), None])
def test_only_a_whole_answer_is_shown(reasons: tuple[()] | None):
    facts = pending() if reasons is None else replace(asked(), result=result_of(TWO))
    with pytest.raises(ValueError, match="whole"):
        render(facts)


@given(st.lists(event_lists(choices=2), min_size=1, max_size=4))
def test_answers_as_one_keep_all_of_each(lists: list[Events]):
    each = [result_of(events, "stop", "length") for events in lists]
    whole = joined(each)
    assert whole.finish_reasons == ("stop", "length") * len(each)
    assert whole.usage.to_json() == [count * len(each) for count in USAGE.to_json()]
    parts, told = 0, list(whole.events())
    for number, result in enumerate(each):
        own = list(result.events())
        got, told = told[: len(own)], told[len(own) :]
        moved = [
            replace(event, part=event.part + parts, choice=event.choice + 2 * number)
            if isinstance(event, PartStarted)
            else replace(event, part=event.part + parts)
            for event in own
        ]
        assert got == moved
        parts += len(result.parts)
    assert told == []
