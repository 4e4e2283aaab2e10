"""The one tree of errors.

    PenstockError
    ├── ConfigError                what the operator wrote cannot be used
    ├── InvalidRequest  400        what the caller sent cannot be used
    │   ├── ModelNotFound  404
    │   ├── NoModelFits            no model of the route may serve it
    │   ├── ContextTooLong
    │   └── GuardBlocked           the operator's guard does not let it pass
    ├── Unauthorized  401
    ├── Forbidden  403
    ├── NotFound  404
    ├── Conflict  409
    ├── PayloadTooLarge  413
    ├── Unstorable                 a value that Postgres cannot hold
    ├── TierLimitExceeded  429     the caller's own tier has nothing left
    ├── AnswerBlocked  422         the operator's guard does not let the answer pass
    ├── Unavailable  503           a part of Penstock is away; ask again
    │   └── GuardUnavailable       a check of the guard has no verdict
    ├── JobCancelled               somebody asked for it
    ├── JobExpired                 its completion window closed
    ├── StreamLost                 its worker was lost after a part of its answer had been read
    └── ProviderError  502         an upstream call failed
        ├── ProviderRejected       the provider refused the request (its own 4xx is passed on)
        │   └── ProviderContentRefused   for its content
        ├── ProviderUnauthorized   our key at the provider is wrong
        ├── ProviderRateLimited    retryable, 429
        ├── ProviderCircuitOpen  503   not asked at all: it failed too often lately
        └── ProviderFault          retryable, counts against the breaker
            ├── ProviderOverloaded     5xx
            ├── ProviderUnreachable    no connection
            ├── ProviderTimeout
            └── ProviderStreamBroken   the answer stopped half-way or was not what the format says

Class attributes say what an error means for the work, nobody guesses from a message: `retryable` (the same call may
succeed later), `provider_fault` (it counts against the provider's circuit breaker) and `fallback_reason` (the word by
which a route says whether another model is asked then). Foreign errors are translated where they enter (one table per
adapter in `penstock/providers`), always with `raise … from`.
"""

from typing import Any, ClassVar

#: the route that is asked for by those who leave the choice to the configuration
AUTO = "auto"


class PenstockError(Exception):
    """The root. `status` is the HTTP status a caller sees, `param` the offending field, `code` for machines."""

    status: int = 500
    retryable: ClassVar[bool] = False
    provider_fault: ClassVar[bool] = False
    fallback_reason: ClassVar[str | None] = None
    code: str | None = None
    #: seconds after which asking again may help, where that is known
    retry_after: float | None = None
    #: asking again cannot help, although clients ask again after errors of this status
    hopeless: bool = False

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class ConfigError(PenstockError):
    """Raised when the configuration cannot be used; the message names the key."""


class InvalidRequest(PenstockError):
    """Raised when a request is malformed or asks for something impossible."""

    status = 400
    fallback_reason = "invalid_request"


class ModelNotFound(InvalidRequest):
    """Raised when no configured model has the name asked for."""

    status = 404
    code = "model_not_found"

    def __init__(self, model: str, *, param: str = "model") -> None:
        hint = " Define it under `routes:` in the configuration, or name a model." if model == AUTO else ""
        super().__init__(f"The model `{model}` does not exist or you do not have access to it.{hint}", param=param)


class NoModelFits(InvalidRequest):
    """Raised when no model of a route may serve a request; the message says why, for each."""

    code = "no_model_fits"


class ContextTooLong(InvalidRequest):
    """Raised when the prompt is estimated not to fit the model's context window."""

    code = "context_length_exceeded"


class GuardBlocked(InvalidRequest):
    """Raised when a check of the guard blocks a request. The message names check and kind, never what was found."""

    code = "guard_blocked"


class Unauthorized(PenstockError):
    """Raised when the API key is missing, wrong, revoked or expired. Never quotes the key."""

    status = 401
    code = "invalid_api_key"


class Forbidden(PenstockError):
    """Raised when the key is good but may not do this."""

    status = 403


class NotFound(PenstockError):
    """Raised when an object does not exist, or belongs to another tenant."""

    status = 404


