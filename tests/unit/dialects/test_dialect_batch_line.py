"""Lines of result files, and the table of dialects."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from unit.dialects.examples import AWKWARD, Events, ended, event_lists, failed, pending

from penstock.completion import PartDelta, PartStarted
from penstock.dialects import registry
from penstock.dialects.batch_line import LineFacts, render_line

TEXT: Events = [PartStarted(0, "text"), PartDelta(0, "".join(AWKWARD) + "\ud83d")]
BODIES = {"openai.chat": ChatCompletion, "openai.responses": Response, "openai.completions": Completion}


@pytest.mark.parametrize("dialect", BODIES)
def test_a_line_of_the_output_file(dialect: str):
    facts = ended(pending(), TEXT)
    line = render_line(LineFacts(custom_id="q\u2028 1", status_code=200, dialect=dialect, job=facts))
    value = json.loads(line)
    assert value["custom_id"] == "q\u2028 1"
    assert value["id"] == "batch_req_" + facts.id.hex
    assert value["error"] is None
    assert (value["response"]["status_code"], value["response"]["request_id"]) == (200, "req_" + facts.id.hex)
    assert value["response"]["body"] == registry.get(dialect).render(facts)
    BODIES[dialect].model_validate(value["response"]["body"])


@given(event_lists())
def test_lines_can_be_cut_by_careless_readers(events: Events):
    facts = ended(pending(), [*TEXT, *(replace(event, part=event.part + 1) for event in events)])
    line = render_line(LineFacts(custom_id="".join(AWKWARD), status_code=200, dialect="openai.chat", job=facts))
    assert line.isascii()
    assert line.decode().splitlines() == [line.decode()[:-1]]
    assert line.count(b"\n") == 1


@pytest.mark.parametrize("dialect", ["openai.chat", "openai.responses", "job"])
def test_a_request_that_failed_has_a_response_and_no_error(dialect: str):
    facts = failed(pending(), TEXT, 400, "bad")
    value = json.loads(render_line(LineFacts(custom_id="q", status_code=400, dialect=dialect, job=facts)))
    assert value["error"] is None
    assert value["response"]["status_code"] == 400
    error = value["response"]["body"]["error"]
    assert error == {"message": "it broke", "type": "invalid_request_error", "param": None, "code": "bad"}


@pytest.mark.parametrize(("state", "code"), [("cancelled", "batch_cancelled"), ("expired", "batch_expired")])
def test_a_request_without_a_response_has_an_error(state: str, code: str):
    """The same bytes whoever asks: their length is counted before they are served."""
    line = LineFacts.unexecuted(pending().id, "q", state)
    value = json.loads(render_line(line))
    assert (value["response"], value["error"]["code"]) == (None, code)
    assert value["error"]["message"]
    shown = replace(pending(), state=state, finished_at=1, model="other")
    assert render_line(LineFacts(custom_id="q", status_code=None, dialect="openai.chat", job=shown)) == render_line(
        line
    )


def test_a_job_that_is_not_over_has_no_line():
    with pytest.raises(KeyError):
        render_line(LineFacts.unexecuted(pending().id, "q", "running"))


def test_the_table():
    served = ("/v1/chat/completions", "/v1/responses", "/v1/completions", "/v1/embeddings")
    assert registry.endpoints() == served
    assert registry.for_endpoint("/v1/responses") is registry.get("openai.responses")
    assert registry.for_endpoint("/v1/messages") is registry.get("anthropic.messages")
    assert registry.get("job").endpoint is None
    names = ("openai.chat", "openai.responses", "openai.completions", "openai.embeddings", "anthropic.messages", "job")
    assert registry.names() == names
    for name in names:
        assert registry.get(name).name == name
    with pytest.raises(KeyError):
        registry.get("nonsense")


def test_a_live_line_is_the_filed_one_and_its_number():
    line = LineFacts(custom_id="a", status_code=200, dialect="openai.chat", job=ended(pending(), TEXT))
    assert json.loads(render_line(line, 12)) == json.loads(render_line(line)) | {"number": 12}
