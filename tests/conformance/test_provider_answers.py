"""What every adapter makes of a good answer, plain or streamed."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from conformance.upstream import Upstream, head, never, whole
from conformance.wires.wire import MANY, TEXT, Wire, ask, streaming, unmarked

from penstock.completion import CompletionEvent, CompletionResult, Finished, PartDelta, PartStarted, ResultBuilder
from penstock.providers.base import Provider

Connect = Callable[..., Provider]


async def streamed(provider: Provider, **fields: Any) -> list[CompletionEvent]:
    return [event async for event in provider.stream(ask(**fields), "served")]


def folded(events: list[CompletionEvent]) -> CompletionResult:
    builder = ResultBuilder()
    for event in events:
        builder.add(event)
    assert builder.finished
    return builder.build()


def said(result: CompletionResult) -> list[tuple[str, str, str | None, str | None]]:
    return [(part.kind, part.text, part.id, part.name) for part in result.parts]


async def test_a_plain_text(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    upstream.answers = [whole(wire.plain(TEXT))]
    result = await provider.complete(ask(), "served")
    assert (result.text, result.finish_reasons, result.usage) == ("Hello there", ("stop",), wire.usage)
    assert result.upstream_model == wire.model
    assert list(result.events()) == [PartStarted(0, "text"), PartDelta(0, "Hello there")]


async def test_a_streamed_text_is_the_plain_one_in_pieces(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    upstream.answers = [streaming(wire, *wire.events(TEXT))]
    events = await streamed(provider)
    assert events[0] == PartStarted(0, "text")
    assert [event.text for event in events if isinstance(event, PartDelta)] == ["Hel", "lo ", "the", "re"]
    assert events[-1] == Finished(("stop",), wire.usage)


async def test_every_kind_of_part(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    """Reasoning, text that line iterators would cut, and parallel calls, one of them without arguments."""
    reason = wire.tool_reason
    upstream.answers = [whole(wire.plain(MANY, reason)), streaming(wire, *wire.events(MANY, reason))]
    plain = await provider.complete(ask(), "served")
    live = folded(await streamed(provider))
    assert said(plain) == said(live) == wire.heard(MANY)
    assert plain.finish_reasons == live.finish_reasons == ("tool_calls",)
    assert plain.usage == live.usage == wire.usage


async def test_a_stream_cut_into_single_bytes(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    body = b"".join(wire.events(MANY))
    upstream.answers = [streaming(wire, *(body[at : at + 1] for at in range(len(body))))]
    assert said(folded(await streamed(provider))) == wire.heard(MANY)


@pytest.mark.parametrize("newline", [b"\r", b"\r\n"])
async def test_every_line_ending(wire: Wire, upstream: Upstream, provider: Provider, newline: bytes) -> None:
    if not wire.lines:
        pytest.skip("this format has none")
    upstream.answers = [streaming(wire, b"".join(wire.events(MANY)).replace(b"\n", newline))]
    assert said(folded(await streamed(provider))) == wire.heard(MANY)


async def test_finish_reasons(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    for theirs, ours in wire.reasons.items():
        upstream.answers = [whole(wire.plain(TEXT, theirs))]
        assert (await provider.complete(ask(), "served")).finish_reasons == (ours,)
        upstream.answers = [streaming(wire, *wire.events(TEXT, theirs))]
        assert folded(await streamed(provider)).finish_reasons == (ours,)


async def test_the_stop_string_that_matched(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    if wire.stop_string is None:
        pytest.skip("this format does not tell")
    reason, fields = wire.stop_string
    upstream.answers = [
        whole(wire.plain(TEXT, reason, **fields)),
        streaming(wire, *wire.events(TEXT, reason, **fields)),
    ]
    plain = await provider.complete(ask(stop=("END",)), "served")
    live = folded(await streamed(provider, stop=("END",)))
    assert (plain.finish_reasons, plain.stop_sequence) == (("stop_sequence",), "END")
    assert (live.finish_reasons, live.stop_sequence) == (("stop_sequence",), "END")


async def test_a_stop_string_is_found_here_where_the_format_does_not_tell(
    wire: Wire, upstream: Upstream, connect: Connect
) -> None:
    """The stream is closed there: the server says nothing more, and nobody waits for it."""
    if wire.format == "anthropic":
        pytest.skip("this format tells")
    events = wire.events(TEXT)
    heard = next(place for place, event in enumerate(events) if b'"the"' in event)
    upstream.answers = [streaming(wire, *events[: heard + 1], then=never)]
    provider = connect(between_chunks=20)
    wanted = {"stop": ("END", "lo th"), "names_stop": True}
    for result in (await provider.complete(ask(**wanted), "served"), folded(await streamed(provider, **wanted))):
        assert (result.text, result.finish_reasons, result.stop_sequence) == ("Hel", ("stop_sequence",), "lo th")
        assert result.usage.output_tokens > 0
    assert all("END" not in json.dumps(request.body) for request in upstream.requests)


async def test_a_stream_may_end_without_its_end_mark(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    if not wire.end_mark:
        pytest.skip("this format has none")
    upstream.answers = [streaming(wire, *unmarked(wire))]
    assert folded(await streamed(provider)).text == "Hello there"


async def test_a_last_event_without_its_blank_line(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    if not wire.lines:
        pytest.skip("this format has none")
    body = b"".join(wire.events(TEXT))
    upstream.answers = [streaming(wire, body.rstrip(b"\n"))]
    assert folded(await streamed(provider)).usage == wire.usage


async def test_heartbeats_say_nothing(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    if wire.heartbeat is None:
        pytest.skip("this format has none")
    calm = wire.events(TEXT)
    beaten = [piece for event in calm for piece in (wire.heartbeat, event)]
    upstream.answers = [streaming(wire, *calm), streaming(wire, *beaten)]
    assert await streamed(provider) == await streamed(provider)


async def test_an_empty_answer_is_an_answer(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    upstream.answers = [whole(wire.plain([])), streaming(wire, *wire.events([]))]
    assert (await provider.complete(ask(), "served")).parts == ()
    assert folded(await streamed(provider)).parts == ()


async def test_a_server_that_does_not_stream(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    upstream.answers = [whole(wire.plain(TEXT))]
    assert folded(await streamed(provider)).text == "Hello there"


async def test_a_compressed_answer(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    body = gzip.compress(json.dumps(wire.plain(MANY)).encode())
    upstream.answers = [whole(body, content_encoding="gzip")]
    assert said(await provider.complete(ask(), "served")) == wire.heard(MANY)


async def test_what_is_sent(wire: Wire, upstream: Upstream, connect: Connect) -> None:
    """Path, credentials and the operator's own headers; the same for a plain call and a stream."""
    provider = connect(headers={"X-Team": "dam"})
    upstream.answers = [whole(wire.plain(TEXT)), streaming(wire, *wire.events(TEXT))]
    await provider.complete(ask(), "served")
    await streamed(provider)
    plain, live = upstream.requests
    for request in (plain, live):
        assert request.headers.items() >= ({**wire.credentials} | {"x-team": "dam"}).items()
        assert request.headers["host"] == f"127.0.0.1:{upstream.port}"
        assert "served" in json.dumps(request.body) + request.path
    assert (plain.path, live.path) == (wire.path, wire.stream_path)
    assert (plain.headers["accept"], live.headers["accept"]) == ("application/json", wire.stream_type)


