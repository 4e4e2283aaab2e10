"""What Ollama sends beside the plain cases."""

from typing import Any

import pytest
from conformance.wires.ollama import COUNTS, call, chunk, events, line, plain

from penstock.completion import CompletionResult, EmbeddingResult, Finished, PartDelta, PartStarted, Usage
from penstock.completion.result import ResultBuilder
from penstock.errors import ProviderOverloaded
from penstock.providers.failures import ErrorFrame, Failures, VendorError
from penstock.providers.ndjson import NDJSONDecoder
from penstock.providers.ollama import ChatReader, OllamaChat, read_answer, read_embeddings, read_usage

DONE = line(chunk(True) | {"done_reason": "stop", **COUNTS})


def fold(*lines: bytes) -> CompletionResult:
    reader, builder, decoder = ChatReader(), ResultBuilder(), NDJSONDecoder()
    last = [*decoder.feed(b"".join(lines)), decoder.finish()]
    for event in last:
        for made in reader.read(event) if event else ():
            builder.add(made)
    builder.add(reader.finish())
    return builder.build()


def text(piece: str, **more: Any) -> bytes:
    return line(chunk(content=piece) | more)


def test_a_call_without_an_id_is_given_one() -> None:
    """Older versions give none, and a tool's result has to name its call."""
    calls = [{"function": {"name": "f", "arguments": {"é": 1}}}, {"function": {"name": "f", "arguments": {}}}]
    live = fold(line(chunk(tool_calls=calls[:1])), line(chunk(tool_calls=calls[1:])), DONE)
    for result in (read_answer(plain([]) | {"message": {"role": "assistant", "tool_calls": calls}}), live):
        assert [(part.name, part.text) for part in result.parts] == [("f", '{"é":1}'), ("f", "{}")]
        ids = [part.id or "" for part in result.parts]
        assert len(set(ids)) == 2
        assert all(each.startswith("call_") for each in ids)
        assert result.finish_reasons == ("tool_calls",)


def test_calls_that_are_all_numbered_nought_are_calls_of_their_own() -> None:
    """Every call comes whole; only some versions count them."""
    result = fold(
        line(chunk(tool_calls=[call('{"a":1}', "c1", "f"), call('{"a":2}', "c2", "f")])),
        line(chunk(tool_calls=[call("{}", "c3", "g")])),
        DONE,
    )
    assert [(part.id, part.text) for part in result.parts] == [("c1", '{"a":1}'), ("c2", '{"a":2}'), ("c3", "{}")]


def test_words_around_a_call_are_one_text() -> None:
    result = fold(text("a"), line(chunk(content="b", tool_calls=[call("{}", "c1", "f")])), text("c"), DONE)
    assert [(part.kind, part.text) for part in result.parts] == [("text", "abc"), ("tool_call", "{}")]


def test_a_call_that_was_cut_is_no_call_that_ended() -> None:
    answer = plain([("tool_call", "{}", "c1", "f")], "length")
    assert read_answer(answer).finish_reasons == ("length",)


def test_thinking_and_words_in_one_line() -> None:
    result = fold(line(chunk(thinking="hm")), line(chunk(thinking=".", content="So")), text(" on"), DONE)
    assert [(part.kind, part.text) for part in result.parts] == [("reasoning", "hm."), ("text", "So on")]


@pytest.mark.parametrize("end", [{}, {"done_reason": ""}, {"done_reason": "something_new"}])
def test_an_end_without_a_known_reason_is_a_natural_one(end: dict[str, Any]) -> None:
    """Older versions give none."""
    assert fold(text("a"), line(chunk(True) | end)).finish_reasons == ("stop",)


@pytest.mark.parametrize("reason", ["load", "unload"])
def test_a_server_that_only_moved_the_model_gave_no_answer(reason: str) -> None:
    with pytest.raises(ErrorFrame):
        fold(line(chunk(True) | {"done_reason": reason}))
    with pytest.raises(ErrorFrame):
        read_answer(plain([], reason))


def test_an_error_on_a_line_of_its_own() -> None:
    with pytest.raises(ErrorFrame) as caught:
        fold(text("a"), line({"error": "an error was encountered while running the model"}))
    assert caught.value.error == "an error was encountered while running the model"


def test_a_call_that_the_server_cancelled_may_be_made_again() -> None:
    told = VendorError.of_body(b'{"error":"request canceled"}')
    assert type(Failures("p", (), OllamaChat.failures).refused(499, {}, told)) is ProviderOverloaded


