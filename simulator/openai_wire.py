"""OpenAI's wire format: routes, headers, error envelope, models."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from simulator import openai_chat, openai_embeddings, openai_fields, openai_legacy, openai_responses
from simulator.limits import BucketState, LimitHit
from simulator.refusal import RefusalError
from simulator.routed_cache import RoutedCache
from simulator.streaming import sse
from simulator.vendor import Endpoint

_MODELS_CREATED = 1_700_000_000
_KINDS = {429: "rate_limit_error"}
_WORDS = {
    401: "Incorrect API key provided.",
    403: "You are not allowed to use this resource.",
    404: "The requested resource was not found.",
    429: "Rate limit reached.",
    500: "The server had an error while processing your request. Sorry about that!",
    503: "The engine is currently overloaded, please try again later.",
}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}
#: when to come back after a 429 that no limit explains
FAULT_RETRY_MS = 250


def _envelope(message: str, kind: str, param: str | None, code: str | None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


_BROKEN = "The server had an error while processing your request."


def chat_error(_: int) -> bytes:
    """An error in the middle of a stream of chunks."""
    return sse(_envelope(_BROKEN, "server_error", None, None))


def responses_error(sent: int) -> bytes:
    """An error in the middle of a stream of numbered events."""
    event = {"type": "error", "code": "server_error", "message": _BROKEN, "param": None, "sequence_number": sent}
    return sse(orjson.dumps(event), "error")


def duration(seconds: float) -> str:
    """A time as OpenAI's headers write it: `250ms`, `6.5s`, `1m30s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds * 1000) / 1000, 60)
    shown = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{shown}s" if minutes else f"{shown}s"


class OpenAIWire:
    """See `simulator.vendor.Vendor`."""

    overload_status = 503

    def __init__(self) -> None:
        chat = partial(openai_chat.reply, cache=RoutedCache())
        self.endpoints: tuple[Endpoint, ...] = (
            Endpoint("/v1/chat/completions", openai_chat.read, chat, chat_error),
            Endpoint("/v1/responses", openai_responses.read, openai_responses.reply, responses_error),
            Endpoint("/v1/completions", openai_legacy.read, openai_legacy.reply, chat_error),
            Endpoint("/v1/embeddings", openai_embeddings.read, openai_embeddings.reply, generates=False),
        )

    def authorise(self, headers: Mapping[str, str], api_key: str) -> None:
        """A bearer token is the only way in."""
        openai_fields.authorise(headers, api_key)

    def headers(self, request_id: str, buckets: list[BucketState], milliseconds: int) -> dict[str, str]:
        """The request's id, its time, and what is left of the limits."""
        result = {"x-request-id": f"req_{request_id}", "openai-processing-ms": str(milliseconds)}
        for bucket in buckets:
            result[f"x-ratelimit-limit-{bucket.name}"] = str(bucket.limit)
            result[f"x-ratelimit-remaining-{bucket.name}"] = str(bucket.remaining)
            result[f"x-ratelimit-reset-{bucket.name}"] = duration(bucket.reset)
        return result

    def error(self, refusal: RefusalError, request_id: str, buckets: list[BucketState]) -> tuple[bytes, dict[str, str]]:
        """The envelope; a 429 says when to come back, in seconds and in milliseconds."""
        headers = self.headers(request_id, buckets, 0) | {"Content-Type": "application/json"}
        hit = refusal.limit
        if hit is not None:
            wait_ms = math.ceil(hit.retry_after * 1000) if math.isfinite(hit.retry_after) else None
            body = _envelope(limit_message(hit, wait_ms), hit.name, None, "rate_limit_exceeded")
        else:
            wait_ms = FAULT_RETRY_MS if refusal.status == 429 else None
            kind = _KINDS.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
            body = _envelope(refusal.message, kind, refusal.param, refusal.code)
        if wait_ms is not None:
            headers["retry-after-ms"] = str(wait_ms)
            headers["retry-after"] = str(math.ceil(wait_ms / 1000))
        return body, headers

    def unknown_model(self, model: str) -> RefusalError:
        """404 `model_not_found`."""
        message = f"The model `{model}` does not exist or you do not have access to it."
        return RefusalError(404, message, code="model_not_found")

    def fault(self, status: int) -> RefusalError:
        """An error nobody is to blame for."""
        message = _WORDS.get(status, _WORDS[500] if status >= 500 else "The request was refused.")
        return RefusalError(status, message, code=_CODES.get(status))

    def models(self, names: tuple[str, ...]) -> dict[str, Any]:
        """OpenAI lists its models on one page."""
        return {"object": "list", "data": [self.model(name) for name in names]}

    def model(self, name: str) -> dict[str, Any]:
        """One entry of that list."""
        return {"id": name, "object": "model", "created": _MODELS_CREATED, "owned_by": "simulator"}


def limit_message(hit: LimitHit, wait_ms: int | None) -> str:
    """What a call over the limit is told; without a wait it will never fit."""
    per = "requests per min (RPM)" if hit.name == "requests" else "tokens per min (TPM)"
    if wait_ms is None:
        return (
            f"Request too large on {per}: Limit {hit.limit}, Requested {hit.requested}. "
            "The input or output tokens must be reduced in order to run successfully."
        )
    return (
        f"Rate limit reached on {per}: Limit {hit.limit}, Remaining {hit.remaining}, Requested {hit.requested}. "
        f"Please try again in {duration(wait_ms / 1000)}."
    )
