"""Reading what a provider says of its failure."""

import httpx
import pytest

from penstock.errors import (
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderStreamBroken,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnreachable,
)
from penstock.providers.failures import FAILURES, Failures, VendorError, retry_after

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "later"}, None),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:07 GMT"}, 7),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0),
        ({"retry-after": "Fri, 99 Jan 2027 07:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx.Headers(headers), NOW) == seconds


@pytest.mark.parametrize(
    ("body", "message", "code", "param"),
    [
        (b'{"error":{"message":"m","type":"t","param":"n","code":"c"}}', "m", "c", "n"),
        (b'{"type":"error","error":{"type":"t","message":"m"}}', "m", None, None),
        (b'{"object":"error","message":"m","type":"BadRequestError","code":400}', "m", None, None),
        (b'{"error":"m"}', "m", None, None),
        (b'{"detail":"m"}', "m", None, None),
        (b'{"detail":[{"loc":["body"]}]}', "HTTP 400", None, None),
        (b'{"error":{"message":null,"code":7}}', "HTTP 400", None, None),
        (b"m", "m", None, None),
        (b'"m"', "m", None, None),
        (b"", "HTTP 400", None, None),
        (b"<html>m</html>", "HTTP 400", None, None),
        (b"\xff\xfe", "\ufffd\ufffd", None, None),
    ],
)
def test_envelopes(body: bytes, message: str, code: str | None, param: str | None) -> None:
    error = Failures("p").refused(400, {}, VendorError.of_body(body))
    assert type(error) is ProviderRejected
    assert (error.message, error.code, error.param, error.status) == (message, code, param, 400)


def test_a_status_counts_more_than_a_type() -> None:
    """`invalid_request_error` is what OpenAI calls nearly everything, a wrong key included."""
    body = b'{"error":{"message":"m","type":"invalid_request_error","code":"invalid_api_key"}}'
    assert type(Failures("p").refused(401, {}, VendorError.of_body(body))) is ProviderUnauthorized
    body = b'{"error":{"message":"m","type":"rate_limit_error"}}'
    assert type(Failures("p").refused(500, {}, VendorError.of_body(body))) is ProviderOverloaded


def test_an_empty_account_is_told_by_code_or_type() -> None:
    for field in ("code", "type"):
        body = b'{"error":{"message":"m","%s":"insufficient_quota"}}' % field.encode()
        error = Failures("p").refused(429, {"retry-after": "1"}, VendorError.of_body(body))
        assert type(error) is ProviderRejected
        assert (error.status, error.retryable) == (429, False)


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        ({"code": 429, "message": "m"}, ProviderRateLimited),
        ({"code": 400, "message": "m"}, ProviderRejected),
        ({"code": 502, "message": "m"}, ProviderOverloaded),
        ({"code": "rate_limit_exceeded", "type": "tokens"}, ProviderRateLimited),
        ({"type": "timeout_error"}, ProviderTimeout),
        ("m", ProviderStreamBroken),
        (None, ProviderStreamBroken),
    ],
)
def test_frames(frame: object, error: type) -> None:
    assert type(Failures("p").frame(frame)) is error


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (httpx.ConnectTimeout("t"), ProviderTimeout),
        (httpx.ConnectError("t"), ProviderUnreachable),
        (httpx.ReadError("t"), ProviderUnreachable),
        (httpx.RemoteProtocolError("t"), ProviderStreamBroken),
        (httpx.UnsupportedProtocol("t"), ProviderUnreachable),
    ],
)
def test_transport(theirs: Exception, ours: type) -> None:
    error = Failures("p").unreached(theirs)
    assert type(error) is ours
    assert "`p`" in error.message


def test_secrets_are_cut_out_everywhere() -> None:
    failures = Failures("p", ("hush-hush",))
    said = "x hush-hush y"
    made = [
        failures.refused(400, {}, VendorError.of_body(said.encode())),
        failures.refused(500, {}, VendorError.of_body(said.encode())),
        failures.frame(said),
        failures.frame({"message": said}),
        failures.unreached(httpx.ConnectError(said)),
        failures.broken(said),
    ]
    assert [error.message for error in made if "hush" in error.message] == []


def test_a_long_message_is_cut() -> None:
    told = VendorError.of_body(b'{"error":{"message":"%s"}}' % (b"x" * 9000))
    assert len(Failures("p").refused(400, {}, told).message) == 2000


def test_every_row_of_the_table_is_reached() -> None:
    """A row that another one hides would be a promise nobody keeps."""
    for (status, word), error in FAILURES.items():
        body = {"message": "m", "code": word}
        made = Failures("p").frame(body) if status is None else _refused(status, word)
        assert type(made) is error, (status, word)


def _refused(status: int, word: str | None) -> object:
    code = b'"%s"' % word.encode() if word else b"null"
    return Failures("p").refused(status, {}, VendorError.of_body(b'{"error":{"message":"m","code":%s}}' % code))
