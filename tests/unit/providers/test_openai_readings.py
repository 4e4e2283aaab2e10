"""What OpenAI-compatible servers send, beyond what the format says."""

import json
from typing import Any

import pytest
from conformance.wires.openai import USAGE, chunk, plain
from conformance.wires.wire import ask, sse

from penstock.completion import CompletionResult, PartDelta, PartStarted, ResultBuilder, Usage
from penstock.providers.failures import ErrorFrame
from penstock.providers.openai_chat_reader import ChatReader, read_answer, read_usage
from penstock.providers.sse import SSEDecoder

DONE = b"data: [DONE]\n\n"


def fold(*chunks: bytes, **fields: Any) -> CompletionResult:
    reader, builder = ChatReader(ask(**fields)), ResultBuilder()
    for event in SSEDecoder().feed(b"".join(chunks)):
        for made in reader.read(event):
            builder.add(made)
    builder.add(reader.finish())
    return builder.build()


def call(index: int | None, arguments: Any = "", call_id: str | None = None, name: str | None = None) -> bytes:
    wire: dict[str, Any] = {"function": {"arguments": arguments}}
    wire |= {"index": index} if index is not None else {}
    wire |= {"id": call_id} if call_id is not None else {}
    if name is not None:
        wire["function"]["name"] = name
    return chunk({"tool_calls": [wire]})


def calls(result: CompletionResult) -> list[tuple[str | None, str | None, str]]:
    return [(part.id, part.name, part.text) for part in result.parts if part.kind == "tool_call"]


def test_several_choices_in_turns() -> None:
    result = fold(
        chunk({"content": "a"}, index=1),
        chunk({"content": "b"}, index=0),
        chunk({"content": "c"}, "length", index=1),
        chunk({"content": "d"}, "stop", index=0),
        DONE,
        n=2,
    )
    assert [(part.choice, part.text) for part in result.parts] == [(1, "ac"), (0, "bd")]
    assert result.finish_reasons == ("stop", "length")


def test_an_answer_is_whole_when_every_choice_is() -> None:
    """Without the end mark, choices that never began are missed too."""
    done = chunk({"content": "a"}, "stop")
    with pytest.raises(ValueError, match="finish reason"):
        fold(done, chunk({"content": "b"}, index=1), DONE)
    with pytest.raises(ValueError, match="finish reason"):
        fold(done, n=2)
    assert fold(done, DONE, n=2).finish_reasons == ("stop",)


def test_the_end_mark_is_no_finish_reason() -> None:
    with pytest.raises(ValueError, match="finish reason"):
        fold(chunk({"content": "a"}), DONE)


def test_calls_that_are_all_numbered_nought() -> None:
    result = fold(
        call(0, '{"a":1}', "c1", "f"), call(0, '{"b":', "c2", "g"), call(0, "2}"), chunk({}, "tool_calls"), DONE
    )
    assert calls(result) == [("c1", "f", '{"a":1}'), ("c2", "g", '{"b":2}')]


def test_calls_without_numbers() -> None:
    result = fold(call(None, '{"a":', "c1", "f"), call(None, "1}"), chunk({}, "tool_calls"), DONE)
    assert calls(result) == [("c1", "f", '{"a":1}')]


def test_a_fresh_id_with_every_fragment() -> None:
    result = fold(call(0, '{"a":', "c1", "f"), call(0, "1}", "c2"), chunk({}, "tool_calls"), DONE)
    assert calls(result) == [("c1", "f", '{"a":1}')]


def test_a_call_without_an_id_is_given_one() -> None:
    """A tool's result has to name its call."""
    ((call_id, name, _),) = calls(fold(call(0, "{}", None, "f"), chunk({}, "tool_calls"), DONE))
    assert name == "f"
    assert call_id
    assert call_id.startswith("call_")


def test_arguments_as_an_object() -> None:
    assert calls(fold(call(0, {"é": 1}, "c1", "f"), chunk({}, "tool_calls"), DONE)) == [("c1", "f", '{"é":1}')]


def test_a_call_without_a_name_is_no_answer() -> None:
    with pytest.raises(ValueError, match="name"):
        fold(call(0, "{}", "c1"), DONE)


