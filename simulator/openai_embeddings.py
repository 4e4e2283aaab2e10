"""POST /v1/embeddings. Texts that share words get vectors that point the same way."""

import base64
import re
from array import array
from collections.abc import Mapping
from hashlib import blake2b
from math import sqrt
from sys import byteorder

import orjson

from simulator import fields
from simulator.openai_legacy import texts_of
from simulator.question import Question, Transcript
from simulator.vendor import Call, Reply

_WORD = re.compile(r"\w+")


def read(data: bytes, _headers: Mapping[str, str]) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    body = fields.body_of(data)
    model = fields.string(body, "model")
    texts = texts_of(body, "input")
    if "" in texts:
        raise fields.wrong("input", "no empty string")
    if body.get("encoding_format", "float") not in {"float", "base64"}:
        raise fields.wrong("encoding_format", "float or base64")
    fields.integer(body, "dimensions", 1, 4096)
    transcript = Transcript()
    for text in texts:
        transcript.add("user", text)
    return Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body=body,
        last=transcript.last,
        user=fields.maybe_string(body, "user"),
        directives=transcript.directives(),
        inputs=texts,
    )


def reply(question: Question, call: Call) -> Reply:
    """The vendor's answer."""
    size = question.body.get("dimensions") or call.options.embedding_dimensions
    as_base64 = question.body.get("encoding_format") == "base64"
    vectors = (embedding(text, size) for text in question.inputs)
    body = {
        "object": "list",
        "model": question.model,
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if as_base64 else vector.tolist()}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": question.input_tokens, "total_tokens": question.input_tokens},
    }
    return Reply(0, body=orjson.dumps(body))


def embedding(text: str, size: int) -> "array[float]":
    """A unit vector of 32-bit floats: each word of the text adds to one place with one sign."""
    values = [0.0] * size
    for word in _WORD.findall(text.lower()) or [text]:
        number = int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest())
        values[number % size] += 1.0 if number >> 63 else -1.0
    length = sqrt(sum(value * value for value in values))
    if length == 0:
        values[0], length = 1.0, 1.0
    return array("f", [value / length for value in values])


def _base64(vector: "array[float]") -> str:
    if byteorder == "big":
        vector.byteswap()
    return base64.b64encode(vector.tobytes()).decode("ascii")
