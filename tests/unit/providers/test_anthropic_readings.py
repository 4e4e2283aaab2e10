"""What Anthropic sends beside the plain cases."""

from typing import Any

import pytest
from conformance.wires.anthropic import event, events, plain

from penstock.completion import CompletionResult, Finished, ResultBuilder, Usage
from penstock.providers.anthropic_messages import MessagesReader, read_answer, read_usage
from penstock.providers.sse import SSEDecoder


def fold(*chunks: bytes) -> CompletionResult:
    reader, builder = MessagesReader(), ResultBuilder()
    for read in SSEDecoder().feed(b"".join(chunks)):
        for made in reader.read(read):
            builder.add(made)
    builder.add(reader.finish())
    return builder.build()


def start(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


def delta(index: int, **delta: Any) -> bytes:
    return event("content_block_delta", index=index, delta=delta)


END = events([])[-2:]


def test_blocks_without_a_neutral_form_are_passed_over() -> None:
    """The parts stay numbered without gaps."""
    blocks = [
        {"type": "web_search_tool_result", "tool_use_id": "s", "content": []},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "text", "text": "a", "citations": None},
    ]
    answer = plain([]) | {"content": blocks}
    live = fold(
        start(0, **blocks[0]),
        start(1, **blocks[1]),
        delta(1, type="input_json_delta", partial_json='{"q":1}'),
        event("content_block_stop", index=1),
        start(2, type="text", text=""),
        delta(2, type="citations_delta", citation={}),
        delta(2, type="text_delta", text="a"),
        *END,
    )
    for result in (read_answer(answer), live):
        assert [(part.kind, part.text) for part in result.parts] == [("text", "a")]


def test_thinking_keeps_its_signature() -> None:
    """Without it the vendor refuses the next turn of a conversation with tools."""
    answer = plain([]) | {
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZQ=="},
        ]
    }
    live = fold(
        start(0, type="thinking", thinking=""),
        delta(0, type="thinking_delta", thinking="hm"),
        delta(0, type="signature_delta", signature="c2ln"),
        start(1, type="redacted_thinking", data="ZQ=="),
        *END,
    )
    for result in (read_answer(answer), live):
        assert [(part.kind, part.text, part.name, part.signature) for part in result.parts] == [
            ("reasoning", "hm", None, "c2ln"),
            ("reasoning", "", "redacted", "ZQ=="),
        ]
        assert CompletionResult.from_json(result.to_json()) == result
        builder = ResultBuilder()
        for told in result.events():
            builder.add(told)
        assert builder.build().parts == result.parts


def test_a_call_whose_input_comes_at_once() -> None:
    stop = event("content_block_stop", index=0)
    result = fold(start(0, type="tool_use", id="c", name="f", input={"a": 1}), stop, *END)
    assert result.parts[0].text == '{"a":1}'


def test_the_last_counts_win() -> None:
    begun = event("message_start", message={"usage": {"input_tokens": 5, "output_tokens": 1}})
    usage = {"input_tokens": 6, "output_tokens": 9, "cache_read_input_tokens": None}
    end = event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    assert fold(begun, end).usage == Usage(6, 9)


def test_cached_tokens_are_part_of_the_input() -> None:
    wire = {"input_tokens": 1, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 100, "output_tokens": 2}
    assert read_usage(wire) == Usage(input_tokens=111, output_tokens=2, cached_tokens=10, cache_write_tokens=100)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("pause_turn", "stop"), ("model_context_window_exceeded", "length"), ("something_new", "stop")],
)
def test_rare_stop_reasons(theirs: str, ours: str) -> None:
    assert read_answer(plain([], theirs)).finish_reasons == (ours,)


def test_a_message_without_a_stop_reason_is_not_whole() -> None:
    with pytest.raises(ValueError, match="stop reason"):
        read_answer(plain([]) | {"stop_reason": None})


def test_events_that_may_be_added_are_passed_over() -> None:
    assert fold(event("weather", wind=3), b"event: ping\ndata:\n\n", *END).parts == ()


def test_the_end_mark_ends() -> None:
    reader = MessagesReader()
    for read in SSEDecoder().feed(b"".join(events([]))):
        assert list(reader.read(read)) == []
    assert reader.ended
    assert isinstance(reader.finish(), Finished)
