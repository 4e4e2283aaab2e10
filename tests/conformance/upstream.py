"""A server that answers with exact bytes."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

KEY = "sk-a-secret-of-ours-0123456789"

Answer = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request as it was on the wire, and the way back."""

    path: str
    headers: dict[str, str]
    body: Any
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *pieces: bytes) -> None:
        """Each piece leaves in a segment of its own, as far as the machine lets it."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def chunks(self, *pieces: bytes) -> None:
        await self.send(*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece))

    async def gone(self) -> None:
        """Wait until the client has closed its end; with bytes of ours unread, that is a reset."""
        try:
            assert await self.reader.read(1) == b""
        except ConnectionResetError:
            return


@dataclass
class Upstream:
    """Answers the requests in turn, the last answer for ever."""

    answers: list[Answer] = field(default_factory=list)
    requests: list[Exchange] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _request(reader, writer):
                self.requests.append(request)
                await self.answers[min(len(self.requests), len(self.answers)) - 1](request)
                if writer.is_closing():
                    return
        except ConnectionError:
            return
        finally:
            writer.close()


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Exchange(first.split(" ")[1], headers, json.loads(body), reader, writer)


def whole(body: Any, status: int = 200, **headers: str) -> Answer:
    """An answer with its length; a body that is not bytes goes as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    lines = {"content-type": "application/json", "content-length": str(len(content))}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(exchange: Exchange) -> None:
        await exchange.send(head(lines, status) + content)

    return answer


def stream(
    *pieces: bytes,
    end: bytes = b"0\r\n\r\n",
    then: Answer | None = None,
    content_type: str = "text/event-stream",
    **headers: str,
) -> Answer:
    """A stream in these pieces; with an `end` that is not HTTP's, it is cut there."""

    async def answer(exchange: Exchange) -> None:
        lines = {"content-type": content_type, "transfer-encoding": "chunked"}
        await exchange.send(head(lines | {name.replace("_", "-"): value for name, value in headers.items()}))
        await exchange.chunks(*pieces)
        if then is not None:
            await then(exchange)
        elif end:
            await exchange.send(end)
        else:
            exchange.writer.close()

    return answer


async def never(exchange: Exchange) -> None:
    """No answer, until the client has enough."""
    await exchange.gone()
    exchange.writer.close()


def head(lines: dict[str, str], status: int = 200) -> bytes:
    return b"".join([b"HTTP/1.1 %d Said\r\n" % status, *(f"{k}: {v}\r\n".encode() for k, v in lines.items()), b"\r\n"])
