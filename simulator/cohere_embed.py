"""POST /v2/embed, for texts and vectors of floats."""

from collections.abc import Mapping
from typing import Any

import orjson

from simulator import fields
from simulator.openai_embeddings import embedding
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.vendor import Call, Reply

_INPUT_TYPES = {"search_document", "search_query", "classification", "clustering", "image"}
_SIZES = {256, 512, 1024, 1536}
_MOST_TEXTS = 96


def read(data: bytes, _headers: Mapping[str, str]) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    body = fields.body_of(data)
    model = fields.string(body, "model")
    if body.get("input_type") not in _INPUT_TYPES:
        raise RefusalError(400, "invalid request: valid input_type must be provided with the provided model")
    texts = _texts(body)
    if body.get("embedding_types", ["float"]) != ["float"]:
        raise fields.wrong("embedding_types", "['float'], which is all that is simulated")
    if body.get("output_dimension") not in {None, *_SIZES}:
        raise fields.wrong("output_dimension", "256, 512, 1024 or 1536")
    if body.get("truncate") not in {None, "NONE", "START", "END"}:
        raise fields.wrong("truncate", "NONE, START or END")
    transcript = Transcript()
    for text in texts:
        transcript.add("user", text)
    return Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=transcript.last,
        directives=transcript.directives(),
        inputs=texts,
    )


def _texts(body: dict[str, Any]) -> list[str]:
    texts = body.get("texts")
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise fields.wrong("texts", "a non-empty array of strings")
    if len(texts) > _MOST_TEXTS:
        limit = f"total number of texts must be at most {_MOST_TEXTS} - received {len(texts)}"
        raise RefusalError(400, f"invalid request: {limit}")
    if "" in texts:
        at = texts.index("")
        raise RefusalError(400, f"invalid request: inputs contains an element that is the empty string at index {at}")
    return texts


def reply(question: Question, call: Call) -> Reply:
    """The vendor's answer."""
    size = question.body.get("output_dimension") or call.options.embedding_dimensions
    body = {
        "id": call.id,
        "embeddings": {"float": [embedding(text, size).tolist() for text in question.inputs]},
        "texts": question.inputs,
        "meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": float(question.input_tokens)}},
        "response_type": "embeddings_by_type",
    }
    return Reply(0, body=orjson.dumps(body))