async def test_connections_are_used_again(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    """After a plain answer, a stream with and without an end mark, and a refusal."""
    upstream.answers = [
        streaming(wire, *wire.events(TEXT)),
        streaming(wire, *unmarked(wire)),
        whole(wire.plain(TEXT)),
        whole(wire.error("invalid_request_error", "no"), 400),
        whole(wire.plain(TEXT)),
    ]
    await streamed(provider)
    await streamed(provider)
    await provider.complete(ask(), "served")
    with pytest.raises(Exception, match="no"):
        await provider.complete(ask(), "served")
    await provider.complete(ask(), "served")
    assert (len(upstream.requests), upstream.connections) == (5, 1)


async def test_the_end_is_told_though_the_connection_stays_open(
    wire: Wire, upstream: Upstream, provider: Provider
) -> None:
    if wire.ends_with_connection:
        pytest.skip("this format says it in no other way")

    async def stay(exchange: Any) -> None:
        await exchange.gone()

    upstream.answers = [streaming(wire, *wire.events(TEXT), then=stay)]
    assert folded(await streamed(provider)).text == "Hello there"


async def test_headers_are_told_at_every_answer(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    told: list[tuple[int, str | None]] = []

    def on_headers(status: int, headers: Any) -> None:
        told.append((status, headers.get("X-RateLimit-Remaining-Requests")))

    upstream.answers = [
        whole(wire.plain(TEXT), x_ratelimit_remaining_requests="3"),
        streaming(wire, *wire.events(TEXT), x_ratelimit_remaining_requests="2"),
        whole(wire.error("rate_limit_error", "slow down"), 429, x_ratelimit_remaining_requests="0"),
    ]
    await provider.complete(ask(), "served", on_headers=on_headers)
    assert [event async for event in provider.stream(ask(), "served", on_headers=on_headers)]
    with pytest.raises(Exception, match="slow down"):
        await provider.complete(ask(), "served", on_headers=on_headers)
    assert told == [(200, "3"), (200, "2"), (429, "0")]


async def test_a_base_url_with_and_without_its_version(wire: Wire, upstream: Upstream, connect: Connect) -> None:
    """Anthropic's has none, but many write one; OpenAI's always has its own."""
    upstream.answers = [whole(wire.plain(TEXT))]
    for written, expected in wire.bases.items():
        await connect(base_url=upstream.url + written).complete(ask(), "served")
        assert upstream.requests[-1].path == expected


async def test_informational_heads_are_passed_over(wire: Wire, upstream: Upstream, provider: Provider) -> None:
    async def answer(exchange: Any) -> None:
        await exchange.send(head({}, 103))
        await whole(wire.plain(TEXT))(exchange)

    upstream.answers = [answer]
    assert (await provider.complete(ask(), "served")).text == "Hello there"