class Conflict(PenstockError):
    """Raised when the request contradicts an earlier one (a reused Idempotency-Key)."""

    status = 409
    hopeless = True


class PayloadTooLarge(PenstockError):
    """Raised when a body or file is over its limit."""

    status = 413


class Unstorable(PenstockError):
    """Raised when a value cannot be stored (half a surrogate pair, a number out of range, too large)."""


class TierLimitExceeded(PenstockError):
    """Raised when a call with a client waiting finds nothing left of its tenant's tier; queued work waits instead."""

    status = 429
    retryable = True
    code = "rate_limit_exceeded"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(PenstockError):
    """Raised when a part of Penstock is away; the request was not taken and may be sent again."""

    status = 503
    retryable = True

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GuardUnavailable(Unavailable):
    """Raised when a check of the guard that must not be passed over could not be asked."""

    code = "guard_unavailable"


class AnswerBlocked(PenstockError):
    """Raised when a check of the guard blocks an answer; it was paid for. Says why, never what was found."""

    status = 422
    code = "guard_blocked_answer"


class JobCancelled(PenstockError):
    """Raised where a job's work stops because it was cancelled."""

    status = 499
    code = "cancelled"


class JobExpired(PenstockError):
    """Raised where a job's work stops because its completion window closed."""

    status = 504
    code = "expired"


class StreamLost(PenstockError):
    """The worker was lost after a part of the answer had been read: another answer must not be glued to it."""

    code = "stream_lost"

    def __init__(self) -> None:
        super().__init__("The worker of this response was lost after a part of its answer had been read. Ask again.")


class ProviderError(PenstockError):
    """The root of what can go wrong in an upstream call; `retry_after` is in seconds, when the provider named one."""

    status = 502

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, param=param, code=code)
        self.retry_after = retry_after
        if status is not None:
            self.status = status


class ProviderRejected(ProviderError):
    """Raised when the provider refuses the request itself; asking again would not help."""

    status = 400
    fallback_reason = "invalid_request"


class ProviderContentRefused(ProviderRejected):
    """Raised when the provider's content policy refuses the request; another provider's may not."""

    code = "content_policy_violation"
    fallback_reason = "content_policy"


class ProviderUnauthorized(ProviderError):
    """Raised when the provider refuses our credentials."""

    hopeless = True

    fallback_reason = "unauthorized"


class ProviderRateLimited(ProviderError):
    """Raised on a provider's 429."""

    status = 429
    retryable = True
    code = "rate_limit_exceeded"
    fallback_reason = "rate_limited"


class ProviderFault(ProviderError):
    """The root of what is the provider's own fault: it counts against its circuit breaker."""

    retryable = True
    provider_fault = True
    fallback_reason = "unavailable"


class ProviderOverloaded(ProviderFault):
    """Raised on a provider's 5xx."""


class ProviderCircuitOpen(ProviderError):
    """Raised when a deployment is not asked, because it failed too often lately (see `penstock.limits`)."""

    status = 503
    retryable = True
    fallback_reason = "unavailable"
    code = "provider_unavailable"


class ProviderUnreachable(ProviderFault):
    """Raised when no connection to the provider could be made, or it broke before the answer began."""


class ProviderTimeout(ProviderFault):
    """Raised when the provider did not answer, or stopped answering, in time."""

    status = 504


class ProviderStreamBroken(ProviderFault):
    """Raised when an answer stopped half-way, carried an error frame, or was not in the provider's own format."""


def error_to_json(error: PenstockError) -> dict[str, Any]:
    """The stored form of the error that ended a job."""
    return {
        "type": type(error).__name__,
        "message": error.message,
        "status": error.status,
        "param": error.param,
        "code": error.code,
        "retry_after": error.retry_after,
    }


_HOPELESS = {Conflict.__name__, ProviderUnauthorized.__name__}


def stored_error(value: dict[str, Any]) -> PenstockError:
    """An error of the stored form, to be raised again with all that a caller is told of it."""
    error = PenstockError(value["message"], param=value["param"], code=value["code"])
    error.status = value["status"]
    error.retry_after = value["retry_after"]
    error.hopeless = value["type"] in _HOPELESS
    return error
