"""POST …:embedContent and …:batchEmbedContents."""

from typing import Any

import orjson

from simulator import fields, gemini_fields
from simulator.openai_embeddings import embedding
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.vendor import Call, Head, Reply

_FIELDS = {"content", "model", "outputDimensionality", "taskType", "title"}
_MOST_REQUESTS = 100


def read(data: bytes, head: Head) -> Question:
    """Read and check a request for one text.

    Raises:
        RefusalError: 400 where the vendor would refuse it.
    """
    return _question([fields.body_of(data)], head.path["model"])


def read_batch(data: bytes, head: Head) -> Question:
    """As `read`, for several texts, each with its own model and settings."""
    body = gemini_fields.message(fields.body_of(data), {"requests"})
    requests = fields.objects(body, "requests", required=True)
    if len(requests) > _MOST_REQUESTS:
        message = f"* BatchEmbedContentsRequest.requests: at most {_MOST_REQUESTS} requests can be in one batch"
        raise RefusalError(400, message, param="requests")
    model = head.path["model"]
    for index, request in enumerate(requests):
        if fields.string(request, "model") != f"models/{model}":
            raise RefusalError(400, f"requests[{index}].model must match the model of the batch.", param="model")
    return _question(requests, model)


def _question(given: list[dict[str, Any]], model: str) -> Question:
    transcript = Transcript()
    requests = [gemini_fields.message(request, _FIELDS) for request in given]
    texts = []
    for request in requests:
        fields.integer(request, "outputDimensionality", 1, 4096)
        content = fields.mapping(request, "content") or {}
        texts.append("".join(fields.string(part, "text") for part in fields.objects(content, "parts", required=True)))
        transcript.add("user", texts[-1])
    return Question(
        model=model,
        fingerprint=transcript.fingerprint(model),
        input_tokens=transcript.input_tokens,
        body={"requests": requests},
        last=transcript.last,
        directives=transcript.directives(),
        inputs=texts,
    )


def reply(question: Question, call: Call) -> Reply:
    """One text's vector."""
    return Reply(0, body=orjson.dumps({"embedding": _vectors(question, call)[0]} | _counted(question)))


def reply_batch(question: Question, call: Call) -> Reply:
    """A vector for each text, in their order."""
    return Reply(0, body=orjson.dumps({"embeddings": _vectors(question, call)} | _counted(question)))


def _vectors(question: Question, call: Call) -> list[dict[str, Any]]:
    default = call.options.embedding_dimensions
    sizes = [request.get("outputDimensionality") or default for request in question.body["requests"]]
    return [{"values": embedding(text, size).tolist()} for text, size in zip(question.inputs, sizes, strict=True)]


def _counted(question: Question) -> dict[str, Any]:
    return {"usageMetadata": {"promptTokenCount": question.input_tokens}}