def test_an_answer_that_was_not_done_is_not_whole() -> None:
    with pytest.raises(ValueError, match="done"):
        fold(text("a"))
    with pytest.raises(ValueError, match="done"):
        read_answer(plain([]) | {"done": False})


def test_the_last_line_may_lack_its_end() -> None:
    assert fold(text("a"), DONE.rstrip()).text == "a"


def test_a_character_cut_by_a_chunks_end() -> None:
    body = text("世界 👩‍👩‍👧") + DONE
    reader, decoder = ChatReader(), NDJSONDecoder()
    chunks = (body[at : at + 1] for at in range(len(body)))
    made = [part for piece in chunks for event in decoder.feed(piece) for part in reader.read(event)]
    assert made == [PartStarted(0, "text"), PartDelta(0, "世界 👩‍👩‍👧")]


def test_the_line_that_is_done_ends() -> None:
    reader = ChatReader()
    for event in NDJSONDecoder().feed(b"".join(events([]))):
        assert list(reader.read(event)) == []
    assert reader.ended
    assert reader.finish() == Finished(("stop",), Usage(19, 7))


@pytest.mark.parametrize(
    ("wire", "usage"),
    [({}, Usage()), (COUNTS, Usage(19, 7)), ({"eval_count": 3}, Usage(0, 3)), ({"prompt_eval_count": None}, Usage())],
)
def test_usage_with_gaps(wire: dict[str, Any], usage: Usage) -> None:
    assert read_usage(wire) == usage


def told(token: str, logprob: float = -0.5, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, **more}


def entry(token: str, logprob: float = -0.5, rivals: tuple[Any, ...] = ()) -> dict[str, Any]:
    return told(token, logprob, bytes=list(token.encode()), top_logprobs=list(rivals))


def test_logprobs_stay_with_their_words() -> None:
    """Plain or streamed; bytes that do not make a character alone are told as such."""
    half = told("\ufffd", bytes=[0xC3])
    tokens = [told("Hel", top_logprobs=[told("Hel"), told("Hal", -2.0)]), half, told("\ufffd", bytes=[0xA9])]
    rivals = (told("Hel", bytes=list(b"Hel")), told("Hal", -2.0, bytes=list(b"Hal")))
    expected = (entry("Hel", rivals=rivals), half | {"top_logprobs": []}, told("\ufffd", bytes=[0xA9], top_logprobs=[]))
    live = fold(text("Hel", logprobs=tokens[:1]), text("é", logprobs=tokens[1:]), DONE)
    for result in (read_answer(plain([("text", "Helé", None, None)], logprobs=tokens)), live):
        assert result.parts[0].logprobs == expected


def test_logprobs_of_thoughts_are_passed_over() -> None:
    """In a plain answer they come in one list with those of the words."""
    answer = plain(
        [("reasoning", "hm", None, None), ("text", "so é", None, None)],
        logprobs=[told("<think>"), told("hm"), told("</think>"), told("so "), told("é")],
    )
    live = fold(
        line(chunk(thinking="hm") | {"logprobs": [told("<think>"), told("hm")]}),
        text("so ", logprobs=[told("so ")]),
        text("é", logprobs=[told("é")]),
        DONE,
    )
    for result in (read_answer(answer), live):
        thought, said = result.parts
        assert (thought.logprobs, said.logprobs) == ((), (entry("so "), entry("é")))


def test_logprobs_of_words_that_the_server_held_back() -> None:
    """Where tools are offered, words that might begin a call come late, and their logprobs at once."""
    held = line(chunk() | {"logprobs": [told("{")]})
    words = fold(held, text("{a", logprobs=[told("a")]), DONE)
    assert [(part.text, part.logprobs) for part in words.parts] == [("{a", (entry("{"), entry("a")))]
    called = fold(held, line(chunk(tool_calls=[call("{}", "c1", "f")])), text("b", logprobs=[told("b")]), DONE)
    assert [(part.kind, part.logprobs) for part in called.parts] == [("tool_call", ()), ("text", (entry("b"),))]


def test_embeddings() -> None:
    answer = {"model": "served", "embeddings": [[0.5, 1], [0, -1]], "total_duration": 1, "prompt_eval_count": 4}
    assert read_embeddings(answer) == EmbeddingResult(((0.5, 1), (0, -1)), Usage(input_tokens=4), "served")
    with pytest.raises(ErrorFrame):
        read_embeddings({"error": "it burst"})