def test_the_older_function_call() -> None:
    answer = plain([], "function_call")
    answer["choices"][0]["message"]["function_call"] = {"name": "f", "arguments": "{}"}
    result = read_answer(answer, ask())
    assert [(part.kind, part.name, part.text) for part in result.parts] == [("tool_call", "f", "{}")]
    assert result.finish_reasons == ("tool_calls",)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_reasoning_by_either_name(field: str) -> None:
    result = fold(chunk({field: "hm"}), chunk({"content": "a", field: None}, "stop"), DONE)
    assert [(part.kind, part.text) for part in result.parts] == [("reasoning", "hm"), ("text", "a")]


def test_a_refusal_is_a_part_of_its_own() -> None:
    whole = read_answer(plain([("refusal", "I will not", None, None)]), ask())
    live = fold(chunk({"refusal": "I will"}), chunk({"refusal": " not"}, "stop"), DONE)
    for result in (whole, live):
        assert [(part.kind, part.text) for part in result.parts] == [("refusal", "I will not")]


def entry(token: str) -> dict[str, Any]:
    return {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}


def test_logprobs_stay_with_their_delta() -> None:
    """Also those of a token whose character is not whole yet, and so has no text."""
    events = list(
        ChatReader(ask()).chunk(
            {"choices": [{"delta": {"content": ""}, "logprobs": {"content": [entry("\ufffd")]}}]}, "delta"
        )
    )
    assert events == [PartStarted(0, "text"), PartDelta(0, "", (entry("\ufffd"),))]
    tokens = [entry("Hel"), entry("lo")]
    result = read_answer(plain([("text", "Hello", None, None)], logprobs={"content": tokens}), ask())
    assert result.parts[0].logprobs == tuple(tokens)


def test_a_stop_string_is_believed_only_if_it_was_asked_for() -> None:
    answer = plain([], "stop", stop_reason=128001)
    assert read_answer(answer, ask(stop=("END",))).finish_reasons == ("stop",)


@pytest.mark.parametrize("reason", ["error", "abort", "network_error", "insufficient_system_resource"])
def test_a_server_that_gave_up_has_not_finished(reason: str) -> None:
    with pytest.raises(ErrorFrame):
        fold(chunk({"content": "a"}, reason), DONE)


def test_an_unknown_reason_is_an_end() -> None:
    assert fold(chunk({"content": "a"}, "eos_token"), DONE).finish_reasons == ("stop",)


def test_usage_in_any_chunk() -> None:
    """Some report it with the last delta, some with every one; the last counts."""
    chunk = {"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}], "usage": USAGE}
    reader = ChatReader(ask())
    assert list(reader.chunk({"choices": [], "usage": {"prompt_tokens": 1}}, "delta")) == []
    assert list(reader.chunk(chunk, "delta"))
    assert reader.finish().usage == Usage(19, 7, 8, 2, 3)


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({}, Usage()),
        ({"prompt_tokens": 3, "completion_tokens": None, "prompt_tokens_details": None}, Usage(3)),
        ({"prompt_tokens": 3, "completion_tokens": 1, "prompt_cache_hit_tokens": 2}, Usage(3, 1, 2)),
        ({"prompt_tokens": 3, "completion_tokens": 1, "cached_tokens": 2}, Usage(3, 1, 2)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cache_creation_input_tokens": 4}}, Usage(9, 0, 0, 4)),
        ({"completion_tokens": 7, "total_tokens": 7, "reasoning_tokens": 5}, Usage(0, 7, 0, 0, 5)),
    ],
)
def test_usage_with_gaps(wire: dict[str, Any], usage: Usage) -> None:
    assert read_usage(wire) == usage


def test_thoughts_counted_beside_the_answer() -> None:
    """The neutral count includes them; only the total tells which way a server counts."""
    wire = {"prompt_tokens": 3, "completion_tokens": 2, "completion_tokens_details": {"reasoning_tokens": 5}}
    assert read_usage({**wire, "total_tokens": 10}) == Usage(3, 7, 0, 0, 5)
    assert read_usage({**wire, "total_tokens": 5}) == Usage(3, 2, 0, 0, 5)


def test_usage_inside_a_choice_and_beside_the_choices() -> None:
    last = chunk({}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 1})
    assert fold(chunk({"content": "a"}), last, DONE).usage == Usage(3, 1)
    groq = sse({"choices": [], "x_groq": {"id": "req", "usage": {"prompt_tokens": 4, "completion_tokens": 2}}})
    assert fold(chunk({"content": "a"}, "stop"), groq, DONE).usage == Usage(4, 2)


