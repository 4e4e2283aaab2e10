"""The seam where an upstream's failures become ours: by table from status and code, never from a message's words."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from penstock.completion.encoding import loads
from penstock.errors import (
    ProviderContentRefused,
    ProviderError,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderStreamBroken,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnreachable,
)

#: (status, the vendor's code or type) → error, the most specific row first. A status of None is an error frame inside
#: a stream that began with 200; a word of None is any.
FailureTable = Mapping[tuple[int | None, str | None], type[ProviderError]]

FAILURES: FailureTable = {
    (400, "content_filter"): ProviderContentRefused,
    (400, "content_policy_violation"): ProviderContentRefused,
    (429, "insufficient_quota"): ProviderRejected,  # an empty account does not fill up by asking again
    (429, "billing_hard_limit_reached"): ProviderRejected,
    (401, None): ProviderUnauthorized,
    (403, None): ProviderUnauthorized,
    (408, None): ProviderTimeout,
    (409, None): ProviderOverloaded,
    (425, None): ProviderOverloaded,
    (429, None): ProviderRateLimited,
    (504, None): ProviderTimeout,
    (None, "content_filter"): ProviderContentRefused,
    (None, "content_policy_violation"): ProviderContentRefused,
    (None, "insufficient_quota"): ProviderRejected,
    (None, "billing_error"): ProviderRejected,
    (None, "authentication_error"): ProviderUnauthorized,
    (None, "invalid_api_key"): ProviderUnauthorized,
    (None, "permission_error"): ProviderUnauthorized,
    (None, "rate_limit_error"): ProviderRateLimited,
    (None, "rate_limit_exceeded"): ProviderRateLimited,
    (None, "timeout_error"): ProviderTimeout,
    (None, "overloaded_error"): ProviderOverloaded,
    (None, "api_error"): ProviderOverloaded,
    (None, "server_error"): ProviderOverloaded,
    (None, "invalid_request_error"): ProviderRejected,
    (None, "not_found_error"): ProviderRejected,
    (None, "request_too_large"): ProviderRejected,
    (None, None): ProviderStreamBroken,
}

#: how httpx's errors before an answer began are told; what is not here means that the connection broke
TRANSPORT: dict[type[Exception], type[ProviderError]] = {
    httpx.TimeoutException: ProviderTimeout,
    httpx.RemoteProtocolError: ProviderStreamBroken,
}

#: what reading an answer that is not in its format may raise
MALFORMED = (ValueError, TypeError, LookupError, AttributeError)

_MESSAGE_CHARACTERS = 2000


class ErrorFrame(Exception):
    """Raised by a reader that finds an error where an answer should be.

    `error` is the vendor's error object, or a `VendorError` where its form is not one that `VendorError.of` reads.
    """

    def __init__(self, error: Any) -> None:
        super().__init__("error frame")
        self.error = error


@dataclass(frozen=True, slots=True)
class VendorError:
    """What an error envelope says, in either vendor's form or any common variation of it."""

    message: str | None = None
    type: str | None = None
    code: str | None = None
    param: str | None = None
    status: int | None = None
    #: seconds, where the vendor names them in the body
    retry_after: float | None = None

    @classmethod
    def of(cls, error: Any) -> "VendorError":
        """Read the error object; engines also send a bare string, a number as the code, or FastAPI's `detail`."""
        if not isinstance(error, dict):
            return cls(message=error if isinstance(error, str) else None)
        code = error.get("code")
        message = _text(error.get("message")) or _text(error.get("detail"))
        return cls(
            message=message[:_MESSAGE_CHARACTERS] if message else None,
            type=_text(error.get("type")),
            code=_text(code),
            param=_text(error.get("param")),
            status=code if isinstance(code, int) and 400 <= code <= 599 else None,
        )

    @classmethod
    def of_body(cls, body: bytes) -> "VendorError":
        """Read the body of an answer that is not a success."""
        try:
            value = loads(body)
        except ValueError:
            text = body.decode("utf-8", "replace").strip()
            return cls(message=None if text.startswith("<") else text[:200] or None)
        return cls.of(value.get("error") or value if isinstance(value, dict) else value)


class Failures:
    """Makes the errors of one provider.

    `secrets` are cut out of whatever the provider says; `table` is the vendor's own, and goes before `FAILURES`.
    """

    def __init__(self, provider: str, secrets: tuple[str, ...] = (), table: FailureTable | None = None) -> None:
        self._provider = provider
        self._secrets = secrets
        self._table = {**FAILURES, **(table or {})}

    def refused(self, status: int, headers: Mapping[str, str], told: VendorError) -> ProviderError:
        """For an answer whose status is not a success."""
        wait = retry_after(headers)
        return self._vendor(status, told, told.retry_after if wait is None else wait)

    def frame(self, error: Any) -> ProviderError:
        """For an error object inside an answer that began as a success."""
        told = error if isinstance(error, VendorError) else VendorError.of(error)
        return self._vendor(told.status, told, told.retry_after)

    def unreached(self, error: Exception) -> ProviderError:
        """For a connection that failed before the answer began."""
        made = next((ours for theirs, ours in TRANSPORT.items() if isinstance(error, theirs)), ProviderUnreachable)
        what = "could not be connected in time" if made is ProviderTimeout else "could not be reached"
        return made(f"The provider `{self._provider}` {what}: {self._scrub(str(error)) or type(error).__name__}")

    def broken(self, why: str) -> ProviderStreamBroken:
        """For an answer that stopped half-way or is not in its format."""
        return ProviderStreamBroken(f"The answer of the provider `{self._provider}` is broken: {self._scrub(why)}")

    def late(self, what: str, seconds: float) -> ProviderTimeout:
        """For a time limit of ours; `what` says which."""
        return ProviderTimeout(f"The provider `{self._provider}` took too long: {what} within {seconds:g} s")

    def _vendor(self, status: int | None, told: VendorError, wait: float | None) -> ProviderError:
        made = self._class(status, told)
        code, param = self._scrub(told.code or "") or None, self._scrub(told.param or "") or None
        said = self._scrub(told.message) if told.message else f"HTTP {status}" if status else "no reason given"
        if made is ProviderUnauthorized:
            # The vendor's words often quote a part of the key.
            return made(f"The provider `{self._provider}` refused our credentials.", code=code)
        if not issubclass(made, ProviderRejected):
            said = f"The provider `{self._provider}` failed: {said}"
        shown = status if status is not None and 400 <= status < 500 else None
        return made(said, status=shown, param=param, code=code, retry_after=wait)

    def _class(self, status: int | None, told: VendorError) -> type[ProviderError]:
        said = [word for word in (told.code, told.type) if word is not None]
        for word in (*said, None):
            if (status, word) in self._table:
                return self._table[status, word]
        if status is None or status < 400:
            return ProviderStreamBroken  # a redirect is no answer either
        return ProviderRejected if status < 500 else ProviderOverloaded

    def _scrub(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds to wait, from `retry-after-ms` or else `retry-after` (seconds or an HTTP date); None where none is named.

    `now` (Unix seconds) replaces the clock in tests.
    """
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        return wait / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    wait = _number(value)
    if wait is not None:
        return wait
    try:
        date = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, date - (time.time() if now is None else now))


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
