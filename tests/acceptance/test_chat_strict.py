"""Chat completions in full, validated by the SDK's own models: what the model is told and what comes back."""

import base64
import json
import time
from typing import Any

import openai
import pytest
from acceptance.conftest import Stack

TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
HARD = 'e\u0301 👩‍🚀🏳️‍🌈 漢字 שלום \u2028\u2029\u0085 "quoted" \\ back 𝄞'


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture
def strict(stack: Stack) -> openai.OpenAI:
    return stack.client(_strict_response_validation=True)


@pytest.mark.parametrize("model", ["fast", "claude", "thinker"])
def test_hard_texts(strict: openai.OpenAI, model: str):
    asked: Any = {"model": model, "messages": said(f"[[echo: {HARD}]]")}
    plain = strict.chat.completions.create(**asked)
    chunks = list(strict.chat.completions.create(**asked, stream=True))
    assert plain.choices[0].message.content == HARD
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == HARD


def test_several_choices(strict: openai.OpenAI):
    asked: Any = {"model": "fast", "messages": said("[[echo: twice]]"), "n": 3}
    plain = strict.chat.completions.create(**asked)
    assert [(choice.index, choice.message.content) for choice in plain.choices] == [(n, "twice") for n in range(3)]
    chunks = list(strict.chat.completions.create(**asked, stream=True))
    ends = [(c.index, c.finish_reason) for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert sorted(ends) == [(n, "stop") for n in range(3)]
    for number in range(3):
        assert "".join(c.delta.content or "" for x in chunks for c in x.choices if c.index == number) == "twice"


def test_logprobs(strict: openai.OpenAI):
    asked: Any = {"model": "fast", "messages": said("[[echo: one two]]"), "logprobs": True, "top_logprobs": 2}
    plain = strict.chat.completions.create(**asked).choices[0].logprobs
    chunks = list(strict.chat.completions.create(**asked, stream=True))
    assert plain
    streamed = [e for x in chunks for c in x.choices if c.logprobs for e in c.logprobs.content or ()]
    for entries in (plain.content or [], streamed):
        assert "".join(entry.token for entry in entries) == "one two"
        assert {len(entry.top_logprobs) for entry in entries} == {2}


def test_several_calls(strict: openai.OpenAI):
    asked: Any = {
        "model": "fast",
        "messages": said('[[tool: f {"x": 1}]] [[tool: f {"y": "é"}]]'),
        "tools": [TOOL],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": True,
    }
    plain = strict.chat.completions.create(**asked).choices[0]
    assert (plain.finish_reason, plain.message.content) == ("tool_calls", None)
    with strict.chat.completions.stream(**asked) as stream:
        streamed = stream.get_final_completion().choices[0]
    for choice in (plain, streamed):
        calls = [call for call in choice.message.tool_calls or () if call.type == "function"]
        assert [json.loads(call.function.arguments) for call in calls] == [{"x": 1}, {"y": "é"}]
        assert len({call.id for call in calls}) == 2


def test_formats_seed_stop_and_limits(strict: openai.OpenAI):
    schema: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema, "strict": False}}
    answer = strict.chat.completions.create(model="fast", messages=said("where?"), response_format=wanted, seed=7)
    assert "city" in json.loads(answer.choices[0].message.content or "")
    stopped = strict.chat.completions.create(model="fast", messages=said("[[echo: one two three]]"), stop=["two"])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == ("one ", "stop")
    cut = strict.chat.completions.create(model="fast", messages=said("[[tokens: 60]]"), max_completion_tokens=5)
    assert cut.choices[0].finish_reason == "length"


def test_usage_comes_last_and_only_when_asked_for(strict: openai.OpenAI):
    asked: Any = {"model": "fast", "messages": said("hi"), "stream": True}
    assert all(chunk.usage is None for chunk in strict.chat.completions.create(**asked))
    *most, last = strict.chat.completions.create(**asked, stream_options={"include_usage": True})
    assert (last.choices, all(chunk.usage is None for chunk in most)) == ([], True)
    assert last.usage
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


def test_pictures_documents_and_effort_reach_the_model(strict: openai.OpenAI, stack: Stack):
    data = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4 x").decode()
    content: Any = [
        {"type": "text", "text": "[chat look]"},
        {"type": "image_url", "image_url": {"url": "https://h/x.png", "detail": "high"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
    ]
    strict.chat.completions.create(
        model="mirror", messages=[{"role": "user", "content": content}], reasoning_effort="low", seed=3, store=True,
        metadata={"a": "b"},
    )  # fmt: skip
    told = stack.mirror.told("[chat look]")
    assert told["messages"][0]["content"] == content
    assert (told["reasoning_effort"], told["seed"]) == ("low", 3)
    assert not {"store", "metadata"} & told.keys(), "these concern this service"


def test_thoughts_go_both_ways(strict: openai.OpenAI, stack: Stack):
    first = strict.chat.completions.create(model="mirror", messages=said("THINK and CALL f"), tools=[TOOL])
    message = first.choices[0].message
    assert message.to_dict()["reasoning_content"] == "hm"
    chunks = strict.chat.completions.create(model="mirror", messages=said("THINK"), stream=True)
    thoughts = [chunk.choices[0].delta.to_dict().get("reasoning_content") or "" for chunk in chunks if chunk.choices]
    assert "".join(thoughts) == "hm"
    result: Any = {"role": "tool", "tool_call_id": "call_1", "content": "[thought result]"}
    sent_back: Any = message.to_dict()
    strict.chat.completions.create(model="mirror", messages=[*said("THINK and CALL f"), sent_back, result])
    told = stack.mirror.told("[thought result]")["messages"][1]
    assert told["reasoning_content"] == "hm"
    assert told["tool_calls"][0]["id"] == "call_1"


def test_seals_come_back_with_the_message(strict: openai.OpenAI):
    """The simulated vendor refuses a seal that is not its own, and a client that returns the message returns it."""
    first = strict.chat.completions.create(model="thinker", messages=said("hi"), reasoning_effort="low")
    message = first.choices[0].message.to_dict()
    assert message["reasoning_details"]
    again = strict.chat.completions.create(
        model="thinker",
        messages=[*said("hi"), message, *said("more")],  # type: ignore[list-item]
        reasoning_effort="low",
    )
    assert again.choices[0].message.content


def test_a_client_that_hangs_up_a_plain_call_closes_it(stack: Stack):
    impatient = stack.client(timeout=0.7)
    with pytest.raises(openai.APITimeoutError):
        impatient.chat.completions.create(model="fast", messages=said("[[tokens: 20000]]"))
    deadline = time.monotonic() + 60
    while stack.openai_wire.stats()["in_flight"]:
        assert time.monotonic() < deadline, "the provider is still generating"
        time.sleep(0.1)
