"""Embeddings by Bedrock's InvokeModel, in the words of Amazon Titan and of Cohere.

After "Amazon Titan Text Embeddings" and "Cohere Embed" of the Bedrock user guide. `user` is passed over: there is
nobody to tell.
"""

from typing import Any

from penstock.completion import EmbeddingRequest, EmbeddingResult, Usage
from penstock.errors import InvalidRequest

_TITAN, _COHERE = "titan-embed-text", "cohere.embed"
#: Titan takes one text in a call, Cohere's models as many as this
_COHERE_TEXTS = 96
#: fields of the formats themselves; others in `extra` come from another dialect
_TITAN_FIELDS = {"normalize"}
_COHERE_FIELDS = {"input_type", "truncate"}


def texts_at_once(upstream_model: str) -> int:
    """How many texts one call may embed.

    Raises:
        InvalidRequest: the model is not known to embed texts.
    """
    if _TITAN in upstream_model:
        return 1
    if _COHERE in upstream_model:
        return _COHERE_TEXTS
    raise InvalidRequest("The model's provider embeds texts with Titan and Cohere models only.", param="model")


def check(request: EmbeddingRequest) -> None:
    """Refuse what no model here can embed, before a first call.

    Raises:
        InvalidRequest: an input is tokens.
    """
    if not all(isinstance(text, str) for text in request.inputs):
        raise InvalidRequest("The model's provider embeds texts, not tokens.", param="input")


def build(request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:
    """The body of one call.

    Raises:
        InvalidRequest: the model's vectors have one size only.
    """
    if _TITAN in upstream_model:
        own, dimensions = _TITAN_FIELDS, "dimensions"
        one_size = f"{_TITAN}-v1" in upstream_model
        body: dict[str, Any] = {"inputText": request.inputs[0]}
    else:
        own, dimensions = _COHERE_FIELDS, "output_dimension"
        one_size = "-v3" in upstream_model
        body = {"texts": list(request.inputs), "input_type": "search_document", "embedding_types": ["float"]}
    if request.dimensions is not None:
        if one_size:
            raise InvalidRequest("The model's vectors have one size only.", param="dimensions")
        body[dimensions] = request.dimensions
    return body | {name: value for name, value in request.extra.items() if name in own}


def read(answer: Any) -> EmbeddingResult:
    """The vectors of one call. Cohere's models do not count tokens; older ones give their vectors as a bare list."""
    if "embedding" in answer:
        return EmbeddingResult((tuple(answer["embedding"]),), Usage(answer.get("inputTextTokenCount") or 0))
    vectors = answer["embeddings"]
    vectors = vectors["float"] if isinstance(vectors, dict) else vectors
    return EmbeddingResult(tuple(tuple(vector) for vector in vectors), Usage())
