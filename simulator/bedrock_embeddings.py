"""POST /model/{model}/invoke for models that embed: Amazon Titan's words for models of that name, else Cohere's."""

from typing import Any

import orjson

from simulator import fields
from simulator.openai_embeddings import embedding
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.vendor import Call, Head, Reply

_TITAN, _COHERE = "titan-embed-text", "cohere.embed"
_INPUT_TYPES = {"search_document", "search_query", "classification", "clustering"}
_MOST_TEXTS = 96
_TITAN_FIELDS = {"inputText", "dimensions", "normalize", "embeddingTypes"}
_COHERE_FIELDS = {"texts", "input_type", "truncate", "embedding_types", "output_dimension", "max_tokens"}


def read(data: bytes, head: Head) -> Question:
    """Read and check a request.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    body, model = fields.body_of(data), head.path["model"]
    if _TITAN in model:
        texts = [fields.string(body, "inputText")]
        _only(body, _TITAN_FIELDS)
        fields.boolean(body, "normalize")
    elif _COHERE in model:
        texts = list(fields.strings(body, "texts", _MOST_TEXTS))
        _only(body, _COHERE_FIELDS)
        if not texts or fields.string(body, "input_type") not in _INPUT_TYPES:
            raise fields.wrong("input_type", "texts, and what they are embedded for")
    else:
        raise RefusalError(400, "This simulated model answers Converse only.")
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


def _only(body: dict[str, Any], known: set[str]) -> None:
    """Models refuse what they do not know."""
    for name in body.keys() - known:
        raise RefusalError(400, f"Malformed input request: #: extraneous key [{name}] is not permitted.")


def reply(question: Question, call: Call) -> Reply:
    """The vendor's answer; how many tokens were read is in a header, whatever the model."""
    body = question.body
    size = body.get("dimensions") or body.get("output_dimension") or call.options.embedding_dimensions
    vectors = [embedding(text, size).tolist() for text in question.inputs]
    headers = {"X-Amzn-Bedrock-Input-Token-Count": str(question.input_tokens)}
    if "inputText" in body:
        answer: dict[str, Any] = {"embedding": vectors[0], "inputTextTokenCount": question.input_tokens}
        return Reply(0, body=orjson.dumps(answer | {"embeddingsByType": {"float": vectors[0]}}), headers=headers)
    asked_for_types = bool(body.get("embedding_types"))
    answer = {
        "id": call.id,
        "texts": question.inputs,
        "embeddings": {"float": vectors} if asked_for_types else vectors,
        "response_type": "embeddings_by_type" if asked_for_types else "embeddings_floats",
    }
    return Reply(0, body=orjson.dumps(answer), headers=headers)
