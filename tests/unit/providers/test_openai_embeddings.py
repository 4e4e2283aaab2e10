"""Embeddings in the words of OpenAI and of the servers compatible with it."""

import base64
import struct
from typing import Any

import httpx
import pytest

from penstock.completion import EmbeddingRequest, Usage
from penstock.configuration import ProviderConfig
from penstock.errors import InvalidRequest
from penstock.providers.failures import ErrorFrame
from penstock.providers.openai_chat import OpenAIChat, read_embeddings


def body(*inputs: Any, quirks: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    config = ProviderConfig(wire_format="openai", base_url="http://127.0.0.1:9", quirks=quirks or {})
    request = EmbeddingRequest(model="public", inputs=inputs, **fields)
    return OpenAIChat("river", config, httpx.AsyncClient())._embedding_body(request, "served")


def test_texts_and_tokens() -> None:
    assert body("a", "b") == {"model": "served", "input": ["a", "b"], "encoding_format": "float"}
    assert body((1, 2), (3,))["input"] == [[1, 2], [3]]


def test_texts_beside_tokens_cannot_be_said() -> None:
    with pytest.raises(InvalidRequest) as caught:
        body("a", (1, 2))
    assert caught.value.param == "input"


def test_settings() -> None:
    """`extra` goes along, but what is asked of the server for our own sake stays."""
    extra = {"encoding_format": "base64", "model": "x", "input_type": "query"}
    wire = body("a", dimensions=8, user="u", extra=extra)
    assert wire == body("a") | {"dimensions": 8, "user": "u", "input_type": "query"}


def test_quirks() -> None:
    assert body("a", quirks={"dropped": ["encoding_format", "user"]}, user="u").keys() == {"model", "input"}
    with pytest.raises(InvalidRequest) as caught:
        body("a", quirks={"unsupported": ["dimensions"]}, dimensions=8)
    assert caught.value.param == "dimensions"


def answer(*embeddings: Any, **more: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": value} for index, value in enumerate(embeddings)]
    usage = {"prompt_tokens": 5, "total_tokens": 5}
    return {"object": "list", "model": "served", "data": data, "usage": usage} | more


def test_vectors_in_the_order_of_their_indexes() -> None:
    wire = answer([1, 0.5], [0, 2.0])
    wire["data"].reverse()
    result = read_embeddings(wire)
    assert result.vectors == ((1.0, 0.5), (0.0, 2.0))
    assert (result.usage, result.upstream_model) == (Usage(5), "served")


def test_a_server_that_sends_base64_all_the_same() -> None:
    encoded = base64.b64encode(struct.pack("<3f", 0.5, -1.0, 2.0)).decode()
    assert read_embeddings(answer(encoded)).vectors == ((0.5, -1.0, 2.0),)


@pytest.mark.parametrize(
    ("usage", "tokens"), [(None, 0), ({"total_tokens": 7}, 7), ({"prompt_tokens": 0, "total_tokens": 0}, 0)]
)
def test_usage_with_gaps(usage: Any, tokens: int) -> None:
    assert read_embeddings(answer([1.0], usage=usage)).usage == Usage(tokens)


@pytest.mark.parametrize("embedding", ["QUJD", "%%%", ["x"], None, 3])
def test_what_is_no_vector(embedding: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_embeddings(answer(embedding))


@pytest.mark.parametrize("wire", [{"error": {"message": "no"}}, {"object": "error", "message": "no"}])
def test_an_error_inside_a_success(wire: dict[str, Any]) -> None:
    with pytest.raises(ErrorFrame):
        read_embeddings(wire)
