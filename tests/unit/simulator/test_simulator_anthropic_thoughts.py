"""The simulated Anthropic thinks when it is told to, and knows its own thoughts again."""

import json
from typing import Any

import pytest

from simulator.anthropic_messages import read, reply
from simulator.options import SimulatorOptions
from simulator.refusal import RefusalError
from simulator.vendor import Call

CALL = Call("id", 0, 0.0, SimulatorOptions())
THINK = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
HI = {"role": "user", "content": "[[echo: Hello]]"}


def asked(*messages: Any, **more: Any) -> Any:
    body = {"model": "m", "max_tokens": 2000, "messages": messages or [HI], **more}
    return read(json.dumps(body).encode(), {"anthropic-version": "2023-06-01"})


def message(*messages: Any, **more: Any) -> Any:
    return json.loads(reply(asked(*messages, **more), CALL).body or b"")


def test_it_thinks_first_when_it_is_told_to() -> None:
    assert [block["type"] for block in message()["content"]] == ["text"]
    thought, text = message(**THINK)["content"]
    assert (thought["type"], text["text"]) == ("thinking", "Hello")
    assert thought["thinking"]
    assert message(**THINK)["usage"]["output_tokens"] > message()["usage"]["output_tokens"]
    assert message(thinking={"type": "adaptive", "display": "omitted"})["content"][0]["thinking"] == ""


def test_the_stream_says_the_same() -> None:
    frames = [json.loads(f.data.split(b"data: ")[1]) for f in reply(asked(stream=True, **THINK), CALL).frames]
    deltas = [frame["delta"] for frame in frames if frame["type"] == "content_block_delta" and frame["index"] == 0]
    thought = message(**THINK)["content"][0]
    assert "".join(delta.get("thinking", "") for delta in deltas) == thought["thinking"]
    assert deltas[-1] == {"type": "signature_delta", "signature": thought["signature"]}


def test_a_thought_comes_back_as_it_was_or_not_at_all() -> None:
    thought = message(**THINK)["content"][0]
    asked(HI, {"role": "assistant", "content": [thought]}, HI)
    for changed in ({"thinking": "other"}, {"signature": "x"}):
        with pytest.raises(RefusalError, match="signature"):
            asked(HI, {"role": "assistant", "content": [thought | changed]}, HI)
