"""Cohere's wire format: routes, headers, error envelope, models."""

from typing import Any

import orjson

from simulator import cohere_chat, cohere_embed
from simulator.limits import BucketState
from simulator.openai_fields import bearer
from simulator.refusal import RefusalError
from simulator.streaming import sse
from simulator.vendor import Endpoint, Head

_BROKEN = "internal server error, this has been reported to our developers."
_WORDS = {
    401: "invalid api token",
    402: "Please add or update your payment method to continue",
    404: "404 page not found",
    429: "You are past the per minute request limit, please wait and try again later.",
    499: "request cancelled",
    503: "service unavailable",
    504: "gateway timeout",
}


def _error_frame(_: int) -> bytes:
    end = {"type": "message-end", "delta": {"error": _BROKEN, "finish_reason": "ERROR"}}
    return sse(orjson.dumps(end), "message-end")


class CohereWire:
    """See `simulator.vendor.Vendor`."""

    overload_status = 503
    endpoints: tuple[Endpoint, ...] = (
        Endpoint("/v2/chat", cohere_chat.read, cohere_chat.reply, _error_frame),
        Endpoint("/v2/embed", cohere_embed.read, cohere_embed.reply, generates=False),
    )

    def authorise(self, headers: Head, api_key: str) -> None:
        """A bearer token is the only way in."""
        token = bearer(headers)
        if token != api_key:
            raise RefusalError(401, _WORDS[401] if token else "no api key supplied")

    def headers(self, request_id: str, buckets: list[BucketState], milliseconds: int) -> dict[str, str]:  # noqa: ARG002 - this vendor does not tell its time
        """The request's id, and how many calls of the minute are left; of tokens this vendor tells nothing."""
        result = {"x-debug-trace-id": request_id}
        for bucket in buckets:
            if bucket.name == "requests":
                result["x-trial-endpoint-call-limit"] = str(bucket.limit)
                result["x-trial-endpoint-call-remaining"] = str(bucket.remaining)
        return result

    def error(self, refusal: RefusalError, request_id: str, buckets: list[BucketState]) -> tuple[bytes, dict[str, str]]:  # noqa: ARG002 - nothing is told of limits here
        """The envelope. Neither it nor a header says when to come back after a 429."""
        message = _WORDS[429] if refusal.limit is not None else refusal.message
        headers = {"x-debug-trace-id": request_id, "Content-Type": "application/json"}
        return orjson.dumps({"id": request_id, "message": message}), headers

    def unknown_model(self, model: str) -> RefusalError:
        """404, told by nothing but its words."""
        message = f"model '{model}' not found, make sure the correct model ID was used and that you have access to it."
        return RefusalError(404, message)

    def fault(self, status: int) -> RefusalError:
        """An error nobody is to blame for."""
        return RefusalError(status, _WORDS.get(status, _BROKEN if status >= 500 else "invalid request"))

    def models(self, names: tuple[str, ...]) -> dict[str, Any]:
        """One page with all models."""
        return {"models": [self.model(name) for name in names]}

    def model(self, name: str) -> dict[str, Any]:
        """One entry of that page."""
        return {
            "name": name,
            "endpoints": ["chat", "embed"],
            "finetuned": False,
            "context_length": 256_000,
            "is_deprecated": False,
        }
