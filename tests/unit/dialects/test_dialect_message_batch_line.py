"""Lines of the results of a message batch."""

import json
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse
from hypothesis import given
from hypothesis import strategies as st
from unit.dialects.examples import pending

from penstock.completion import Finished, PartDelta, PartStarted, ResultBuilder, Usage
from penstock.dialects.message_batch_line import ERROR_TYPES, render_line
from penstock.errors import InvalidRequest, ModelNotFound, PayloadTooLarge, ProviderOverloaded, error_to_json


def line_of(job: Any, custom_id: str = "a") -> dict[str, Any]:
    line = render_line(custom_id, job)
    assert line.isascii()
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    value: dict[str, Any] = json.loads(line)
    MessageBatchIndividualResponse.model_validate(value)
    assert value["custom_id"] == custom_id
    return value["result"]  # type: ignore[no-any-return]


def test_an_answer_is_a_message():
    builder = ResultBuilder()
    for event in (PartStarted(0, "text"), PartDelta(0, "é\u2028\n"), Finished(("stop",), Usage(1, 2))):
        builder.add(event)
    result = line_of(replace(pending(), state="succeeded", result=builder.build()))
    assert (result["type"], result["message"]["content"][0]["text"]) == ("succeeded", "é\u2028\n")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("Bad.", param="max_tokens"), "invalid_request_error"),
        (ModelNotFound("x"), "not_found_error"),
        (PayloadTooLarge("Large."), "invalid_request_error"),
        (ProviderOverloaded("Down.", status=529), "overloaded_error"),
    ],
)
def test_an_error_is_nested_with_its_envelope(error: Any, kind: str):
    job = replace(pending(), state="failed", error=error_to_json(error))
    result = line_of(job)
    assert result["type"] == "errored"
    assert result["error"]["type"] == "error"
    assert result["error"]["request_id"] == "req_" + job.id.hex
    assert (result["error"]["error"]["type"], error.message in result["error"]["error"]["message"]) == (kind, True)


@given(st.integers(300, 600))
def test_only_nine_types_of_error_appear(status: int):
    error = error_to_json(InvalidRequest("x")) | {"status": status}
    assert line_of(replace(pending(), state="failed", error=error))["error"]["error"]["type"] in ERROR_TYPES


def test_what_was_not_answered():
    assert line_of(replace(pending(), state="cancelled")) == {"type": "canceled"}
    assert line_of(replace(pending(), state="expired")) == {"type": "expired"}
    with pytest.raises(ValueError, match="ended"):
        render_line("a", pending())
