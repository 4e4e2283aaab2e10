"""What Cohere sends beside the plain cases."""

from typing import Any

import pytest
from conformance.wires.cohere import USAGE, end, event, events, plain
from conformance.wires.wire import ask

from penstock.completion import (
    CompletionResult,
    EmbeddingResult,
    Finished,
    PartDelta,
    PartStarted,
    ResultBuilder,
    Usage,
)
from penstock.errors import ProviderContentRefused, ProviderOverloaded, ProviderRejected, ProviderTimeout
from penstock.providers.cohere import ChatReader, CohereChat, read_answer, read_embeddings, read_usage
from penstock.providers.failures import ErrorFrame, Failures, VendorError
from penstock.providers.sse import SSEDecoder


def fold(*chunks: bytes, **fields: Any) -> CompletionResult:
    reader, builder = ChatReader(ask(**fields)), ResultBuilder()
    for read in SSEDecoder().feed(b"".join(chunks)):
        for made in reader.read(read):
            builder.add(made)
    builder.add(reader.finish())
    return builder.build()


def text(piece: str, index: int = 0, **more: Any) -> bytes:
    return event("content-delta", {"content": {"text": piece}}, index, **more)


def call_start(index: int, call_id: str, name: str, arguments: str = "") -> bytes:
    function = {"name": name, "arguments": arguments}
    return event("tool-call-start", {"tool_calls": {"id": call_id, "type": "function", "function": function}}, index)


def call_delta(index: int, arguments: str) -> bytes:
    return event("tool-call-delta", {"tool_calls": {"function": {"arguments": arguments}}}, index)


def said(result: CompletionResult) -> list[tuple[str, str, str | None]]:
    return [(part.kind, part.text, part.id) for part in result.parts]


def test_a_plan_is_reasoning() -> None:
    """Models that do not think in blocks of their own say in a plan why they call a tool."""
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answer = plain([], "TOOL_CALL") | {
        "message": {"role": "assistant", "tool_plan": "I will look.", "content": None, "tool_calls": [call]}
    }
    live = fold(
        event("tool-plan-delta", {"tool_plan": "I will"}),
        event("tool-plan-delta", {"tool_plan": ""}),
        event("tool-plan-delta", {"tool_plan": " look."}),
        call_start(0, "c1", "f"),
        call_delta(0, "{}"),
        event("tool-call-end", index=0),
        end("TOOL_CALL"),
    )
    for result in (read_answer(answer, ask()), live):
        assert said(result) == [("reasoning", "I will look.", None), ("tool_call", "{}", "c1")]


def test_contents_and_calls_are_numbered_apart_and_may_interleave() -> None:
    result = fold(
        text("a", 0),
        call_start(0, "c1", "f", '{"x":'),
        call_start(1, "c2", "g"),
        text("b", 1),
        call_delta(1, "[]"),
        call_delta(0, "1}"),
        text("c", 0),
        event("tool-call-end", index=1),
        event("tool-call-end", index=0),
        end("TOOL_CALL"),
    )
    assert said(result) == [
        ("text", "ac", None),
        ("tool_call", '{"x":1}', "c1"),
        ("tool_call", "[]", "c2"),
        ("text", "b", None),
    ]


def test_events_without_a_neutral_form_are_passed_over() -> None:
    result = fold(
        text("a"),
        event("citation-start", {"citations": {"start": 0, "end": 1, "text": "a", "sources": []}}, 0),
        event("citation-end", index=0),
        event("debug", prompt="<|START|>"),
        event("weather"),
        b"event: ping\ndata:\n\n",
        end(),
    )
    assert said(result) == [("text", "a", None)]


def test_a_character_cut_by_a_chunks_end() -> None:
    body = b"".join([text("世界 👩‍👩‍👧"), end()])
    reader, decoder = ChatReader(ask()), SSEDecoder()
    chunks = (body[at : at + 1] for at in range(len(body)))
    made = [part for chunk in chunks for read in decoder.feed(chunk) for part in reader.read(read)]
    assert made == [PartStarted(0, "text"), PartDelta(0, "世界 👩‍👩‍👧")]


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
def test_an_answer_that_failed_is_none(reason: str) -> None:
    """In a stream the vendor says what happened, in a plain answer not even that."""
    with pytest.raises(ErrorFrame) as caught:
        fold(text("a"), end(reason, error="it burst"))
    assert (caught.value.error.type, caught.value.error.message) == (reason, "it burst")
    with pytest.raises(ErrorFrame) as caught:
        read_answer(plain([("text", "a", None, None)], reason), ask())
    assert (caught.value.error.type, caught.value.error.message) == (reason, None)


