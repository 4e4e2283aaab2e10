"""Newline-delimited JSON out of bytes: one JSON text on each line.

Lines end at the bytes LF, CR and CRLF and nowhere else: inside JSON strings these two are always escaped, while U+2028
and its kin, at which `str.splitlines` cuts too, may stand there as they are.
"""

from collections.abc import Iterator

from penstock.providers.framing import EventTooLong, WireEvent
from penstock.providers.sse import MAX_EVENT_BYTES


class NDJSONDecoder:
    """A `Decoder`; an event is a line, and has no name. Empty lines say nothing."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._partial: list[bytes] = []  # the pieces of the line that has not ended yet
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[WireEvent]:
        """The events that end in this chunk. Exhaust it before the next call.

        Raises:
            EventTooLong: a line passed the limit; the ones before it have been given.
        """
        # The empty line that this makes of a CRLF is passed over.
        *ended, rest = chunk.replace(b"\r", b"\n").split(b"\n")
        for piece in ended:
            self._grow(piece)
            event = self.finish()
            if event is not None:
                yield event
        if rest:
            self._grow(rest)

    def finish(self) -> WireEvent | None:
        """The line that the end of the stream left without its newline; one that was cut does not parse."""
        line = b"".join(self._partial).strip()
        self._partial.clear()
        self._size = 0
        return WireEvent("message", line) if line else None

    def _grow(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max:
            raise EventTooLong(f"a line is longer than {self._max} bytes")
        self._partial.append(piece)
