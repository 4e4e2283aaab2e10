"""The rest of a broken answer joins what there was of it, and nothing else goes on."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    Finished,
    Message,
    PartDelta,
    PartStarted,
    ResponseFormat,
    ResultBuilder,
    Text,
    Tool,
    Usage,
)
from penstock.completion.continued import Joint, can_go_on, going_on, usable_part

ASKED = CompletionRequest(model="m", messages=(Message("user", (Text("tell"),)),), max_tokens=100)


def broken(*pieces: str, kind: Any = "text") -> CompletionResult:
    builder = ResultBuilder()
    builder.add(PartStarted(0, kind))
    for piece in pieces:
        builder.add(PartDelta(0, piece))
    return builder.build()


@given(st.lists(st.text(alphabet="a b", min_size=1, max_size=4), max_size=5))
def test_a_part_is_what_was_there_without_blanks_at_its_end(pieces: list[str]) -> None:
    part = usable_part(broken(*pieces))
    text = "".join(pieces).rstrip()
    assert (part.text if part else "") == text
    if part is not None:
        shown = [event.text for event in part.events() if isinstance(event, PartDelta)]
        assert "".join(shown) == text
        assert not part.finish_reasons


def test_a_whole_answer_a_thought_and_nothing_are_no_parts() -> None:
    builder = ResultBuilder()
    for event in (PartStarted(0, "text"), PartDelta(0, "all"), Finished(("stop",), Usage())):
        builder.add(event)
    assert usable_part(builder.build()) is None
    assert usable_part(broken("hm", kind="reasoning")) is None
    assert usable_part(ResultBuilder().build()) is None


@pytest.mark.parametrize(
    "more",
    [
        {"n": 2},
        {"tools": (Tool("t", {}),)},
        {"logprobs": True},
        {"response_format": ResponseFormat("json_object")},
        {"reasoning_effort": "low"},
        {"reasoning_tokens": 9},
        {"messages": (Message("assistant", (Text("so"),)),)},
        {"messages": ()},
    ],
)
def test_what_cannot_go_on(more: dict[str, Any]) -> None:
    assert can_go_on(ASKED)
    fields = {name: getattr(ASKED, name) for name in ("model", "messages", "max_tokens")}
    assert not can_go_on(CompletionRequest(**{**fields, **more}))


def test_the_rest_is_asked_for_behind_the_part() -> None:
    part = usable_part(broken("Once ", "upon "))
    assert part is not None
    request = going_on(ASKED, part, 30, {"continue_final_message": True})
    assert request.messages == (*ASKED.messages, Message("assistant", (Text("Once upon"),)))
    assert (request.max_tokens, request.extra) == (70, {"continue_final_message": True})
    assert going_on(ASKED, part, 300, {}).max_tokens == 1


def test_a_text_goes_on_and_anything_else_is_one_more_part() -> None:
    joint = Joint()
    assert list(joint.read(PartStarted(0, "text"))) == []
    assert list(joint.read(PartDelta(0, " a time"))) == [PartDelta(0, " a time")]
    assert list(joint.read(PartStarted(1, "refusal"))) == [PartStarted(1, "refusal")]
    other = Joint()
    assert list(other.read(PartStarted(0, "refusal"))) == [PartStarted(1, "refusal")]