@pytest.mark.parametrize(
    ("status", "error"), [(498, ProviderContentRefused), (499, ProviderOverloaded), (501, ProviderRejected)]
)
def test_statuses_of_the_vendors_own(status: int, error: type) -> None:
    told = VendorError.of_body(b'{"id":"1","message":"because"}')
    made = Failures("p", (), CohereChat.failures).refused(status, {}, told)
    assert (type(made), "because" in made.message) == (error, True)


@pytest.mark.parametrize(("reason", "error"), [("ERROR", ProviderOverloaded), ("TIMEOUT", ProviderTimeout)])
def test_what_failed_in_the_middle(reason: str, error: type) -> None:
    with pytest.raises(ErrorFrame) as caught:
        fold(end(reason, error="it burst"))
    assert type(Failures("p", (), CohereChat.failures).frame(caught.value.error)) is error


def test_an_error_is_believed_without_its_reason() -> None:
    with pytest.raises(ErrorFrame):
        fold(event("message-end", delta={"error": "it burst"}))


def test_an_envelope_instead_of_an_event() -> None:
    with pytest.raises(ErrorFrame) as caught:
        fold(text("a"), b'data: {"id":"1","message":"it burst"}\n\n')
    assert caught.value.error.message == "it burst"


def test_an_unknown_reason_is_an_end() -> None:
    assert fold(text("a"), end("SOMETHING_NEW")).finish_reasons == ("stop",)


def test_an_answer_without_a_reason_is_not_whole() -> None:
    with pytest.raises(ValueError, match="finish reason"):
        fold(text("a"), b"data: [DONE]\n\n")
    with pytest.raises(ValueError, match="finish reason"):
        read_answer(plain([]) | {"finish_reason": None}, ask())


def test_the_stop_string_is_known_if_there_was_but_one() -> None:
    answer = plain([], "STOP_SEQUENCE")
    assert read_answer(answer, ask(stop=("a",))).stop_sequence == "a"
    assert read_answer(answer, ask(stop=("a", "b"))).stop_sequence is None
    assert read_answer(plain([]), ask(stop=("a",))).stop_sequence is None


def test_nothing_after_the_end_is_read() -> None:
    """The connection may stay open without the mark that other formats have."""
    reader = ChatReader(ask())
    for read in SSEDecoder().feed(b"".join(events([])[:-1])):
        assert list(reader.read(read)) == []
    assert reader.ended
    assert isinstance(reader.finish(), Finished)


@pytest.mark.parametrize(
    ("wire", "usage"),
    [
        ({}, Usage()),
        (USAGE, Usage(19, 7, 8)),
        ({"billed_units": {"input_tokens": 5.0, "output_tokens": 7.0}}, Usage(5, 7)),
        ({"tokens": {"input_tokens": 3.0, "output_tokens": None}, "cached_tokens": None}, Usage(3)),
    ],
)
def test_usage(wire: dict[str, Any], usage: Usage) -> None:
    """What went through the model counts, not what is paid for."""
    assert read_usage(wire) == usage


def item(chunk: str, *logprobs: float) -> dict[str, Any]:
    return {"text": chunk, "token_ids": list(range(len(logprobs))), "logprobs": list(logprobs)}


def entry(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode()), "top_logprobs": []}


def test_logprobs_of_a_chunk_are_those_of_its_tokens_together() -> None:
    items = [item("Hel", -0.5), item("lo 界", -0.25, -1.0)]
    answer = plain([("text", "Hello 界", None, None)], logprobs=items)
    live = fold(*(text(each["text"], logprobs=each) for each in items), end())
    for result in (read_answer(answer, ask()), live):
        assert result.parts[0].logprobs == (entry("Hel", -0.5), entry("lo 界", -1.25))


@pytest.mark.parametrize("thoughts_too", [False, True])
def test_logprobs_of_a_plain_answer_that_thought_first(thoughts_too: bool) -> None:
    items = [item("hm, ", -3.0), item("界", -2.0)] if thoughts_too else []
    answer = plain(
        [("reasoning", "hm, 界", None, None), ("text", "so 界", None, None)],
        logprobs=[*items, item("so ", -1.0), item("界", -0.5)],
    )
    thought, answered = read_answer(answer, ask()).parts
    assert (thought.logprobs, answered.logprobs) == ((), (entry("so ", -1.0), entry("界", -0.5)))


@pytest.mark.parametrize(
    ("meta", "tokens"),
    [
        ({"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4.0}}, 4),
        ({"tokens": {"input_tokens": 6.0}, "billed_units": {"input_tokens": 4.0}}, 6),
        (None, 0),
    ],
)
def test_embeddings(meta: Any, tokens: int) -> None:
    answer = {"id": "1", "embeddings": {"float": [[0.5, 1], [0, -1]]}, "texts": ["a", "b"], "meta": meta}
    assert read_embeddings(answer) == EmbeddingResult(((0.5, 1), (0, -1)), Usage(input_tokens=tokens))
