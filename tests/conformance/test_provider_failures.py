"""What every adapter makes of a failure: the class of error, and whose fault the caller is told it is."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from conformance.upstream import KEY, Answer, Exchange, Upstream, head, never, whole
from conformance.wires.wire import TEXT, Wire, ask, streaming

from penstock.completion import PartDelta
from penstock.errors import (
    ProviderError,
    ProviderOverloaded,
    ProviderRateLimited,
    ProviderRejected,
    ProviderStreamBroken,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnreachable,
)
from penstock.providers.base import Provider

Connect = Callable[..., Provider]


async def failed(provider: Provider) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.complete(ask(), "served")
    return caught.value


async def stream_failed(provider: Provider) -> tuple[str, ProviderError]:
    """The text before the failure, and the failure."""
    text = ""
    try:
        async for event in provider.stream(ask(), "served"):
            text += event.text if isinstance(event, PartDelta) else ""
    except ProviderError as error:
        return text, error
    pytest.fail("the stream did not fail")


@pytest.mark.parametrize(
    ("status", "kind", "error", "shown"),
    [
        (400, "invalid_request_error", ProviderRejected, 400),
        (401, "authentication_error", ProviderUnauthorized, 502),
        (402, "billing_error", ProviderRejected, 402),
        (403, "permission_error", ProviderUnauthorized, 502),
        (404, "not_found_error", ProviderRejected, 404),
        (408, "timeout_error", ProviderTimeout, 408),
        (409, "conflict", ProviderOverloaded, 409),
        (413, "request_too_large", ProviderRejected, 413),
        (422, "unprocessable", ProviderRejected, 422),
        (425, "too_early", ProviderOverloaded, 425),
        (429, "rate_limit_error", ProviderRateLimited, 429),
        (429, "insufficient_quota", ProviderRejected, 429),
        (500, "api_error", ProviderOverloaded, 502),
        (503, "server_error", ProviderOverloaded, 502),
        (504, "timeout_error", ProviderTimeout, 504),
        (529, "overloaded_error", ProviderOverloaded, 502),
    ],
)
async def test_refusals(
    wire: Wire, upstream: Upstream, provider: Provider, status: int, kind: str, error: type, shown: int
) -> None:
    """The same for a plain call and a stream."""
    if wire.untyped_error and kind == "insufficient_quota":
        pytest.skip("this format does not tell an empty account from a full minute")
    upstream.answers = [whole(wire.error(kind, "because"), status, retry_after="7")]
    for caught in (await failed(provider), (await stream_failed(provider))[1]):
        assert type(caught) is error
        assert (caught.status, caught.retry_after if caught.retryable else None) == (
            shown,
            7 if error.retryable else None,
        )


async def test_a_rejection_says_what_the_provider_said(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    upstream.answers = [whole(wire.error("invalid_request_error", "temperature: too high"), 400)]
    assert (await failed(provider)).message == "temperature: too high"


async def test_a_frozen_proxy_answers_in_html(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    upstream.answers = [whole(b"<html>" + b"x" * 1_000_000, 502, content_type="text/html")]
    caught = await failed(provider)
    assert type(caught) is ProviderOverloaded
    assert "HTTP 502" in caught.message
    assert len(caught.message) < 300


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
async def test_our_key_is_never_quoted(wire: Wire, upstream: Upstream, provider: Provider, status: int) -> None:
    upstream.answers = [whole(wire.error("invalid_request_error", f"Incorrect API key provided: {KEY}."), status)]
    assert KEY not in (await failed(provider)).message
    upstream.answers = [streaming(wire, wire.error_event("invalid_request_error", f"bad key {KEY}"))]
    assert KEY not in (await stream_failed(provider))[1].message


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded_error", ProviderOverloaded),
        ("rate_limit_error", ProviderRateLimited),
        ("api_error", ProviderOverloaded),
        ("invalid_request_error", ProviderRejected),
        ("something_new", ProviderStreamBroken),
    ],
)
async def test_an_error_inside_a_stream(
    wire: Wire, upstream: Upstream, provider: Provider, kind: str, error: type
) -> None:
    events = wire.events(TEXT)
    upstream.answers = [streaming(wire, *events[:-3], wire.error_event(kind, "it burst"), *events[-3:])]
    text, caught = await stream_failed(provider)
    assert type(caught) is (wire.untyped_error or error)
    assert "it burst" in caught.message
    assert text.startswith("Hel")


async def test_an_error_inside_a_plain_success(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    upstream.answers = [whole(wire.error("overloaded_error", "it burst"))]
    expected = wire.untyped_error or ProviderOverloaded
    assert type(await failed(provider)) is expected
    assert type((await stream_failed(provider))[1]) is expected


@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n"], ids=["connection lost", "clean end"])
async def test_a_stream_that_stops_half_way(wire: Wire, upstream: Upstream, provider: Provider, end: bytes) -> None:
    """A clean end of the connection is no end of the answer."""
    finish = next(at for at, event in enumerate(wire.events(TEXT)) if wire.ends in event)
    upstream.answers = [streaming(wire, *wire.events(TEXT)[:finish], end=end)]
    text, caught = await stream_failed(provider)
    assert text == "Hello there"
    assert type(caught) is ProviderStreamBroken


async def test_a_stream_cut_inside_an_event(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    body = b"".join(wire.events(TEXT)[:4])
    upstream.answers = [streaming(wire, body[:-9])]
    assert type((await stream_failed(provider))[1]) is ProviderStreamBroken


def reset(exchange: Exchange) -> None:
    """Close with RST: what the peer of a killed process sees."""
    linger = bytes([1, 0, 0, 0, 0, 0, 0, 0])
    exchange.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    exchange.writer.transport.abort()


async def test_a_connection_reset_in_the_answer(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.send(head({"content-type": "application/json", "content-length": "1000"}), b'{"a":')
        reset(exchange)

    async def then(exchange: Exchange) -> None:
        reset(exchange)

    upstream.answers = [half]
    caught = await failed(provider)
    assert type(caught) is ProviderStreamBroken
    assert caught.__cause__ is not None
    upstream.answers = [streaming(wire, *wire.events(TEXT)[:3], then=then)]
    assert type((await stream_failed(provider))[1]) is ProviderStreamBroken


async def test_a_connection_lost_before_the_answer(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    async def hang_up(exchange: Exchange) -> None:
        exchange.writer.close()

    async def reset_it(exchange: Exchange) -> None:
        reset(exchange)

    for answer in (hang_up, reset_it):
        upstream.answers = [answer]
        caught = await failed(provider)
        assert type(caught) is ProviderUnreachable
        assert caught.__cause__ is not None


async def test_nobody_listens(wire: Wire, connect: Connect) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        provider = connect(base_url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")
        caught = await failed(provider)
    assert type(caught) is ProviderUnreachable
    assert "`river`" in caught.message


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"[]", b"3", b"{}", b'{"choices":"x","content":7}', b'{"choices":[{}],"content":[{}]}', b"\xff"],
)
async def test_a_success_that_is_no_answer(wire: Wire, upstream: Upstream, provider: Provider, body: bytes) -> None:
    upstream.answers = [whole(body)]
    assert type(await failed(provider)) is ProviderStreamBroken
    upstream.answers = [streaming(wire, b"data: " + body + b"\n\n")]
    assert type((await stream_failed(provider))[1]) is ProviderStreamBroken


async def test_what_is_not_http(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
        exchange.writer.close()

    upstream.answers = [answer]
    assert type(await failed(provider)) is ProviderStreamBroken


async def test_a_redirect_is_not_followed(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    """Our key would go wherever it points."""
    upstream.answers = [whole(b"", 307, location=f"{upstream.url}/elsewhere")]
    assert type(await failed(provider)) is ProviderStreamBroken
    assert len(upstream.requests) == 1


async def silent(exchange: Exchange) -> None:
    await exchange.gone()


def beating(wire: Wire, times: int) -> Answer:
    async def beat(exchange: Exchange) -> None:
        for _ in range(times):
            await exchange.chunks(wire.heartbeat)
            await asyncio.sleep(0.05)
        await exchange.gone()

    return beat


async def test_time_limits_of_a_plain_call(wire: Wire, upstream: Upstream, connect: Connect) -> None:
    async def half(exchange: Exchange) -> None:
        await exchange.send(head({"content-length": "1000"}), b'{"a":')
        await exchange.gone()

    for answer in (never, half):
        upstream.answers = [answer]
        caught = await failed(connect(total=0.2, first_chunk=0.01, between_chunks=0.01))
        assert type(caught) is ProviderTimeout
        assert "no whole answer within 0.2 s" in caught.message


async def test_time_to_the_first_chunk(wire: Wire, upstream: Upstream, connect: Connect) -> None:
    """Neither a head nor heartbeats are a chunk."""
    opened = wire.events(TEXT)[:1]
    for answer in (never, streaming(wire, then=silent), streaming(wire, *opened, then=beating(wire, 40))):
        upstream.answers = [answer]
        _, caught = await stream_failed(connect(first_chunk=0.3))
        assert type(caught) is ProviderTimeout
        assert "no first chunk within 0.3 s" in caught.message


async def test_time_between_chunks(wire: Wire, upstream: Upstream, connect: Connect) -> None:
    upstream.answers = [streaming(wire, *wire.events(TEXT)[:4], then=silent)]
    text, caught = await stream_failed(connect(between_chunks=0.1))
    assert type(caught) is ProviderTimeout
    assert "no further chunk within 0.1 s" in caught.message
    assert text


async def test_heartbeats_between_chunks_prove_life(wire: Wire, upstream: Upstream, connect: Connect) -> None:
    """Some models think for minutes, and their provider says so: only the whole time ends such a stream."""
    if wire.heartbeat is None:
        pytest.skip("this format has none")
    upstream.answers = [streaming(wire, *wire.events(TEXT)[:4], then=beating(wire, 100))]
    _, caught = await stream_failed(connect(between_chunks=0.5, total=1.0))
    assert "no whole answer within 1 s" in caught.message


async def test_closing_a_stream_closes_its_connection(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    gone = asyncio.Event()

    async def then(exchange: Exchange) -> None:
        await exchange.gone()
        gone.set()

    upstream.answers = [streaming(wire, *wire.events(TEXT)[:4], then=then)]
    events = provider.stream(ask(), "served")
    await anext(events)
    await events.aclose()
    await asyncio.wait_for(gone.wait(), 5)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("begun", [False, True])
async def test_cancelling_a_call_closes_its_connection(
    wire: Wire, upstream: Upstream, provider: Provider, streamed: bool, begun: bool
) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def answer(exchange: Exchange) -> None:
        if begun:
            await exchange.send(head({"content-type": "text/event-stream", "content-length": "1000"}))
        arrived.set()
        await exchange.gone()
        gone.set()

    async def call() -> Any:
        if streamed:
            return [event async for event in provider.stream(ask(), "served")]
        return await provider.complete(ask(), "served")

    upstream.answers = [answer]
    task = asyncio.create_task(call())
    await asyncio.wait_for(arrived.wait(), 5)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(gone.wait(), 5)


async def test_an_early_refusal_of_a_long_request(wire: Wire, connect: Connect) -> None:
    """The server answers when it has read the head; what it says counts, not that the body was still on its way."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await whole(wire.error("request_too_large", "no"), 413)(Exchange("", {}, None, reader, writer))
        while await reader.read(65_536):
            continue
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        provider = connect(base_url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises(ProviderRejected) as caught:
            await provider.complete(ask(user="x" * 3_000_000), "served")
        await provider.close()
    assert caught.value.status == 413
