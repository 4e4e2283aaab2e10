"""The one place where HTTP clients are made: httpx on the aiohttp transport.

httpx's own connection pool costs milliseconds of CPU per call with hundreds of connections in use; on aiohttp's
connector a call costs half a millisecond at any number.
"""

import logging
import socket
import ssl
from collections.abc import Callable
from functools import cache

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from httpx_aiohttp import AiohttpTransport

#: connections a client may hold at once, to all hosts together, when the caller does not say
CONNECTIONS = 128
#: a little less than the 5 s after which common servers close an idle connection: one that is closed at the moment it
#: is used again breaks a call that nobody may repeat unasked
KEEPALIVE_SECONDS = 4.5

#: why nothing may be sent to an address, None if it may
Refusal = Callable[[str], str | None]


class AddressRefused(httpx.ConnectError):
    """Raised when a client that judges addresses may not connect to one of its host's; nothing was sent."""


def make_client(
    timeout: float | None = None, *, connections: int = CONNECTIONS, refusal: Refusal | None = None
) -> httpx.AsyncClient:
    """A client with at most `connections` connections; further calls wait for a free one.

    `timeout` is in seconds and limits connecting and each wait for bytes; None leaves time to the caller. Redirects are
    not followed, cookies not kept, and neither proxies nor credentials are taken from the environment. It is bound to
    the event loop on which it is first used; close it with `aclose`.

    With `refusal`, a host is resolved anew for every connection, every address it has is judged, and so is the one that
    is connected to, at the moment of connecting: a name that changes its mind in between gains nothing.

    Errors come as `httpx.TransportError`: `ConnectError` and `ConnectTimeout` mean that there was no connection, and
    `AddressRefused` that there must not be one.
    """
    # It reports every call at INFO, address included; whoever calls reports in the terms of the job.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    transport = _Transport(
        verify=_tls(),
        limits=httpx.Limits(max_connections=connections, keepalive_expiry=KEEPALIVE_SECONDS),
        client=lambda: _session(connections, refusal),
    )
    return _Client(transport=transport, timeout=timeout, trust_env=False)


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        """Keep nothing: tenants share connections to a provider, and looking costs a sixth of a call's CPU."""


class _Client(httpx.AsyncClient):
    cookies = _NoCookies()  # type: ignore[override]


class _Transport(AiohttpTransport):
    """The transport with the failures of a request told apart.

    Its own table turns every lost connection into a connect timeout and leaves answers that are not HTTP untranslated.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            reason = _refused(error)
            if reason is not None:
                raise AddressRefused(reason) from error
            if isinstance(error, httpx.ConnectError):
                raise
            cause = error.__cause__
            if isinstance(cause, aiohttp.ServerTimeoutError):
                raise
            raise httpx.ReadError(str(error)) from cause
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError(f"the answer is not HTTP ({type(error).__name__})") from error


class _Refused(OSError):
    """Carries a refusal through the connector, which wraps what the system raises."""


class _JudgingResolver(AbstractResolver):
    """The system's resolver; one address that is refused makes the whole name refused."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            reason = self._refusal(result["host"])
            if reason is not None:
                raise _Refused(reason)
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _refused(error: BaseException) -> str | None:
    """The reason, when a refusal is what an error came from."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, _Refused):
            return str(cause)
        cause = cause.__cause__
    return None


def _session(connections: int, refusal: Refusal | None) -> aiohttp.ClientSession:
    connector = _connector(connections, refusal)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _connector(connections: int, refusal: Refusal | None) -> aiohttp.TCPConnector:
    if refusal is None:
        return aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEPALIVE_SECONDS, ssl=_tls())

    def judged_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        """The last gate: also for a host that is written as an address, which no resolver sees."""
        family, kind, protocol, _, address = info
        reason = refusal(str(address[0]))
        if reason is not None:
            raise _Refused(reason)
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(
        limit=connections,
        keepalive_timeout=KEEPALIVE_SECONDS,
        ssl=_tls(),
        resolver=_JudgingResolver(refusal),
        use_dns_cache=False,
        socket_factory=judged_socket,
    )


@cache
def _tls() -> ssl.SSLContext:
    """Shared by all clients: loading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()
