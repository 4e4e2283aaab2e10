"""Anthropic's wire format: routes, headers, error envelope, models."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from simulator import anthropic_messages
from simulator.limits import BucketState, LimitHit
from simulator.openai_fields import bearer
from simulator.prompt_cache import PromptCache
from simulator.refusal import RefusalError
from simulator.streaming import sse
from simulator.vendor import Endpoint

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_WORDS = {
    401: "invalid api key",
    403: "Your API key does not have permission to use the specified resource.",
    404: "Not found",
    429: "This request would exceed your rate limit. Please try again later.",
    504: "The request timed out.",
    529: "Overloaded",
}
_FAULT_RETRY_SECONDS = 1
_OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


def _error_frame(_: int) -> bytes:
    return sse(orjson.dumps(_OVERLOADED), "error")


class AnthropicWire:
    """See `simulator.vendor.Vendor`."""

    overload_status = 529

    def __init__(self) -> None:
        reply = partial(anthropic_messages.reply, cache=PromptCache())
        count = anthropic_messages.count_reply
        self.endpoints: tuple[Endpoint, ...] = (
            Endpoint("/v1/messages", anthropic_messages.read, reply, _error_frame),
            Endpoint("/v1/messages/count_tokens", anthropic_messages.read_count, count, metered=False),
        )

    def authorise(self, headers: Mapping[str, str], api_key: str) -> None:
        """The key comes as `x-api-key` or as a bearer token."""
        if api_key not in {headers.get("x-api-key"), bearer(headers)}:
            raise RefusalError(401, "invalid x-api-key")

    def headers(self, request_id: str, buckets: list[BucketState], milliseconds: int) -> dict[str, str]:  # noqa: ARG002 - this vendor does not tell its time
        """The request's id and what is left of the limits, with times of day."""
        result = {"request-id": f"req_{request_id}"}
        for bucket in buckets:
            full = datetime.now(UTC) + timedelta(seconds=bucket.reset)
            result[f"anthropic-ratelimit-{bucket.name}-limit"] = str(bucket.limit)
            result[f"anthropic-ratelimit-{bucket.name}-remaining"] = str(bucket.remaining)
            result[f"anthropic-ratelimit-{bucket.name}-reset"] = full.strftime("%Y-%m-%dT%H:%M:%SZ")
        return result

    def error(self, refusal: RefusalError, request_id: str, buckets: list[BucketState]) -> tuple[bytes, dict[str, str]]:
        """The envelope; a 429 says in whole seconds when to come back."""
        headers = self.headers(request_id, buckets, 0) | {"Content-Type": "application/json"}
        kind = _KINDS.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
        message = refusal.message
        hit = refusal.limit
        if hit is not None:
            message = _limit_message(hit)
            if math.isfinite(hit.retry_after):
                headers["retry-after"] = str(math.ceil(hit.retry_after))
        elif refusal.status == 429:
            headers["retry-after"] = str(_FAULT_RETRY_SECONDS)
        error = {"type": kind, "message": message}
        return orjson.dumps({"type": "error", "error": error, "request_id": f"req_{request_id}"}), headers

    def unknown_model(self, model: str) -> RefusalError:
        """404 `not_found_error`."""
        return RefusalError(404, f"model: {model}")

    def fault(self, status: int) -> RefusalError:
        """An error nobody is to blame for."""
        return RefusalError(status, _WORDS.get(status, "Internal server error" if status >= 500 else "Invalid request"))

    def models(self, names: tuple[str, ...]) -> dict[str, Any]:
        """One page with all models."""
        data = [self.model(name) for name in names]
        return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}

    def model(self, name: str) -> dict[str, Any]:
        """One entry of that page."""
        created = "2025-01-01T00:00:00Z"
        return {"type": "model", "id": name, "display_name": name, "created_at": created, "lifecycle": "active"}


def _limit_message(hit: LimitHit) -> str:
    if not math.isfinite(hit.retry_after):
        return f"This request alone exceeds your rate limit of {hit.limit} {hit.name} per minute."
    return f"This request would exceed your rate limit of {hit.limit} {hit.name} per minute. Please try again later."
