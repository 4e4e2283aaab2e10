"""A provider that costs next to nothing: one fixed answer on the OpenAI wire, after a fixed time.

    python -m load.cheap_provider --latency-ms 100

It runs in its own process and prints one line of JSON with its port. Every POST gets the same chat completion, GET
/stats says what came. It speaks as much HTTP/1.1 as a client of an LLM needs: connections are kept, requests may come
in pieces or several at once, bodies by length or in chunks. It ends when its standard input closes, so it cannot
outlive a bench.
"""

import argparse
import asyncio
import os
import sys
import time
from functools import partial
from typing import cast

import orjson
import uvloop

_HEAD_LIMIT = 65_536
_TEXT = (
    "She sold 48 / 2 = 24 clips in May. Altogether she sold 48 + 24 = 72 clips in April and May. "
    "The answer is 72, which is the sum of both months."
)
_ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "bench",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": _TEXT, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 80, "completion_tokens": 40, "total_tokens": 120},
}


class Stats:
    """What came so far."""

    def __init__(self) -> None:
        self.calls = 0
        self.in_flight = 0
        self.peak_in_flight = 0

    def take_json(self) -> bytes:
        """As GET /stats shows it; the peak is that since the last look, `cpu_seconds` that of the whole process."""
        peak, self.peak_in_flight = self.peak_in_flight, self.in_flight
        return orjson.dumps(
            {
                "calls": self.calls,
                "in_flight": self.in_flight,
                "peak_in_flight": peak,
                "cpu_seconds": time.process_time(),
            }
        )


class Malformed(Exception):
    """The bytes are no HTTP/1.1 request that this server understands."""


class Connection(asyncio.Protocol):
    """One client's connection. All answers wait equally long, so they leave in the order of the requests."""

    def __init__(self, stats: Stats, latency: float) -> None:
        self._stats = stats
        self._latency = latency
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — the protocol's signature
        self._transport = None

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        try:
            self._rest = data[self._take(data) :]
        except (Malformed, ValueError) as error:
            self._refuse(error)

    def _take(self, data: bytes) -> int:
        """Answer every request that is there as a whole; return where the rest begins."""
        start = 0
        while start < len(data):
            head_end = data.find(b"\r\n\r\n", start)
            if head_end < 0:
                if len(data) - start > _HEAD_LIMIT:
                    raise Malformed("the head of a request is too long")
                break
            head = data[start:head_end]
            body = head_end + 4
            end = _body_end(head, data, body)
            if end is None:
                self._continue(head, waiting=len(data) == body)
                break
            self._answer(head, data, body, end)
            start = end
        return start

    def _answer(self, head: bytes, data: bytes, body: int, end: int) -> None:
        """Count a request and answer it later."""
        if head.startswith(b"POST "):
            if data.find(b'"stream":true', body, end) >= 0 or data.find(b'"stream": true', body, end) >= 0:
                raise Malformed("this provider does not stream")
            stats = self._stats
            stats.calls += 1
            stats.in_flight += 1
            stats.peak_in_flight = max(stats.peak_in_flight, stats.in_flight)
            self._loop.call_later(self._latency, self._complete)
        elif head.startswith(b"GET /stats "):
            self._loop.call_later(self._latency, self._show)
        else:
            raise Malformed("only POST and GET /stats")

    def _complete(self) -> None:
        self._stats.in_flight -= 1
        if self._transport is not None:
            self._transport.write(_COMPLETION)

    def _show(self) -> None:
        if self._transport is not None:
            self._transport.write(_response(b"200 OK", self._stats.take_json()))

    def _continue(self, head: bytes, *, waiting: bool) -> None:
        """Answer `Expect: 100-continue`, at once, if the body has not begun."""
        if waiting and b"100-continue" in head and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, error: Exception) -> None:
        if self._transport is not None:
            body = orjson.dumps({"error": {"message": str(error), "type": "invalid_request_error"}})
            self._transport.write(_response(b"400 Bad Request", body, close=True))
            self._transport.close()


def _body_end(head: bytes, data: bytes, body: int) -> int | None:
    """Where a request ends; None: its body is not all there yet."""
    head = head.lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        line_end = head.find(b"\r\n", at + 17)
        length = int(head[at + 17 : line_end if line_end > 0 else len(head)])
        return body + length if len(data) >= body + length else None
    if head.find(b"\r\ntransfer-encoding:") >= 0:
        return _chunks_end(data, body)
    return body


def _chunks_end(data: bytes, at: int) -> int | None:
    """Where a chunked body ends; None: not yet."""
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(data[at:line_end].split(b";")[0], 16)
        at = line_end + 2
        if size:
            at += size + 2
            continue
        while True:  # trailers, then an empty line
            line_end = data.find(b"\r\n", at)
            if line_end < 0:
                return None
            if line_end == at:
                return at + 2
            at = line_end + 2


def _response(status: bytes, body: bytes, *, close: bool = False) -> bytes:
    connection = b"connection: close\r\n" if close else b""
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b" % (
        status, connection, len(body), body,
    )  # fmt: skip


_COMPLETION = _response(b"200 OK", orjson.dumps(_ANSWER))


async def serve(latency: float) -> None:
    """Answer every call `latency` seconds after it came, until standard input closes."""
    stats = Stats()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Connection, stats, latency), "127.0.0.1", 0, backlog=4096)
    print(orjson.dumps({"port": server.sockets[0].getsockname()[1]}).decode(), flush=True)
    over = asyncio.Event()

    def heard() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            over.set()

    loop.add_reader(sys.stdin.fileno(), heard)
    await over.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency-ms", type=float, default=100.0)
    uvloop.run(serve(parser.parse_args().latency_ms / 1000))


if __name__ == "__main__":
    main()
