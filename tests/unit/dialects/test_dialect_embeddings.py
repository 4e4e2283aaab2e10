"""Embeddings: their request, their answer, and the form in which vectors are stored."""

import json
import struct
from array import array
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from unit.dialects.examples import FINISHED, pending

from penstock.completion import EmbeddingRequest, EmbeddingResult, Usage
from penstock.completion.embedding import from_base64, to_base64
from penstock.completion.outcome import Outcome
from penstock.dialects import job, openai_embeddings
from penstock.dialects.batch_line import LineFacts, render_line
from penstock.dialects.facts import JobFacts
from penstock.errors import ContextTooLong, InvalidRequest
from penstock.rules.context import require_fit
from penstock.submission.plan import request_tokens

parse, render = openai_embeddings.parse, openai_embeddings.render
vectors = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=8)


def embedded(*of: list[float], **body: Any) -> JobFacts:
    """A job with its vectors, as it is read back."""
    result = EmbeddingResult(of, Usage(input_tokens=5)).rounded()
    stored = Outcome.from_bytes(Outcome(embeddings=result).to_bytes())
    facts = pending({"model": "m", "input": "a"} | body)
    return replace(facts, state="succeeded", finished_at=FINISHED, embeddings=stored.embeddings)


@pytest.mark.parametrize(
    ("given_input", "inputs"),
    [
        ("a", ("a",)),
        (["a", "b", "a"], ("a", "b", "a")),
        ([1, 0, 3], ((1, 0, 3),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
    ],
)
def test_every_form_of_input(given_input: Any, inputs: tuple[Any, ...]):
    assert parse({"model": "m", "input": given_input}) == EmbeddingRequest(model="m", inputs=inputs)


def test_every_field():
    body = {
        "model": "m",
        "input": "a",
        "dimensions": 8,
        "encoding_format": "base64",
        "user": "u",
        "fallback": ["n"],
        "input_type": "search_query",
        "metadata": {"k": "v"},
        "truncate": None,
    }
    assert parse(body) == EmbeddingRequest(
        model="m", inputs=("a",), dimensions=8, user="u", fallback=("n",), extra={"input_type": "search_query"}
    )


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": {"text": "a"}}, "input"),
        ({"input": [True]}, "input[0]"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [1, -1]}, "input"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [[1], "a"]}, "input[1]"),
        ({"input": [[1.5]]}, "input[0]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"user": 1}, "user"),
        ({"fallback": "n"}, "fallback"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], param: str):
    with pytest.raises(InvalidRequest) as caught:
        parse({"model": "m", "input": "a"} | change)
    assert caught.value.param == param


def test_as_numbers_and_as_base64():
    shown = render(embedded([0.5, -1.0], [0.25, 3.0]))
    CreateEmbeddingResponse.model_validate(shown)
    assert [entry["embedding"] for entry in shown["data"]] == [[0.5, -1.0], [0.25, 3.0]]
    assert [entry["index"] for entry in shown["data"]] == [0, 1]
    assert shown["usage"] == {"prompt_tokens": 5, "total_tokens": 5}
    coded = render(embedded([0.5, -1.0], encoding_format="base64"))
    assert coded["data"][0]["embedding"] == "AAAAPwAAgL8="


@given(vectors)
def test_base64_is_of_little_endian_floats(vector: list[float]):
    import base64

    assert base64.b64decode(to_base64(vector)) == struct.pack(f"<{len(vector)}f", *vector)
    assert list(from_base64(to_base64(vector))) == vector


@given(st.lists(st.lists(st.floats(-1, 1), min_size=1, max_size=4), max_size=3))
def test_what_was_stored_is_shown_as_it_was_before(of: list[list[float]]):
    """The length of a result file's line is counted by the worker, from what it has not read back."""
    fresh = EmbeddingResult(tuple(of), Usage(3), "up").rounded()
    stored = Outcome.from_bytes(Outcome(embeddings=fresh).to_bytes())
    assert stored.result is None
    lines = [
        render_line(
            LineFacts(
                custom_id="q",
                status_code=200,
                dialect="openai.embeddings",
                job=replace(pending({"model": "m", "input": "a"}), state="succeeded", embeddings=embeddings),
            )
        )
        for embeddings in (fresh, stored.embeddings)
    ]
    assert lines[0] == lines[1]
    assert len(json.loads(lines[0])["response"]["body"]["data"]) == len(of)


@pytest.mark.parametrize("vector", [[], [float("nan")], [float("inf")], [1e39], [10**400]])
def test_what_32_bits_cannot_hold_is_no_vector(vector: list[float]):
    with pytest.raises(ValueError, match="an embedding"):
        EmbeddingResult((vector,), Usage()).rounded()


def test_a_job_without_vectors_is_not_shown_as_a_list():
    with pytest.raises(ValueError, match="embeddings"):
        render(pending())


def test_the_view_of_the_job():
    shown = job.render(embedded([0.5]))
    assert shown["output"] == {"embeddings": [[0.5]]}
    assert (shown["usage"]["input_tokens"], shown["usage"]["output_tokens"]) == (5, 0)
    assert job.render(pending())["output"] is None


@pytest.mark.parametrize("too_long", ["x" * 61, (1,) * 11])
def test_each_input_has_the_context_window_alone(too_long: str | tuple[int, ...]):
    require_fit(EmbeddingRequest(model="m", inputs=("x" * 60,) * 20), 10)
    require_fit(EmbeddingRequest(model="m", inputs=((1,) * 10,) * 20), 10)
    request = EmbeddingRequest(model="m", inputs=(too_long + too_long[:5], "a"))
    with pytest.raises(ContextTooLong) as caught:
        require_fit(request, 10, param="input")
    assert caught.value.param == "input"
    require_fit(request, None)


def test_no_output_is_expected():
    """Fair order counts tokens: embeddings are not charged for an answer that nobody writes."""
    body = {"model": "m", "input": "a" * 396}
    assert request_tokens(body, 400, answered=False) == 104
    assert request_tokens(body, 400) > 104


def test_vectors_are_kept_in_four_bytes_a_number():
    assert isinstance(embedded([0.5]).embeddings.vectors[0], array)  # type: ignore[union-attr]
