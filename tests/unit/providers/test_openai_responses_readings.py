"""Answers of OpenAI's Responses, as its servers and those compatible with it send them."""

from typing import Any

import pytest
from conformance.wires.openai_responses import SEAL, event, events, plain
from conformance.wires.wire import TEXT, Said, sse

from penstock.completion import CompletionResult, PartDelta, PartStarted, ResultBuilder, Usage
from penstock.errors import ProviderContentRefused, ProviderOverloaded, ProviderRejected, ProviderTimeout
from penstock.providers.failures import ErrorFrame, Failures
from penstock.providers.openai_responses import RESPONSES_FAILURES, ResponsesReader, read_answer, read_usage
from penstock.providers.sse import SSEDecoder


def fold(*pieces: bytes) -> CompletionResult:
    reader, builder = ResponsesReader(), ResultBuilder()
    for read in SSEDecoder().feed(b"".join(pieces)):
        for made in reader.read(read):
            builder.add(made)
    builder.add(reader.finish())
    return builder.build()


def said(result: CompletionResult) -> list[tuple[str, str]]:
    return [(part.kind, part.text) for part in result.parts]


def completed(*output: dict[str, Any], **more: Any) -> bytes:
    response = {"status": "completed", "output": list(output), "usage": None} | more
    return event("response.completed", response=response)


def delta(text: str, output: int = 0, content: int = 0, **more: Any) -> bytes:
    at = {"output_index": output, "content_index": content}
    return event("response.output_text.delta", **at, delta=text, **more)


def call(index: int, name: str, arguments: str = "") -> dict[str, Any]:
    return {"type": "function_call", "call_id": f"call_{index}", "name": name, "arguments": arguments}


REASONING: Said = ("reasoning", "hm", None, None)


def test_the_seal_comes_with_the_finished_item() -> None:
    """The one at the item's start is not whole, says the vendor."""
    parts: list[Said] = [REASONING, *TEXT]
    live, whole = fold(*events(parts)), read_answer(plain(parts))
    for result in (live, whole):
        assert [(part.kind, part.signature) for part in result.parts] == [("reasoning", SEAL), ("text", None)]
    assert live.parts[0].name is None


def test_thoughts_that_are_only_sealed() -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": "seal"}
    done = event("response.output_item.done", output_index=0, item=item)
    for result in (fold(done, completed(item)), read_answer(plain([], output=[item]))):
        (part,) = result.parts
        assert (part.kind, part.name, part.text, part.signature) == ("reasoning", "redacted", "", "seal")


def test_thoughts_of_no_seal_and_no_text_are_none() -> None:
    assert read_answer(plain([], output=[{"type": "reasoning", "summary": []}])).parts == ()


def test_several_texts_of_thoughts_are_one_part() -> None:
    """Two of a summary and one in the open, kept apart by blank lines; the same plain and streamed."""
    summary = [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}]
    item = {"type": "reasoning", "summary": summary, "content": [{"type": "reasoning_text", "text": "raw"}]}

    def grown(name: str, place: int, text: str) -> bytes:
        kind = {"summary": "reasoning_summary_text", "content": "reasoning_text"}[name]
        return event(f"response.{kind}.delta", output_index=0, **{f"{name}_index": place}, delta=text)

    live = fold(
        grown("summary", 0, "o"),
        grown("summary", 0, ""),
        grown("summary", 0, "ne"),
        grown("summary", 1, "two"),
        grown("content", 0, "raw"),
        completed(item),
    )
    assert said(live) == said(read_answer(plain([], output=[item]))) == [("reasoning", "one\n\ntwo\n\nraw")]


def test_calls_that_grow_in_turns() -> None:
    first, second = call(0, "f", '{"a":1}'), call(1, "g", '{"b":2}')

    def grown(index: int, text: str) -> bytes:
        return event("response.function_call_arguments.delta", output_index=index, delta=text)

    result = fold(
        event("response.output_item.added", output_index=0, item=call(0, "f")),
        event("response.output_item.added", output_index=1, item=call(1, "g")),
        grown(0, '{"a"'),
        grown(1, '{"b":'),
        grown(0, ":1}"),
        grown(1, "2}"),
        event("response.output_item.done", output_index=1, item=second),
        event("response.output_item.done", output_index=0, item=first),
        completed(first, second),
    )
    assert [(part.id, part.name, part.text) for part in result.parts] == [
        ("call_0", "f", '{"a":1}'),
        ("call_1", "g", '{"b":2}'),
    ]
    assert result.finish_reasons == ("tool_calls",)


def test_items_that_no_delta_announced() -> None:
    """Servers exist that send whole items, or only the finished response."""
    item = call(0, "f", "{}")
    text = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
    whole = fold(event("response.output_item.done", output_index=0, item=item), completed(item, text))
    for result in (whole, fold(completed(item, text))):
        assert said(result) == [("tool_call", "{}"), ("text", "Hi")]
        assert result.parts[0].id == "call_0"


