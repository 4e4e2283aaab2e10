"""What all wire formats have in common: one POST, a plain answer or a stream of events, time limits, errors.

A wire format is a subclass of `WireProvider` that says where to post, how to authenticate, and how bodies are written
and read. Everything it may override is listed there; nothing of it does I/O.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, ClassVar, Protocol, TypeVar

import httpx
import orjson

from penstock.completion import (
    CompletionEvent,
    CompletionRequest,
    CompletionResult,
    EmbeddingRequest,
    EmbeddingResult,
    Finished,
    ResultBuilder,
)
from penstock.completion.encoding import dumps
from penstock.configuration import ProviderConfig, Timeouts
from penstock.errors import ConfigError, InvalidRequest, ProviderError
from penstock.providers.base import OnHeaders, Provider
from penstock.providers.failures import MALFORMED, ErrorFrame, Failures, FailureTable, VendorError
from penstock.providers.framing import Decoder, WireEvent
from penstock.providers.seals import marked_event, marked_result, unmarked
from penstock.providers.sse import SSEDecoder
from penstock.providers.stops import stopped

T = TypeVar("T")

_USER_AGENT = "penstock"
#: a refusal is read this far
_REFUSAL_BYTES = 65_536
#: after the last event the connection's end is waited for this long: only then can the connection be used again
_DRAIN_SECONDS = 0.25


class StreamReader(Protocol):
    """Turns one stream's events into ours. It may raise what `MALFORMED` names, or `ErrorFrame`."""

    #: the format's own end mark was read
    ended: bool

    def read(self, event: WireEvent) -> Iterator[CompletionEvent]:
        """The parts and deltas in one event."""
        ...

    def finish(self) -> Finished:
        """The end; `ValueError` when the answer is not whole."""
        ...


