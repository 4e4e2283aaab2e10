"""A vendor's seal goes back to its maker only."""

import pytest

from penstock.completion import (
    CompletionRequest,
    CompletionResult,
    Message,
    PartDelta,
    PartStarted,
    Reasoning,
    ResultPart,
    Text,
    ToolCall,
    Usage,
)
from penstock.providers.seals import MARKS, marked_event, marked_result, unmarked


def request(*parts) -> CompletionRequest:
    return CompletionRequest(model="m", messages=(Message("assistant", parts),))


def parts(seen: CompletionRequest) -> tuple:
    return seen.messages[0].parts


def test_an_answer_leaves_with_its_makers_mark() -> None:
    sealed, plain = ResultPart("reasoning", "why", signature="c2VhbA=="), ResultPart("text", "so")
    result = CompletionResult((sealed, plain), ((0, 3, 0), (0, -1, 0), (1, 2, 0)), ("stop",), Usage())
    assert [part.signature for part in marked_result(result, "gemini").parts] == ["gemini:c2VhbA==", None]
    assert marked_event(PartDelta(0, "", (), "c2VhbA=="), "gemini") == PartDelta(0, "", (), "gemini:c2VhbA==")
    for event in (PartDelta(0, "text"), PartStarted(0, "text")):
        assert marked_event(event, "gemini") is event


@pytest.mark.parametrize("mark", sorted(MARKS))
def test_its_maker_gets_it_back_bare_and_nobody_else_does(mark: str) -> None:
    seen = request(Reasoning("why", f"{mark}:[seal]"), ToolCall("1", "f", "{}", f"{mark}:x:y"), Text("so"))
    assert parts(unmarked(seen, mark)) == (Reasoning("why", "[seal]"), ToolCall("1", "f", "{}", "x:y"), Text("so"))
    for other in ("", *(MARKS - {mark})):
        assert parts(unmarked(seen, other)) == (Reasoning("why"), ToolCall("1", "f", "{}"), Text("so"))


def test_what_a_foreign_seal_hides_is_left_out() -> None:
    hidden = request(Reasoning("", "anthropic:c2VhbA==", redacted=True), Text("so"))
    assert parts(unmarked(hidden, "gemini")) == (Text("so"),)
    assert parts(unmarked(hidden, "anthropic")) == (Reasoning("", "c2VhbA==", redacted=True), Text("so"))


def test_a_seal_without_a_mark_came_from_the_vendor_itself() -> None:
    bare = request(Reasoning("why", "c2VhbA=="), ToolCall("1", "f", "{}", '[{"data": "x"}]'))
    assert all(parts(unmarked(bare, mark)) == parts(bare) for mark in MARKS)
