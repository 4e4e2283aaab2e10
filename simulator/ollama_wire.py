"""Ollama's wire format: routes, error envelope, models; and POST /api/embed."""

import time
from collections.abc import Mapping
from typing import Any

import orjson

from simulator import fields, ollama_chat
from simulator.limits import BucketState
from simulator.openai_embeddings import embedding
from simulator.openai_fields import bearer
from simulator.question import Question, Transcript
from simulator.refusal import RefusalError
from simulator.vendor import Call, Endpoint, Head, Reply

_BROKEN = "an error was encountered while running the model"
_WORDS = {
    401: "unauthorized",
    429: "too many requests, please wait or upgrade to continue",
    499: "request canceled",
    503: "server busy, please try again.  maximum pending requests exceeded",
}
_MODELS_CREATED = 1_700_000_000


def _error_frame(_: int) -> bytes:
    return orjson.dumps({"error": _BROKEN}) + b"\n"


def _read_embedding(data: bytes, _headers: Mapping[str, str]) -> Question:
    body = fields.body_of(data)
    model = fields.string(body, "model")
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise RefusalError(400, "invalid input type")
    fields.integer(body, "dimensions", 0)
    fields.boolean(body, "truncate")
    ollama_chat.read_options(body)
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


def _embedding_reply(question: Question, call: Call) -> Reply:
    """A model's vectors have one size; asking for fewer dimensions cuts them."""
    size = call.options.embedding_dimensions
    size = min(size, question.body.get("dimensions") or size)
    body = {
        "model": question.model,
        "embeddings": [embedding(text, size).tolist() for text in question.inputs],
        "total_duration": int((time.perf_counter() - call.began) * 1e9),
        "load_duration": 1,
        "prompt_eval_count": question.input_tokens,
    }
    return Reply(0, body=orjson.dumps(body))


class OllamaWire:
    """See `simulator.vendor.Vendor`."""

    overload_status = 503
    endpoints: tuple[Endpoint, ...] = (
        Endpoint("/api/chat", ollama_chat.read, ollama_chat.reply, _error_frame, stream_type="application/x-ndjson"),
        Endpoint("/api/embed", _read_embedding, _embedding_reply, generates=False),
    )

    def authorise(self, headers: Head, api_key: str) -> None:
        """A server of one's own asks for no key; with one this is ollama.com, which wants a bearer token."""
        if bearer(headers) != api_key:
            raise RefusalError(401, _WORDS[401])

    def headers(self, request_id: str, buckets: list[BucketState], milliseconds: int) -> dict[str, str]:  # noqa: ARG002 - this server tells nothing of itself
        """None: neither the request's id nor the limits are told."""
        return {}

    def error(self, refusal: RefusalError, request_id: str, buckets: list[BucketState]) -> tuple[bytes, dict[str, str]]:  # noqa: ARG002 - as above
        """The envelope: a message and nothing else, also after a 429."""
        message = _WORDS[429] if refusal.limit is not None else refusal.message
        return orjson.dumps({"error": message}), {"Content-Type": "application/json"}

    def unknown_model(self, model: str) -> RefusalError:
        """404, told by nothing but its words."""
        return RefusalError(404, f"model '{model}' not found")

    def fault(self, status: int) -> RefusalError:
        """An error nobody is to blame for."""
        return RefusalError(status, _WORDS.get(status, _BROKEN if status >= 500 else "invalid request"))

    def models(self, names: tuple[str, ...]) -> dict[str, Any]:
        """The list at `/v1/models`, which this server has for clients of OpenAI."""
        return {"object": "list", "data": [self.model(name) for name in names]}

    def model(self, name: str) -> dict[str, Any]:
        """One entry of that list."""
        return {"id": name, "object": "model", "created": _MODELS_CREATED, "owned_by": "library"}
