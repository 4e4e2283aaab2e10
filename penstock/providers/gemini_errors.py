"""What Google's error envelope says: `google.rpc.Status` with its details.

Written from the vendor's error reference (ai.google.dev/gemini-api/docs/generate-content/api-errors) and the messages
of `google/rpc/error_details.proto`.
"""

import math
from dataclasses import replace
from typing import Any

from penstock.completion.encoding import loads
from penstock.errors import (
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnauthorized,
)
from penstock.providers.failures import FailureTable, VendorError

#: the vendor's word for an error is its `status`; `API_KEY_INVALID` is the reason given in its details
FAILURES: FailureTable = {
    (400, "API_KEY_INVALID"): ProviderUnauthorized,
    (499, None): ProviderOverloaded,  # it says that the caller hung up, and the caller did not
    (None, "API_KEY_INVALID"): ProviderUnauthorized,
    (None, "UNAUTHENTICATED"): ProviderUnauthorized,
    (None, "PERMISSION_DENIED"): ProviderUnauthorized,
    (None, "RESOURCE_EXHAUSTED"): ProviderRateLimited,
    (None, "UNAVAILABLE"): ProviderOverloaded,
    (None, "INTERNAL"): ProviderOverloaded,
    (None, "CANCELLED"): ProviderOverloaded,
    (None, "DEADLINE_EXCEEDED"): ProviderTimeout,
    (None, "INVALID_ARGUMENT"): ProviderRejected,
    (None, "FAILED_PRECONDITION"): ProviderRejected,
    (None, "NOT_FOUND"): ProviderRejected,
    # A finish reason that is the request's fault: asking again would end the same.
    (None, "MISSING_THOUGHT_SIGNATURE"): ProviderRejected,
}


def read_refusal(body: bytes) -> VendorError:
    """The body of an answer that is not a success; that of a stream may be a list which holds the error."""
    try:
        value = loads(body)
    except ValueError:
        return VendorError.of_body(body)
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, dict) and value.get("error"):
        return read_error(value["error"])
    return VendorError.of_body(body)


def read_error(error: Any) -> VendorError:
    """The error object: `code` is the reason that the details name, `type` the vendor's status, `param` the field."""
    told = VendorError.of(error)
    if not isinstance(error, dict):
        return told
    details = _details(error.get("details"))
    violations = details.get("BadRequest", {}).get("fieldViolations")
    first = violations[0] if isinstance(violations, list) and violations else None
    return replace(
        told,
        type=_text(error.get("status")),
        code=_text(details.get("ErrorInfo", {}).get("reason")),
        param=_text(first.get("field")) if isinstance(first, dict) else None,
        retry_after=seconds(details.get("RetryInfo", {}).get("retryDelay")),
    )


def seconds(duration: Any) -> float | None:
    """A duration as Protobuf writes it in JSON: decimal seconds and an `s`."""
    if not isinstance(duration, str) or not duration.endswith("s"):
        return None
    try:
        value = float(duration[:-1])
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _details(details: Any) -> dict[str, dict[str, Any]]:
    """The details by their type's last word: `type.googleapis.com/google.rpc.RetryInfo` is `RetryInfo`."""
    listed = details if isinstance(details, list) else []
    return {str(one.get("@type")).rpartition(".")[2]: one for one in listed if isinstance(one, dict)}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
