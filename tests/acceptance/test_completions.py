"""Legacy completions through the unmodified openai SDK: live, streamed, and as lines of a batch."""

from typing import Any

import openai
import pytest
from acceptance.conftest import Stack
from acceptance.test_batches import jsonl, lines_of, submit, wait
from openai.types import Completion

COMPLETIONS = "/v1/completions"
MODELS = ["fast", "claude"]


@pytest.mark.parametrize("model", MODELS)
def test_plain(client: openai.OpenAI, model: str):
    answer = client.completions.create(model=model, prompt="[[echo: hello there]]", max_tokens=50)
    Completion.model_validate(answer.model_dump())
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("hello there", "stop")
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_several_prompts_with_several_choices_each(client: openai.OpenAI):
    prompts = [f"[[echo: <{n}>]]" for n in range(12)]
    answer = client.completions.create(model="fast", prompt=prompts, n=2, echo=True)
    assert [choice.index for choice in answer.choices] == list(range(24))
    assert [choice.text for choice in answer.choices] == [f"{prompts[n // 2]}<{n // 2}>" for n in range(24)]
    one = client.completions.create(model="fast", prompt=prompts[0], n=2)
    assert answer.usage
    assert one.usage
    assert answer.usage.prompt_tokens > 10 * one.usage.prompt_tokens


def test_limits_and_stops(client: openai.OpenAI):
    cut = client.completions.create(model="fast", prompt="[[tokens: 50]]", max_tokens=3)
    assert (cut.choices[0].finish_reason, cut.usage and cut.usage.completion_tokens) == ("length", 3)
    stopped = client.completions.create(model="fast", prompt="[[echo: one two END three]]", stop=["END"])
    assert (stopped.choices[0].text, stopped.choices[0].finish_reason) == ("one two ", "stop")


def test_scores_of_the_answer(client: openai.OpenAI):
    choice = client.completions.create(model="fast", prompt="[[echo: well then]]", logprobs=2).choices[0]
    assert choice.logprobs
    assert "".join(choice.logprobs.tokens or []) == "well then"
    assert choice.logprobs.text_offset
    assert len(choice.logprobs.token_logprobs or []) == len(choice.logprobs.text_offset)
    assert choice.logprobs.top_logprobs


@pytest.mark.parametrize("model", MODELS)
def test_streamed(client: openai.OpenAI, model: str):
    chunks = list(
        client.completions.create(
            model=model,
            prompt="[[echo: hello there, you who read this]]",
            echo=True,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    assert text == "[[echo: hello there, you who read this]]hello there, you who read this"
    assert len(chunks) > 4
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage


def test_several_prompts_streamed(client: openai.OpenAI):
    stream = client.completions.create(model="fast", prompt=["[[echo: a]]", "[[echo: b]]"], stream=True)
    texts = {0: "", 1: ""}
    for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == {0: "a", 1: "b"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "fast"}, 400, "prompt"),
        ({"model": "fast", "prompt": []}, 400, "prompt"),
        ({"model": "fast", "prompt": [1, 2, 3]}, 400, "prompt"),
        ({"model": "fast", "prompt": "a", "suffix": "b"}, 400, "suffix"),
        ({"model": "fast", "prompt": "a", "max_tokens": 0}, 400, "max_tokens"),
        ({"model": "fast", "prompt": "a", "echo": True, "logprobs": 1}, 400, "logprobs"),
        ({"model": "nope", "prompt": "a"}, 404, "model"),
        ({"model": "fast", "prompt": ["a", "word " * 20_000]}, 400, "prompt"),
        ({"model": "fast", "prompt": ["a", "[[error: 400]]"]}, 400, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_input_is_named(stack: Stack, body: dict[str, Any], status: int, param: str | None, stream: bool):
    found, answer = stack.call("POST", COMPLETIONS, body | {"stream": stream})
    assert (found, answer["error"]["param"]) == (status, param)
    assert answer["error"]["message"]


def test_a_batch(client: openai.OpenAI, stack: Stack):
    def line(custom_id: str, prompt: Any, **body: Any) -> dict[str, Any]:
        body = {"model": "fast", "prompt": prompt} | body
        return {"custom_id": custom_id, "method": "POST", "url": COMPLETIONS, "body": body}

    lines = [line(f"q-{n}", f"[[echo: answer {n}]]", model=MODELS[n % 2]) for n in range(40)]
    lines += [
        line("many", ["[[echo: a]]", "[[fail: 1]] [[echo: b]]", "[[echo: c]]"], echo=False),
        line("tokens", [1, 2]),
    ]
    batch = wait(client, submit(client, jsonl(lines), COMPLETIONS).id)
    assert batch.status == "completed"
    good = {answer["custom_id"]: answer["response"] for answer in lines_of(client, batch.output_file_id)}
    assert len(good) == 41
    content = client.files.content(batch.output_file_id or "").content
    assert client.files.retrieve(batch.output_file_id or "").bytes == len(content)
    for response in good.values():
        Completion.model_validate(response["body"])
    assert all(good[f"q-{n}"]["body"]["choices"][0]["text"] == f"answer {n}" for n in range(40))
    assert [choice["text"] for choice in good["many"]["body"]["choices"]] == ["a", "b", "c"]
    status, job = stack.call("GET", "/v1/jobs/" + good["many"]["request_id"].replace("req_", "job_"))
    assert status == 200
    assert sorted(attempt["outcome"] for attempt in job["attempts"]) == ["failed"] + ["succeeded"] * 3
    bad = lines_of(client, batch.error_file_id)
    assert [(answer["custom_id"], answer["response"]["body"]["error"]["param"]) for answer in bad] == [
        ("tokens", "prompt")
    ]
