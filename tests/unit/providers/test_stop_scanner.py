"""Stop strings that are looked for in the text itself."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import (
    CompletionEvent,
    CompletionRequest,
    Finished,
    Message,
    PartDelta,
    PartStarted,
    ResultBuilder,
    Text,
    Usage,
)
from penstock.completion.result import CompletionResult
from penstock.providers.stops import stopped

USAGE = Usage(input_tokens=7, output_tokens=9)


def ask(*stop: str) -> CompletionRequest:
    return CompletionRequest(model="m", messages=(Message("user", (Text("hello"),)),), stop=stop, names_stop=True)


def fold(events: Sequence[CompletionEvent], *stop: str) -> tuple[CompletionResult, int]:
    """The result, and how many events were taken before the stream was closed."""
    taken = 0

    async def upstream() -> AsyncGenerator[CompletionEvent, None]:
        nonlocal taken
        for event in events:
            taken += 1
            yield event

    async def run() -> CompletionResult:
        builder = ResultBuilder()
        async for event in stopped(upstream(), ask(*stop)):
            builder.add(event)
        return builder.build()

    return asyncio.run(run()), taken


def spoken(*pieces: str) -> list[CompletionEvent]:
    deltas = [PartDelta(0, piece) for piece in pieces]
    return [PartStarted(0, "text"), *deltas, Finished(("stop",), USAGE)]


def test_the_stream_is_closed_where_the_string_is_complete():
    result, taken = fold(spoken("a E", "N", "D b", "c"), "END")
    assert (result.text, result.finish_reasons, result.stop_sequence) == ("a ", ("stop_sequence",), "END")
    assert taken == 4
    assert result.usage.input_tokens > 0
    assert result.usage.output_tokens == 2  # 8 bytes were heard


def test_without_a_match_nothing_changes():
    events = spoken("a E", "N", "", "d E")
    result, _ = fold(events, "END", "zz")
    assert (result.text, result.finish_reasons, result.stop_sequence) == ("a ENd E", ("stop",), None)
    assert result.usage == USAGE
    assert list(result.events()) == events[:-1]


def test_only_texts_are_searched():
    events: list[CompletionEvent] = [
        PartStarted(0, "reasoning"),
        PartDelta(0, "END"),
        PartStarted(1, "text"),
        PartDelta(1, "E"),
        PartStarted(2, "tool_call", 0, "id", "f"),
        PartDelta(2, '{"END": 1}'),
        PartDelta(1, "ND"),
        Finished(("tool_calls",), USAGE),
    ]
    result, _ = fold(events, "END")
    assert list(result.events()) == events[:-1]


def test_a_character_told_in_halves_can_be_a_stop_string():
    result, _ = fold(spoken("x\ud83d", "\ude00y"), "\U0001f600")
    assert (result.text, result.stop_sequence) == ("x", "\U0001f600")


def test_scores_are_those_of_the_tokens_that_are_left():
    scores = tuple({"token": token, "logprob": -1.0} for token in ("a ", "b", "END"))
    events = [PartStarted(0, "text"), PartDelta(0, "a bEND", scores), Finished(("stop",), USAGE)]
    result, _ = fold(events, "END")
    assert result.parts[0].logprobs == scores[:2]


@given(
    st.lists(st.text("ab", max_size=4), max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_however_a_text_is_cut_the_first_complete_string_ends_it(pieces: list[str], stop: list[str]):
    text = "".join(pieces)
    result, _ = fold(spoken(*pieces), *stop)
    if all(one not in text for one in stop):
        assert (result.text, result.stop_sequence) == (text, None)
        return
    matched = result.stop_sequence
    assert matched in stop
    assert text.startswith(result.text + matched)
    # One character less, and there would have been none.
    heard = (result.text + matched)[:-1]
    assert all(one not in heard for one in stop)