class WireProvider(Provider):
    """A provider behind HTTP.

    `max_output` holds the most tokens an upstream model can answer with, where that is known.

    Time limits (`Timeouts`, seconds): a plain call may take `total`; of a stream, `first_chunk` runs until its first
    completion event, then `between_chunks` runs anew with every byte, heartbeats included.

    Raises:
        ConfigError: the base URL is not one.
    """

    #: what the vendor's statuses and codes mean where the common table does not say, or says otherwise
    failures: ClassVar[FailureTable] = {}
    #: the media type of its streams
    stream_type: ClassVar[str] = "text/event-stream"
    #: whose seals its answers carry, one of `seals.MARKS`; None for a format without any
    seal_mark: ClassVar[str | None] = None

    def __init__(
        self,
        name: str,
        config: ProviderConfig,
        client: httpx.AsyncClient,
        *,
        max_output: Mapping[str, int] | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self._client = client
        self._timeouts = config.timeouts
        self._max_output = max_output or {}
        key = config.api_key.get_secret_value() if config.api_key else ""
        # Short values are no secrets, and cutting them out would only garble messages.
        secrets = [value for value in config.secrets() if len(value) >= 8]
        self._failures = Failures(name, tuple(secrets), self.failures)
        try:
            base = httpx.URL(config.base_url)
        except httpx.InvalidURL as error:
            raise ConfigError(f"providers.{name}.base_url: {error}") from error
        self.host = base.host
        self._urls: dict[str, httpx.URL] = {}
        common = {"user-agent": _USER_AGENT, "content-type": "application/json", **self._credentials(key)}
        # httpx adds the host at the end of every request's headers unless it is there.
        common |= {"host": base.netloc.decode("ascii")} | {k.lower(): v for k, v in config.headers.items()}
        self._plain_headers = httpx.Headers(common | {"accept": "application/json", "accept-encoding": "gzip, deflate"})
        # A compressed stream may sit in somebody's buffer until a block is full.
        self._stream_headers = httpx.Headers(
            common | {"accept": self.stream_type, "accept-encoding": "identity", "cache-control": "no-cache"}
        )
        # How long the rest may take is measured here: the transport knows one limit for every wait.
        limits = {"connect": config.timeouts.connect, "read": None, "write": None, "pool": None}
        self._extensions = {"timeout": limits}

    async def complete(
        self, request: CompletionRequest, upstream_model: str, *, on_headers: OnHeaders | None = None
    ) -> CompletionResult:
        """See `Provider.complete`."""
        if self._finds_stop(request, upstream_model):
            builder = ResultBuilder()
            async with aclosing(self.stream(request, upstream_model, on_headers=on_headers)) as events:
                async for event in events:
                    builder.add(event)
            return builder.build()
        content = encode(self._body(self._bare(request), upstream_model, stream=False))
        body = await self._exchanged(self._path(upstream_model, stream=False), content, on_headers)
        return self._read_whole(body, request)

    async def embed(
        self, request: EmbeddingRequest, upstream_model: str, *, on_headers: OnHeaders | None = None
    ) -> EmbeddingResult:
        """See `Provider.embed`."""
        content = encode(self._embedding_body(request, upstream_model))
        body = await self._exchanged(self._embedding_path(upstream_model), content, on_headers)
        result = self._understood(lambda: self._embedding_answer(body, request).rounded())
        if len(result.vectors) != len(request.inputs):
            raise self._failures.broken(f"it has {len(result.vectors)} vectors for {len(request.inputs)} inputs")
        return result

    def stream(
        self, request: CompletionRequest, upstream_model: str, *, on_headers: OnHeaders | None = None
    ) -> AsyncGenerator[CompletionEvent, None]:
        """See `Provider.stream`."""
        if self._finds_stop(request, upstream_model):
            events = self._streamed(replace(request, stop=()), upstream_model, on_headers)
            return stopped(events, request)
        return self._streamed(request, upstream_model, on_headers)

    async def _streamed(
        self, request: CompletionRequest, upstream_model: str, on_headers: OnHeaders | None
    ) -> AsyncGenerator[CompletionEvent, None]:
        content = encode(self._body(self._bare(request), upstream_model, stream=True))
        clock = _StreamClock(self._timeouts, self._failures)
        path = self._path(upstream_model, stream=True)
        response = await clock.limit(self._send(path, content, self._stream_headers))
        async with aclosing(response):
            await clock.limit(self._check(response, on_headers))
            if response.headers.get("content-type", "").startswith("application/json"):
                # This server does not stream, or says in a 200 that it failed.
                body = await clock.limit(self._whole(response))
                result = self._read_whole(body, request)
                for part in result.events():
                    yield part
                yield Finished(result.finish_reasons, result.usage, result.stop_sequence)
                return
            reader, decoder = self._reader(request), self._decoder()
            async with aclosing(_chunks(response)) as chunks:
                while not reader.ended:
                    chunk = await clock.limit(self._next(chunks))
                    for event in self._events(decoder, reader, chunk):
                        clock.began = True
                        yield marked_event(event, self.seal_mark) if self.seal_mark else event
                    if chunk is None:
                        break
                finished = self._finished(reader)
                await _drain(chunks)
            yield finished

    async def close(self) -> None:
        """See `Provider.close`."""
        await self._client.aclose()

    # What a wire format says. Readers of answers may raise what `MALFORMED` names, or `ErrorFrame`.

    @abstractmethod
    def _path(self, upstream_model: str, *, stream: bool) -> str:
        """Where completions are posted: what follows the base URL, a query included."""

    @abstractmethod
    def _credentials(self, key: str) -> dict[str, str]:
        """The headers that say who asks, and others that never change; the key is empty for a provider without one."""

    def _signed(self, url: httpx.URL, headers: httpx.Headers, content: bytes) -> httpx.Headers:  # noqa: ARG002
        """The headers of one request, for formats that sign each."""
        return headers

    @abstractmethod
    def _body(self, request: CompletionRequest, upstream_model: str, *, stream: bool) -> dict[str, Any]:
        """The request in the wire format; `InvalidRequest` when it cannot be said there."""

    @abstractmethod
    def _answer(self, body: bytes, request: CompletionRequest) -> CompletionResult:
        """A plain answer."""

    def _decoder(self) -> Decoder:
        """The framing of a stream."""
        return SSEDecoder()

    @abstractmethod
    def _reader(self, request: CompletionRequest) -> StreamReader:
        """A reader for one stream."""

    def _refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> VendorError:  # noqa: ARG002
        """What an answer that is not a success says."""
        return VendorError.of_body(body)

    def _embedding_path(self, upstream_model: str) -> str:  # noqa: ARG002
        """As `_path`, for embeddings."""
        raise InvalidRequest("The model's provider has no embeddings.", param="model")

    def _embedding_body(self, request: EmbeddingRequest, upstream_model: str) -> dict[str, Any]:  # noqa: ARG002
        """As `_body`, for embeddings."""
        raise InvalidRequest("The model's provider has no embeddings.", param="model")

    def _embedding_answer(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResult:
        """As `_answer`, for embeddings."""
        raise NotImplementedError

    def _tells_stop(self, request: CompletionRequest, upstream_model: str) -> bool:  # noqa: ARG002
        """Whether the answer says which stop string ended it."""
        return False

    # How it is carried out.

    def _finds_stop(self, request: CompletionRequest, upstream_model: str) -> bool:
        """Whether stop strings are looked for here, because the caller wants to know more than the provider tells."""
        return bool(request.stop) and request.names_stop and not self._tells_stop(request, upstream_model)

    def _bare(self, request: CompletionRequest) -> CompletionRequest:
        return unmarked(request, self.seal_mark or "")

    def _read_whole(self, body: bytes, request: CompletionRequest) -> CompletionResult:
        result = self._understood(lambda: self._answer(body, request))
        return marked_result(result, self.seal_mark) if self.seal_mark else result

    async def _exchanged(self, path: str, content: bytes, on_headers: OnHeaders | None) -> bytes:
        """The whole body of a plain answer."""
        try:
            async with asyncio.timeout(self._timeouts.total):
                response = await self._send(path, content, self._plain_headers)
                async with aclosing(response):
                    await self._check(response, on_headers)
                    return await self._whole(response)
        except TimeoutError as error:
            raise self._failures.late("no whole answer", self._timeouts.total) from error

    async def _send(self, path: str, content: bytes, headers: httpx.Headers) -> httpx.Response:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self.config.base_url + path)
        headers = self._signed(url, headers, content)
        request = httpx.Request("POST", url, headers=headers, content=content, extensions=self._extensions)
        try:
            return await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._failures.unreached(error) from error

    async def _check(self, response: httpx.Response, on_headers: OnHeaders | None) -> None:
        if on_headers is not None:
            on_headers(response.status_code, response.headers)
        if response.is_success:
            return
        pieces: list[bytes] = []
        size = 0
        try:
            async with aclosing(_chunks(response)) as chunks:
                async for chunk in chunks:
                    pieces.append(chunk)
                    size += len(chunk)
                    if size > _REFUSAL_BYTES:
                        break
        except httpx.HTTPError as error:
            # The status was said; only the reason for it was cut.
            raise self._refused(response, b"".join(pieces)) from error
        raise self._refused(response, b"".join(pieces))

    def _refused(self, response: httpx.Response, body: bytes) -> ProviderError:
        told = self._refusal(response.status_code, response.headers, body)
        return self._failures.refused(response.status_code, response.headers, told)

    async def _whole(self, response: httpx.Response) -> bytes:
        try:
            async with aclosing(_chunks(response)) as chunks:
                return b"".join([chunk async for chunk in chunks])
        except httpx.HTTPError as error:
            raise self._failures.broken(f"it stopped half-way ({error})") from error

    def _understood(self, read: Callable[[], T]) -> T:
        try:
            return read()
        except ErrorFrame as frame:
            raise self._failures.frame(frame.error) from frame
        except MALFORMED as error:
            raise self._failures.broken(_reason(error)) from error

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            return await anext(chunks, None)
        except httpx.HTTPError as error:
            raise self._failures.broken(f"it stopped half-way ({error})") from error

    def _events(self, decoder: Decoder, reader: StreamReader, chunk: bytes | None) -> Iterator[CompletionEvent]:
        """The events in a chunk; of what is left over at the stream's end, where it is None."""
        try:
            if chunk is None:
                last = decoder.finish()
                if last is not None:
                    yield from reader.read(last)
                return
            for event in decoder.feed(chunk):
                yield from reader.read(event)
                if reader.ended:
                    return
        except ErrorFrame as frame:
            raise self._failures.frame(frame.error) from frame
        except MALFORMED as error:
            raise self._failures.broken(_reason(error)) from error

    def _finished(self, reader: StreamReader) -> Finished:
        try:
            return reader.finish()
        except MALFORMED as error:
            raise self._failures.broken(_reason(error)) from error


class _StreamClock:
    """The time limits of one stream: whichever comes first ends the wait, and the error says which it was."""

    def __init__(self, timeouts: Timeouts, failures: Failures) -> None:
        self._timeouts = timeouts
        self._failures = failures
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self.began = False

    async def limit(self, wait: Awaitable[T]) -> T:
        given = self._timeouts
        if self.began:
            at, what, seconds = self._loop.time() + given.between_chunks, "no further chunk", given.between_chunks
        else:
            at, what, seconds = self._start + given.first_chunk, "no first chunk", given.first_chunk
        if self._start + given.total < at:
            at, what, seconds = self._start + given.total, "no whole answer", given.total
        try:
            async with asyncio.timeout_at(at):
                return await wait
        except TimeoutError as error:
            raise self._failures.late(what, seconds) from error


def encode(body: dict[str, Any]) -> bytes:
    """A request body as JSON; what orjson refuses (half a surrogate pair, large integers) is written in ASCII."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError:
        return dumps(body)


def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    raw = response.headers.get("content-encoding", "identity") == "identity"
    # httpx declares iterators; what it makes are generators
    return response.aiter_raw() if raw else response.aiter_bytes()  # type: ignore[return-value]


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read to the end of an answer whose last event was read, so that its connection can serve the next call."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                continue
    except (TimeoutError, httpx.HTTPError):
        return  # the answer is whole; the connection is closed instead


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError) and str(error):
        return str(error)
    return f"it is not in the provider's format ({type(error).__name__})"
