"""Embeddings through the unmodified openai SDK: live, and as lines of a batch."""

import base64
import json
import operator
import struct
from typing import Any

import openai
import pytest
from acceptance.conftest import Stack
from acceptance.test_batches import jsonl, lines_of, submit, wait
from openai.types import CreateEmbeddingResponse

EMBEDDINGS = "/v1/embeddings"


def line(custom_id: str, given: Any, model: str = "fast", **body: Any) -> dict[str, Any]:
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": EMBEDDINGS,
        "body": {"model": model, "input": given} | body,
    }


def test_as_the_sdk_asks_for_them_and_as_numbers(client: openai.OpenAI):
    """The SDK asks for base64 unless it is told otherwise."""
    texts = ["the quick brown fox", "é 漢字 \u2028", "the quick brown dog"]
    coded = client.embeddings.create(model="fast", input=texts, dimensions=64, user="u")
    CreateEmbeddingResponse.model_validate(coded.model_dump())
    assert [(entry.index, len(entry.embedding)) for entry in coded.data] == [(0, 64), (1, 64), (2, 64)]
    assert (coded.model, coded.usage.prompt_tokens) == ("fast", coded.usage.total_tokens)
    assert coded.usage.prompt_tokens > 0
    numbers = client.embeddings.create(model="fast", input=texts, dimensions=64, encoding_format="float")
    assert [entry.embedding for entry in numbers.data] == [entry.embedding for entry in coded.data]
    fox, _, dog = (entry.embedding for entry in numbers.data)
    assert sum(map(operator.mul, fox, dog)) > 0.4


@pytest.mark.parametrize("given", ["one text", [1, 2, 3], [[1, 2], [3]]])
def test_other_forms_of_input(client: openai.OpenAI, given: Any):
    count = 2 if isinstance(given, list) and isinstance(given[0], list) else 1
    assert len(client.embeddings.create(model="fast", input=given).data) == count


def test_base64_is_of_little_endian_floats(stack: Stack):
    body = {"model": "fast", "input": "hello", "dimensions": 4}
    status, plain = stack.call("POST", EMBEDDINGS, body)
    assert status == 200
    _, coded = stack.call("POST", EMBEDDINGS, body | {"encoding_format": "base64"})
    text = coded["data"][0]["embedding"]
    assert struct.unpack("<4f", base64.b64decode(text)) == tuple(plain["data"][0]["embedding"])


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "fast"}, 400, "input"),
        ({"model": "fast", "input": []}, 400, "input"),
        ({"model": "fast", "input": ["a", 3]}, 400, "input[1]"),
        ({"model": "fast", "input": "a", "dimensions": "many"}, 400, "dimensions"),
        ({"model": "nope", "input": "a"}, 404, "model"),
        ({"model": "claude", "input": "a"}, 400, "model"),
        ({"model": "fast", "input": "word " * 20_000}, 400, "input"),
        ({"model": "fast", "input": "[[error: 400]]"}, 400, None),
    ],
)
def test_bad_input_is_named(stack: Stack, body: object, status: int, param: str | None):
    found, answer = stack.call("POST", EMBEDDINGS, body)
    assert (found, answer["error"]["param"]) == (status, param)
    assert answer["error"]["message"]


def test_a_provider_that_falters_is_asked_again(client: openai.OpenAI):
    assert client.embeddings.create(model="fast", input="[[fail: 1]] unseen words").data


def test_the_fallback_is_asked(stack: Stack):
    """The error is the second model's, whose provider has no embeddings: so it was asked."""
    body = {"model": "fast", "input": "[[error: 500]]", "fallback": ["claude"]}
    status, answer = stack.call("POST", EMBEDDINGS, body)
    assert (status, answer["error"]["param"]) == (400, "model")
    assert "no embeddings" in answer["error"]["message"]


def test_a_batch(client: openai.OpenAI, stack: Stack):
    lines = [line(f"q-{n}", [f"text {n}", "other"], dimensions=16) for n in range(40)]
    lines += [
        line("again", "[[fail: 2]] falters twice", dimensions=16),
        line("coded", "text 7", dimensions=16, encoding_format="base64"),
        line("none", "text", model="claude"),
        line("bad", ["text", 5]),
    ]
    batch = wait(client, submit(client, jsonl(lines), EMBEDDINGS).id)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (42, 2)
    content = client.files.content(batch.output_file_id or "").content
    assert client.files.retrieve(batch.output_file_id or "").bytes == len(content)
    good = {answer["custom_id"]: answer["response"] for answer in map(json.loads, content.splitlines())}
    for custom_id, response in good.items():
        assert response["body"]["usage"]["prompt_tokens"] > 0
        if custom_id != "coded":
            CreateEmbeddingResponse.model_validate(response["body"])
    assert [len(entry["embedding"]) for entry in good["q-7"]["body"]["data"]] == [16, 16]
    coded = struct.unpack("<16f", base64.b64decode(good["coded"]["body"]["data"][0]["embedding"]))
    assert coded == tuple(good["q-7"]["body"]["data"][0]["embedding"])
    bad = {answer["custom_id"]: answer["response"] for answer in lines_of(client, batch.error_file_id)}
    assert {name: (r["status_code"], r["body"]["error"]["param"]) for name, r in bad.items()} == {
        "none": (400, "model"),
        "bad": (400, "input[1]"),
    }
    job_id = good["again"]["request_id"].replace("req_", "job_")
    status, job = stack.call("GET", f"/v1/jobs/{job_id}")
    assert (status, [attempt["outcome"] for attempt in job["attempts"]]) == (200, ["failed", "failed", "succeeded"])
    assert job["cost"] == pytest.approx(job["usage"]["input_tokens"] / 1e6)
    assert len(job["output"]["embeddings"][0]) == 16