def test_each_content_of_a_message_is_a_part() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "a"}, {"type": "refusal", "refusal": "no"}]}
    refusal = event("response.refusal.delta", output_index=0, content_index=1, delta="no")
    for result in (fold(delta("a"), refusal, completed(item)), read_answer(plain([], output=[item]))):
        assert said(result) == [("text", "a"), ("refusal", "no")]
        assert result.finish_reasons == ("stop",)


def test_what_has_no_neutral_form_is_passed_over() -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    searching = event("response.web_search_call.searching", output_index=0, item_id="ws_1")
    result = fold(searching, event("response.new_thing", anything=1), delta("a", output=1), completed(item))
    assert said(result) == [("text", "a")]


def test_logprobs() -> None:
    """Those of deltas come without bytes; plain ones may spell a token that is no whole character."""
    short = {"token": "é", "logprob": -0.5, "top_logprobs": [{"token": "e", "logprob": -1.5}]}
    entry = {
        "token": "é",
        "logprob": -0.5,
        "bytes": [195, 169],
        "top_logprobs": [{"token": "e", "logprob": -1.5, "bytes": [101]}],
    }
    live = fold(delta("é", logprobs=[short]), delta("", logprobs=[short]), delta("", logprobs=[]), completed())
    assert live.parts[0].logprobs == (entry, entry)
    assert list(live.events())[1:] == [PartDelta(0, "é", (entry,)), PartDelta(0, "", (entry,))]
    half = entry | {"token": "\ufffd", "bytes": [195]}
    content = {"type": "output_text", "text": "é", "logprobs": [half]}
    whole = read_answer(plain([], output=[{"type": "message", "content": [content]}]))
    assert whole.parts[0].logprobs == (half,)
    assert next(whole.events()) == PartStarted(0, "text")


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ({"reason": "max_output_tokens"}, "length"),
        ({"reason": "content_filter"}, "content_filter"),
        ({"reason": "steered"}, "length"),
        (None, "length"),
    ],
)
def test_incomplete_answers(details: Any, reason: str) -> None:
    """Also one that was calling a tool: the call may not be whole."""
    response = {"status": "incomplete", "incomplete_details": details, "output": [call(0, "f", '{"a"')]}
    assert read_answer(response).finish_reasons == (reason,)
    assert fold(event("response.incomplete", response=response)).finish_reasons == (reason,)


@pytest.mark.parametrize("status", ["in_progress", "queued", "cancelled"])
def test_a_response_that_is_not_at_its_end(status: str) -> None:
    with pytest.raises(ValueError, match=status):
        read_answer(plain(TEXT, status=status))


def test_a_stream_without_its_end() -> None:
    with pytest.raises(ValueError, match="complete"):
        fold(*events(TEXT)[:-2])


FAILED = {"status": "failed", "output": [], "error": {"code": "server_error", "message": "it burst"}}


@pytest.mark.parametrize(
    "piece",
    [
        event("response.failed", response=FAILED),
        event("error", code="server_error", message="it burst", param=None),
        event("error", error={"type": "server_error", "code": "server_error", "message": "it burst"}),
        sse({"error": {"code": "server_error", "message": "it burst"}}),
    ],
)
def test_errors_inside_a_stream(piece: bytes) -> None:
    with pytest.raises(ErrorFrame) as caught:
        fold(delta("a"), piece)
    made = Failures("river", (), RESPONSES_FAILURES).frame(caught.value.error)
    assert type(made) is ProviderOverloaded
    assert "it burst" in made.message


def test_a_plain_answer_that_failed() -> None:
    for answer in (FAILED, FAILED | {"error": None}, plain([], error={"code": "server_error", "message": "m"})):
        with pytest.raises(ErrorFrame):
            read_answer(answer)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("invalid_prompt", ProviderContentRefused),
        ("image_content_policy_violation", ProviderContentRefused),
        ("invalid_image_url", ProviderRejected),
        ("vector_store_timeout", ProviderTimeout),
        ("server_error", ProviderOverloaded),
    ],
)
def test_why_a_response_failed(code: str, error: type) -> None:
    made = Failures("river", (), RESPONSES_FAILURES).frame({"code": code, "message": "m"})
    assert type(made) is error


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({}, Usage()),
        ({"input_tokens": 3, "output_tokens": None, "input_tokens_details": None}, Usage(3)),
        (
            {"input_tokens": 3, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 1}},
            Usage(3, 2, 0, 0, 1),
        ),
    ],
)
def test_usage_with_gaps(wire: dict[str, Any], usage: Usage) -> None:
    assert read_usage(wire) == usage
