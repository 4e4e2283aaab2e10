"""Embeddings in the words of Amazon Titan and of Cohere."""

from typing import Any

import pytest

from penstock.completion import EmbeddingRequest, EmbeddingResult, Usage
from penstock.errors import InvalidRequest
from penstock.providers.bedrock_embeddings import build, check, read, texts_at_once

TITAN, TITAN_V1 = "amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v1"
COHERE, COHERE_V3 = "us.cohere.embed-v4:0", "cohere.embed-multilingual-v3"


def body(model: str, *texts: str, **fields: Any) -> dict[str, Any]:
    return build(EmbeddingRequest(model="public", inputs=texts or ("a",), **fields), model)


def test_titan() -> None:
    assert body(TITAN) == {"inputText": "a"}
    assert body(TITAN, dimensions=256, extra={"normalize": False, "input_type": "x", "user": "u"}) == {
        "inputText": "a",
        "dimensions": 256,
        "normalize": False,
    }


def test_cohere() -> None:
    """What texts are embedded for must be said; most are embedded to be found."""
    assert body(COHERE, "a", "b", dimensions=512) == {
        "texts": ["a", "b"],
        "input_type": "search_document",
        "embedding_types": ["float"],
        "output_dimension": 512,
    }
    wire = body(COHERE_V3, extra={"input_type": "search_query", "truncate": "END", "normalize": True})
    assert wire == {"texts": ["a"], "input_type": "search_query", "embedding_types": ["float"], "truncate": "END"}


@pytest.mark.parametrize("model", [TITAN_V1, COHERE_V3, "cohere.embed-english-v3"])
def test_older_models_have_one_size(model: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        body(model, dimensions=256)
    assert caught.value.param == "dimensions"


def test_how_many_texts_fit_in_a_call() -> None:
    foundation = f"arn:aws:bedrock:eu-west-1::foundation-model/{TITAN}"
    assert (texts_at_once(TITAN), texts_at_once(foundation), texts_at_once(COHERE)) == (1, 1, 96)
    with pytest.raises(InvalidRequest) as caught:
        texts_at_once("anthropic.claude-sonnet-4-6")
    assert caught.value.param == "model"


def test_tokens_are_no_texts() -> None:
    check(EmbeddingRequest(model="public", inputs=("a", "b")))
    with pytest.raises(InvalidRequest) as caught:
        check(EmbeddingRequest(model="public", inputs=("a", (1, 2))))
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            {"embedding": [0.5, 1], "embeddingsByType": {"float": [0.5, 1]}, "inputTextTokenCount": 3},
            EmbeddingResult(((0.5, 1),), Usage(3)),
        ),
        (
            {"embeddings": {"float": [[1], [2]]}, "response_type": "embeddings_by_type"},
            EmbeddingResult(((1,), (2,)), Usage()),
        ),
        ({"embeddings": [[1], [2]], "response_type": "embeddings_floats"}, EmbeddingResult(((1,), (2,)), Usage())),
    ],
)
def test_answers(answer: Any, expected: EmbeddingResult) -> None:
    assert read(answer) == expected