def test_content_in_blocks() -> None:
    """Mistral's: thoughts with their seal before the text, references passed over; the same plain and streamed."""
    think = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "seal"}
    blocks = [think, {"type": "text", "text": "Yes"}, {"type": "reference", "reference_ids": [1]}]
    answer = plain([])
    answer["choices"][0]["message"]["content"] = blocks
    live = fold(chunk({"content": blocks[:1]}), chunk({"content": "Y"}), chunk({"content": "es"}, "stop"), DONE)
    for result in (read_answer(answer, ask()), live):
        assert [(part.kind, part.text, part.signature) for part in result.parts] == [
            ("reasoning", "hm", "seal"),
            ("text", "Yes", None),
        ]


def detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"reasoning.{kind}", "format": "anthropic-claude-v1", "index": 0, **fields}


def test_sealed_reasoning_details_go_into_the_signature() -> None:
    """OpenRouter's: pieces of one text are one detail, and its seal, which comes last, belongs to it."""
    result = fold(
        chunk({"reasoning": "Let ", "reasoning_details": [detail("text", text="Let ")]}),
        chunk({"reasoning": "me", "reasoning_details": [detail("text", text="me", signature=None)]}),
        chunk({"reasoning_details": [detail("text", signature="seal")]}),
        chunk({"content": "Yes"}),
        chunk({"reasoning_details": [detail("encrypted", data="xyz", index=1)]}, "stop"),
        chunk({}, "stop"),
        DONE,
    )
    assert [(part.kind, part.text) for part in result.parts] == [("reasoning", "Let me"), ("text", "Yes")]
    assert json.loads(result.parts[0].signature or "") == [
        detail("text", text="Let me", signature="seal"),
        detail("encrypted", data="xyz", index=1),
    ]


def test_details_alone_tell_the_thoughts() -> None:
    """Without a seal nothing has to go back."""
    details = [detail("summary", summary="in short")]
    result = fold(chunk({"reasoning_details": details}), chunk({"content": "a"}, "stop"), DONE)
    assert [(part.kind, part.text, part.signature) for part in result.parts] == [
        ("reasoning", "in short", None),
        ("text", "a", None),
    ]


def test_thoughts_that_are_only_encrypted() -> None:
    answer = plain([("text", "a", None, None)])
    answer["choices"][0]["message"]["reasoning_details"] = [detail("encrypted", data="xyz")]
    result = read_answer(answer, ask())
    assert [(part.kind, part.name, part.text) for part in result.parts] == [
        ("text", None, "a"),
        ("reasoning", "redacted", ""),
    ]
    assert json.loads(result.parts[1].signature or "") == [detail("encrypted", data="xyz")]


def test_the_first_chunk_of_azure() -> None:
    """It has no choices, only what the content filter thinks of the prompt; later ones carry it beside the text."""
    first = {"choices": [], "id": "", "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0}]}
    results = {"hate": {"filtered": False, "severity": "safe"}}
    result = fold(
        sse(first),
        chunk({"content": "a"}, content_filter_results=results),
        chunk({}, "stop", content_filter_results={}),
        chunk({}, None, content_filter_results=results, content_filter_offsets={"check_offset": 44}),
        DONE,
    )
    assert (result.text, result.finish_reasons) == ("a", ("stop",))


def test_an_answer_that_the_filter_cut() -> None:
    result = fold(chunk({"content": "a"}), chunk({}, "content_filter"), DONE)
    assert (result.text, result.finish_reasons) == ("a", ("content_filter",))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"choices": [], "x_groq": {"error": "over capacity"}}, "over capacity"),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, {"code": "1002"}),
        ({"choices": [{"finish_reason": "error"}], "error": {"code": 502, "message": "down"}}, {"code": 502}),
        ({"object": "error", "message": "no", "code": 400}, {"code": 400}),
    ],
)
def test_errors_inside_a_success(body: dict[str, Any], told: Any) -> None:
    with pytest.raises(ErrorFrame) as caught:
        list(ChatReader(ask()).chunk(body, "delta"))
    error = caught.value.error
    assert error == told or error.items() >= told.items()


def test_no_error_is_no_error() -> None:
    answer = plain([("text", "a", None, None)]) | {"base_resp": {"status_code": 0, "status_msg": ""}, "error": None}
    assert read_answer(answer, ask()).text == "a"
