"""The one place where HTTP clients are made: httpx on the aiohttp transport.

httpx's own connection pool costs milliseconds of CPU per call with hundreds of connections in use; on aiohttp's
connector a call costs half a millisecond at any number.
"""

import logging
import ssl
from functools import cache

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

#: connections a client may hold at once, to all hosts together, when the caller does not say
CONNECTIONS = 128
#: a little less than the 5 s after which common servers close an idle connection: one that is closed at the moment it
#: is used again breaks a call that nobody may repeat unasked
KEEPALIVE_SECONDS = 4.5


def make_client(timeout: float | None = None, *, connections: int = CONNECTIONS) -> httpx.AsyncClient:
    """A client with at most `connections` connections; further calls wait for a free one.

    `timeout` is in seconds and limits connecting and each wait for bytes; None leaves time to the caller. Redirects are
    not followed, cookies not kept, and neither proxies nor credentials are taken from the environment. It is bound to
    the event loop on which it is first used; close it with `aclose`.

    Errors come as `httpx.TransportError`: `ConnectError` and `ConnectTimeout` mean that there was no connection.
    """
    # It reports every call at INFO, address included; whoever calls reports in the terms of the job.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    transport = _Transport(
        verify=_tls(),
        limits=httpx.Limits(max_connections=connections, keepalive_expiry=KEEPALIVE_SECONDS),
        client=lambda: _session(connections),
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
        except httpx.ConnectTimeout as error:
            cause = error.__cause__
            if isinstance(cause, aiohttp.ServerTimeoutError):
                raise
            raise httpx.ReadError(str(error)) from cause
        except aiohttp.ClientError as error:
            raise httpx.RemoteProtocolError(f"the answer is not HTTP ({type(error).__name__})") from error


def _session(connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEPALIVE_SECONDS, ssl=_tls())
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


@cache
def _tls() -> ssl.SSLContext:
    """Shared by all clients: loading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()
