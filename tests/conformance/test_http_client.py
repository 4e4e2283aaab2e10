"""The one client factory."""

import asyncio

import httpx
import pytest
from conformance.upstream import Exchange, Upstream, whole

from penstock.http import make_client


async def test_no_cookie_is_kept(upstream: Upstream) -> None:
    """One client serves many tenants."""
    upstream.answers = [whole({}, set_cookie="session=1; Path=/")]
    async with make_client() as client:
        for _ in range(2):
            await client.post(upstream.url, json={})
    assert ["cookie" in request.headers for request in upstream.requests] == [False, False]


async def test_the_environment_names_no_proxy(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    upstream.answers = [whole({})]
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with make_client(timeout=5) as client:
        assert (await client.post(upstream.url, json={})).status_code == 200


async def test_redirects_are_not_followed(upstream: Upstream) -> None:
    upstream.answers = [whole({}, 302, location="/elsewhere")]
    async with make_client(timeout=5) as client:
        assert (await client.post(upstream.url, json={})).status_code == 302


async def test_calls_over_the_limit_wait_for_a_connection(upstream: Upstream) -> None:
    busy = asyncio.Semaphore(0)

    async def answer(exchange: Exchange) -> None:
        await busy.acquire()
        await whole({})(exchange)

    upstream.answers = [answer]
    async with make_client(connections=3) as client:
        calls = [asyncio.create_task(client.post(upstream.url, json={})) for _ in range(8)]
        while len(upstream.requests) < 3:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(upstream.requests) == 3
        for _ in calls:
            busy.release()
        assert [response.status_code for response in await asyncio.gather(*calls)] == [200] * 8
    assert upstream.connections == 3


async def test_more_connections_than_the_transports_own_hundred(upstream: Upstream) -> None:
    """Left to its default, the transport would halve a worker's speed without a word."""
    arrived = asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if len(upstream.requests) == 150:
            arrived.set()
        await arrived.wait()
        await whole({})(exchange)

    upstream.answers = [answer]
    async with make_client(connections=150) as client:
        calls = asyncio.gather(*(client.post(upstream.url, json={}) for _ in range(150)))
        assert len(await asyncio.wait_for(calls, 20)) == 150


async def test_a_lost_connection_is_no_connect_timeout(upstream: Upstream) -> None:
    async def hang_up(exchange: Exchange) -> None:
        exchange.writer.close()

    upstream.answers = [hang_up]
    async with make_client(timeout=5) as client:
        with pytest.raises(httpx.ReadError) as caught:
            await client.post(upstream.url, json={})
    assert type(caught.value.__cause__).__name__ == "ServerDisconnectedError"


async def test_a_connection_that_is_not_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose backlog is full answers nobody; the time limit of connecting ends it."""
    import socket

    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        async with make_client() as client:
            with pytest.raises(httpx.ConnectTimeout):
                await client.post(
                    f"http://127.0.0.1:{full.getsockname()[1]}", json={}, timeout=httpx.Timeout(None, connect=0.2)
                )
