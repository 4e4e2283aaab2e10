"""Parts that interleave as blocks that do not."""

from collections import defaultdict

from hypothesis import given, settings
from unit.dialects.examples import Events, event_lists, interleavings

from penstock.completion import PartDelta, PartStarted
from penstock.dialects.anthropic_blocks import BlockDelta, BlockEvent, BlockSequence, BlockStarted


def told(events: Events) -> list[BlockEvent]:
    sequence = BlockSequence()
    return [*(block for event in events for block in sequence.add(event)), *sequence.end()]


def blocks_of(blocks: list[BlockEvent]) -> list[tuple[PartStarted, str]]:
    """Each block's part and text; it is checked that one stops before the next begins."""
    found: list[tuple[PartStarted, str]] = []
    is_open = False
    for block in blocks:
        if isinstance(block, BlockStarted):
            assert not is_open
            found.append((block.part, ""))
            is_open = True
        elif isinstance(block, BlockDelta):
            assert is_open
            part, text = found[-1]
            found[-1] = (part, text + block.text)
        else:
            assert is_open
            is_open = False
    assert not is_open
    return found


def texts_of(events: Events) -> dict[int, str]:
    grown: defaultdict[int, str] = defaultdict(str)
    for event in events:
        if isinstance(event, PartDelta):
            grown[event.part] += event.text
    return {part: text for part, text in grown.items() if text}


@settings(max_examples=500)
@given(interleavings())
def test_any_interleaving_is_told_whole(events: Events):
    """Every part keeps its text, in its order; a tool call is one block."""
    blocks = blocks_of(told(events))
    grown: defaultdict[int, str] = defaultdict(str)
    for part, text in blocks:
        grown[part.part] += text
    assert dict(grown) == texts_of(events)
    calls = [part.part for part, _ in blocks if part.kind == "tool_call"]
    assert len(calls) == len(set(calls))


@settings(max_examples=300)
@given(event_lists())
def test_arguments_that_are_no_json_wait_for_the_end_only(events: Events):
    """Texts and thoughts are told whole all the same, and every call is told."""
    blocks = blocks_of(told(events))
    calls = {event.part for event in events if isinstance(event, PartStarted) and event.kind == "tool_call"}
    assert {part.part for part, _ in blocks if part.kind == "tool_call"} == calls
    grown: defaultdict[int, str] = defaultdict(str)
    for part, text in blocks:
        grown[part.part] += text
    for part, whole in texts_of(events).items():
        assert grown[part] == whole or part in calls


def test_nothing_waits_for_a_text():
    sequence = BlockSequence()
    begun = [PartStarted(0, "text"), PartDelta(0, "a"), PartStarted(1, "reasoning"), PartDelta(1, "b")]
    for event in begun:
        sequence.add(event)
    assert [type(block).__name__ for block in sequence.add(PartDelta(0, "c"))] == [
        "BlockStopped",
        "BlockStarted",
        "BlockDelta",
    ]


def test_what_follows_whole_arguments_is_not_told_as_another_call():
    events: Events = [PartStarted(0, "tool_call", 0, "a", "f"), PartDelta(0, "{}"), PartStarted(1, "text")]
    events += [PartDelta(1, "x"), PartDelta(0, " ")]
    assert [(part.part, text) for part, text in blocks_of(told(events))] == [(0, "{}"), (1, "x")]
