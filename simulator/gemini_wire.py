"""Google's Gemini API: routes, headers, error envelope, models."""

import math
from typing import Any

import orjson

from simulator import gemini_content, gemini_embeddings
from simulator.limits import BucketState, LimitHit
from simulator.refusal import RefusalError
from simulator.vendor import Endpoint, Head

#: whatever the version: newer ones have all that older ones have
_MODELS = "/{version:v1(?:alpha|beta)?}/models"
_TYPES = "type.googleapis.com/google.rpc."
_DOMAIN = {"domain": "googleapis.com", "metadata": {"service": "generativelanguage.googleapis.com"}}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_WORDS = {
    401: "Request had invalid authentication credentials.",
    403: "Your API key doesn't have the required permissions.",
    404: "Requested entity was not found.",
    429: "Resource has been exhausted (e.g. check quota).",
    503: "The model is overloaded. Please try again later.",
    504: "Deadline expired before operation could complete.",
}
_FAULT_RETRY_SECONDS = 1.0


def _error_frame(_: int) -> bytes:
    error = {"code": 503, "message": _WORDS[503], "status": "UNAVAILABLE"}
    return b"data: " + orjson.dumps({"error": error}) + b"\r\n\r\n"


def duration(seconds: float) -> str:
    """A duration as Protobuf writes it in JSON: `38s`, `0.25s`."""
    shown = f"{math.ceil(seconds * 1000) / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{shown}s"


class GeminiWire:
    """See `simulator.vendor.Vendor`."""

    overload_status = 503
    endpoints: tuple[Endpoint, ...] = (
        Endpoint(f"{_MODELS}/{{model}}:generateContent", gemini_content.read, gemini_content.reply),
        Endpoint(
            f"{_MODELS}/{{model}}:streamGenerateContent",
            gemini_content.read_stream,
            gemini_content.reply,
            _error_frame,
        ),
        Endpoint(
            f"{_MODELS}/{{model}}:countTokens", gemini_content.read_count, gemini_content.count_reply, metered=False
        ),
        Endpoint(f"{_MODELS}/{{model}}:embedContent", gemini_embeddings.read, gemini_embeddings.reply, generates=False),
        Endpoint(
            f"{_MODELS}/{{model}}:batchEmbedContents",
            gemini_embeddings.read_batch,
            gemini_embeddings.reply_batch,
            generates=False,
        ),
    )

    def authorise(self, headers: Head, api_key: str) -> None:
        """The key comes in a header, or as the parameter `key`."""
        key = headers.get("x-goog-api-key") or headers.query.get("key")
        if not key:
            raise RefusalError(403, "Method doesn't allow unregistered callers. Please use API Key.")
        if key != api_key:
            raise RefusalError(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")

    def headers(self, request_id: str, buckets: list[BucketState], milliseconds: int) -> dict[str, str]:  # noqa: ARG002 - this vendor tells of neither
        """The time it took. What is left of the limits, this vendor does not tell."""
        return {"server-timing": f"gfet4t7; dur={milliseconds}"}

    def error(self, refusal: RefusalError, request_id: str, buckets: list[BucketState]) -> tuple[bytes, dict[str, str]]:
        """The envelope, with details of Google's common types; a 429 says in them when to come back."""
        fallback = "INTERNAL" if refusal.status >= 500 else "INVALID_ARGUMENT"
        status = _STATUSES.get(refusal.status, fallback)
        error: dict[str, Any] = {"code": refusal.status, "message": refusal.message, "status": status}
        details = _details(refusal)
        if refusal.limit is not None:
            error["message"] = _limit_message(refusal.limit)
        if details:
            error["details"] = details
        headers = self.headers(request_id, buckets, 0) | {"Content-Type": "application/json; charset=UTF-8"}
        return orjson.dumps({"error": error}), headers

    def unknown_model(self, model: str) -> RefusalError:
        """404 `NOT_FOUND`."""
        return RefusalError(404, f"models/{model} is not found for API version v1beta.")

    def fault(self, status: int) -> RefusalError:
        """An error nobody is to blame for."""
        other = "An internal error has occurred." if status >= 500 else "Request contains an invalid argument."
        return RefusalError(status, _WORDS.get(status, other))

    def models(self, names: tuple[str, ...]) -> dict[str, Any]:
        """One page with all models."""
        return {"models": [self.model(name) for name in names]}

    def model(self, name: str) -> dict[str, Any]:
        """One entry of that page."""
        return {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
        }


def _details(refusal: RefusalError) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if refusal.code == "API_KEY_INVALID":
        details.append({"@type": f"{_TYPES}ErrorInfo", "reason": refusal.code, **_DOMAIN})
    elif refusal.status == 400 and refusal.param is not None:
        violation = {"field": refusal.param, "description": refusal.message}
        details.append({"@type": f"{_TYPES}BadRequest", "fieldViolations": [violation]})
    hit = refusal.limit
    if hit is not None:
        violation = {
            "quotaMetric": f"generativelanguage.googleapis.com/{hit.name}",
            "quotaId": f"Generate{hit.name.capitalize()}PerMinutePerProjectPerModel",
            "quotaValue": str(hit.limit),
        }
        details.append({"@type": f"{_TYPES}QuotaFailure", "violations": [violation]})
    if refusal.status == 429:
        wait = hit.retry_after if hit is not None else _FAULT_RETRY_SECONDS
        if math.isfinite(wait):
            details.append({"@type": f"{_TYPES}RetryInfo", "retryDelay": duration(wait)})
    return details


def _limit_message(hit: LimitHit) -> str:
    return (
        "You exceeded your current quota, please check your plan and billing details.\n"
        f"* Quota exceeded for metric: generativelanguage.googleapis.com/{hit.name}, limit: {hit.limit}"
    )
