"""Azure OpenAI: OpenAI's answers behind Microsoft's routes, credentials, error envelope and content filter.

    POST /openai/deployments/{deployment}/chat/completions?api-version=…     the deployment is the model
    POST /openai/deployments/{deployment}/embeddings?api-version=…
    POST /openai/v1/chat/completions, …/responses, …/embeddings              no api-version; the model is in the body

A prompt is refused by the filter when it says `[[error: 400 content_filter]]`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from simulator import fields, openai_chat, openai_embeddings, openai_responses
from simulator.limits import BucketState
from simulator.openai_fields import bearer
from simulator.openai_wire import FAULT_RETRY_MS, OpenAIWire, chat_error, limit_message, responses_error
from simulator.question import Question
from simulator.refusal import RefusalError
from simulator.streaming import sse
from simulator.vendor import Call, Endpoint, Frame, Head, Reply

_CATEGORIES = ("hate", "self_harm", "sexual", "violence")
_WORDS = {
    401: "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource.",
    404: "Resource not found",
    429: "Requests have exceeded the call rate limit of your current pricing tier. Please retry later.",
}
_FILTERED = "content_filter"


def _verdict(severity: str) -> dict[str, Any]:
    return {name: {"filtered": severity != "safe", "severity": severity} for name in _CATEGORIES}


def _deployed(read: Callable[[bytes, Head], Question]) -> Callable[[bytes, Head], Question]:
    """The reader of a body whose model is named by the path."""

    def read_deployed(data: bytes, head: Head) -> Question:
        if not head.query.get("api-version"):
            raise RefusalError(404, _WORDS[404], code="404")
        body = fields.body_of(data) | {"model": head.path["deployment"]}
        return read(orjson.dumps(body), head)

    return read_deployed


def _chat_reply(question: Question, call: Call) -> Reply:
    """OpenAI's, with what the filter thinks of the prompt and the answer."""
    reply = openai_chat.reply(question, call)
    prompt = [{"prompt_index": 0, "content_filter_results": _verdict("safe")}]
    if question.stream:
        first = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": prompt}
        reply.frames.insert(0, Frame(sse(orjson.dumps(first))))
        return reply
    answer = orjson.loads(reply.body) | {"prompt_filter_results": prompt}
    for choice in answer["choices"]:
        choice["content_filter_results"] = {} if choice["message"].get("tool_calls") else _verdict("safe")
    reply.body = orjson.dumps(answer)
    return reply


class AzureOpenAIWire(OpenAIWire):
    """See `simulator.vendor.Vendor`."""

    def __init__(self) -> None:
        self.endpoints: tuple[Endpoint, ...] = (
            Endpoint(
                "/openai/deployments/{deployment}/chat/completions",
                _deployed(openai_chat.read),
                _chat_reply,
                chat_error,
            ),
            Endpoint(
                "/openai/deployments/{deployment}/embeddings",
                _deployed(openai_embeddings.read),
                openai_embeddings.reply,
                generates=False,
            ),
            Endpoint("/openai/v1/chat/completions", openai_chat.read, _chat_reply, chat_error),
            Endpoint("/openai/v1/responses", openai_responses.read, openai_responses.reply, responses_error),
            Endpoint("/openai/v1/embeddings", openai_embeddings.read, openai_embeddings.reply, generates=False),
        )

    def authorise(self, headers: Mapping[str, str], api_key: str) -> None:
        """A key comes as `api-key`, a token of Entra ID as a bearer token."""
        if api_key not in {headers.get("api-key"), bearer(headers)}:
            raise RefusalError(401, _WORDS[401], code="401")

    def headers(self, request_id: str, buckets: list[BucketState], milliseconds: int) -> dict[str, str]:
        """OpenAI's, and those of Microsoft's gateway."""
        gateway = {"apim-request-id": request_id, "x-ms-region": "Simulated"}
        return super().headers(request_id, buckets, milliseconds) | gateway

    def error(self, refusal: RefusalError, request_id: str, buckets: list[BucketState]) -> tuple[bytes, dict[str, str]]:
        """The envelope, whose code is the status where it has no name; a 429 says when to come back."""
        headers = self.headers(request_id, buckets, 0) | {"Content-Type": "application/json"}
        error: dict[str, Any] = {"code": refusal.code or str(refusal.status), "message": refusal.message}
        hit = refusal.limit
        wait_ms = FAULT_RETRY_MS if refusal.status == 429 else None
        if hit is not None:
            wait_ms = math.ceil(hit.retry_after * 1000) if math.isfinite(hit.retry_after) else None
            error = {"code": "429", "message": limit_message(hit, wait_ms)}
        if refusal.code == _FILTERED:
            error |= {"param": "prompt", "type": None, "status": refusal.status}
            results = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _verdict("high")}
            error["innererror"] = results
        if wait_ms is not None:
            headers |= {"retry-after-ms": str(wait_ms), "retry-after": str(math.ceil(wait_ms / 1000))}
        return orjson.dumps({"error": error}), headers

    def unknown_model(self, model: str) -> RefusalError:  # noqa: ARG002 — this vendor does not repeat the name
        """404 `DeploymentNotFound`."""
        message = "The API deployment for this resource does not exist."
        return RefusalError(404, message, code="DeploymentNotFound")

    def fault(self, status: int) -> RefusalError:
        """An error nobody is to blame for."""
        message = _WORDS.get(status, "The service is temporarily unable to process your request.")
        return RefusalError(status, message)
