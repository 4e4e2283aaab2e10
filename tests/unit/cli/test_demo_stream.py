"""When a resumed stream counts as equal to an uninterrupted one."""

from typing import Any

import pytest

from cli.demo.stream import compare, text_of
from penstock.errors import PenstockError


def events(*deltas: str, end: str = "response.completed") -> list[dict[str, Any]]:
    bodies = [
        {"type": "response.created", "response": {"id": "resp_1"}},
        *({"type": "response.output_text.delta", "delta": delta} for delta in deltas),
        {"type": end, "response": {"id": "resp_1"}},
    ]
    return [body | {"sequence_number": number} for number, body in enumerate(bodies)]


def test_equal_streams_are_equal() -> None:
    compare(events("a", "b"), events("a", "b"))
    assert text_of(events("a", "b")) == "ab"


@pytest.mark.parametrize(
    ("resumed", "replay"),
    [
        (events("a", "b"), events("a", "c")),
        (events("a", "b")[:-1], events("a", "b")),
        (events("a", "b"), events("a", "b")[:-1]),
        ([*events("a", "b")[:2], *events("a", "b")[1:]], events("a", "b")),
        (events("a", end="response.failed"), events("a", end="response.failed")),
        (events("a")[1:], events("a")[1:]),
        ([], []),
    ],
    ids=["other text", "one less", "one more", "one twice", "failed", "the first missing in both", "empty"],
)
def test_anything_else_is_not(resumed: list[dict[str, Any]], replay: list[dict[str, Any]]) -> None:
    with pytest.raises(PenstockError):
        compare(resumed, replay)
