"""One connection of a client: uvicorn's, with an end to what is sent or read too slowly.

uvicorn bounds how long an idle connection is kept, and nothing else: a header that never ends, a body of one byte a
minute or an answer that nobody reads would hold a connection for ever. The limits are `configuration.HttpConfig`.
"""

import asyncio
from typing import ClassVar, cast

from fastapi import Request
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api import errors, response_headers
from penstock.configuration import HttpConfig
from penstock.errors import InvalidRequest, PenstockError

#: how often a request that is still being read is looked at
_LOOK_SECONDS = 0.25


class Connection(HttpToolsProtocol):
    """A request is read from its first byte (or from the connection's begin) until its last one.

    While it is read, a clock runs: up to `header_seconds` for the header, then `body_seconds`, and longer by what a
    body's bytes earn at `body_bytes_per_second`. The clock stands while Penstock itself does not read on.
    """

    limits: ClassVar[HttpConfig] = HttpConfig()
    _look: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _in_body = False
    _header_ended = False
    _waited = 0.0
    _bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first request is waited for from here on."""
        super().connection_made(transport)
        self._begin(in_body=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._end()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a header that has no end yet may not be longer than a whole one."""
        if self._look is None:
            self._begin(in_body=False)
        self._header_ended = False
        super().data_received(data)
        # where one ended in this piece, the next began in it, and is counted from the next piece on
        if self._look is not None and not self._in_body and not self._header_ended:
            self._bytes += len(data)
            if self._bytes > self.limits.max_header_bytes:
                self._refuse(header_too_large(self.limits))

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begin(in_body=False)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The header is whole, a body may follow."""
        self._header_ended = True
        self._begin(in_body=True)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole: how long its answer takes is not the client's doing."""
        self._end()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP is answered like everything else."""
        self._refuse(InvalidRequest(msg))

    def pause_writing(self) -> None:
        """The client does not read what it asked for."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.unread_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _begin(self, *, in_body: bool) -> None:
        self._in_body, self._waited, self._bytes = in_body, 0.0, 0
        if self._look is None:
            self._look = self.loop.call_later(_LOOK_SECONDS, self._tick)

    def _end(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def _tick(self) -> None:
        self._look = None
        if self.transport.is_closing():
            return
        ours = self.flow.read_paused or (self._in_body and self.cycle.waiting_for_100_continue)
        self._waited += 0.0 if ours else _LOOK_SECONDS
        limits = self.limits
        earned = limits.body_seconds + self._bytes / limits.body_bytes_per_second
        if self._waited <= (earned if self._in_body else limits.header_seconds):
            self._look = self.loop.call_later(_LOOK_SECONDS, self._tick)
        elif self._in_body or self._bytes:
            self._refuse(_timeout("body" if self._in_body else "header"))
        else:
            # opened ahead of need: a client that asks at this very moment should see a closed connection, not a 408
            self.transport.close()

    def _refuse(self, error: PenstockError) -> None:
        """Answer with an error, unless that would fall into another answer or come after this request's, and close."""
        self._end()
        cycle: RequestResponseCycle | None = self.cycle
        answered = cycle is not None and (cycle.response_started if self._in_body else not cycle.response_complete)
        if not answered and not self.pipeline:
            self.transport.write(self._rendered(error))
        if cycle is not None:
            # whoever waits for the rest of the request is told that it does not come, and has nobody to answer
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def _rendered(self, error: PenstockError) -> bytes:
        known = cast("Scope | None", self.scope)
        path = self.url.partition(b"?")[0].decode("latin-1") if known else "/"
        request = Request(response_headers.begin({"type": "http", "headers": [], **(known or {}), "path": path}))
        answer = errors.reply(request, error)
        answer.headers.update(response_headers.naming_headers(request) | {"connection": "close"})
        lines = (name + b": " + value + b"\r\n" for name, value in answer.raw_headers)
        return b"".join([STATUS_LINE[answer.status_code], *lines, b"\r\n", bytes(answer.body)])


def connection_class(limits: HttpConfig) -> type[Connection]:
    """The class of connections with these limits, as uvicorn takes it."""
    return type("Connection", (Connection,), {"limits": limits})


def header_too_large(limits: HttpConfig) -> InvalidRequest:
    """The error for a header with too many bytes or too many fields (431, RFC 6585 §5)."""
    error = InvalidRequest(
        f"The header of the request is larger than {limits.max_header_bytes} bytes or has more than"
        f" {limits.max_headers} fields."
    )
    error.status = 431
    return error


def _timeout(part: str) -> InvalidRequest:
    error = InvalidRequest(f"The {part} of the request did not come in time.")
    error.status = 408
    return error
