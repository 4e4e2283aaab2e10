"""The two envelopes of errors, and what each status means."""

from api.schema.shapes import JSON, TEXT, Operation, Schema, given, kind, maybe, ref, words
from penstock.dialects.anthropic_errors import error_type

_STATUSES = (400, 401, 403, 404, 413, 429, 500, 503, 504)

SCHEMAS: dict[str, Schema] = {
    "OpenAIError": given(
        {
            "error": given(
                {
                    "message": TEXT,
                    "type": words("invalid_request_error", "rate_limit_error", "insufficient_quota", "server_error"),
                    "param": maybe(TEXT),
                    "code": maybe(TEXT),
                }
            )
        }
    ),
    "AnthropicError": given(
        {
            "type": kind("error"),
            "error": given(
                {"type": words(*dict.fromkeys((*map(error_type, _STATUSES), "billing_error"))), "message": TEXT},
                {"details": given({"error_code": TEXT})},
            ),
            "request_id": maybe(TEXT),
        }
    ),
}

_MEANINGS = {
    "400": "What was sent cannot be used; the message names the field.",
    "401": "There is no API key, or it is not good.",
    "403": "The key does not have the scope that this needs.",
    "404": "There is no such thing, or it is another tenant's.",
    "409": "The Idempotency-Key was used with another body, or there is such a thing already.",
    "413": "The body is too large.",
    "429": "A limit is reached; `retry-after` says when to ask again.",
    "4XX": "The provider refused the request, or the job was cancelled (499).",
    "502": "The provider failed.",
    "503": "A part of the service, or the provider, is away; ask again.",
    "504": "The provider did not answer in time.",
}
#: of a call that waits for a model
OF_A_MODEL = ("404", "429", "4XX", "502", "503", "504")


def responses(statuses: list[str], *envelopes: str) -> dict[str, Operation]:
    """The error responses of an operation, in one of these envelopes."""
    schemas = [ref(name) for name in envelopes]
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    return {status: {"description": _MEANINGS[status], "content": {JSON: {"schema": schema}}} for status in statuses}
