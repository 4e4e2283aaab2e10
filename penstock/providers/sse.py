"""Server-sent events out of bytes.

Lines end at the bytes LF, CR and CRLF and nowhere else: `str.splitlines` and line iterators built on it also cut at
U+2028 and its kin, which JSON allows inside strings. Data stays bytes, so a character cut by a chunk's end is whole
again before anyone decodes it.
"""

from collections.abc import Iterator

from penstock.providers.framing import EventTooLong, WireEvent

#: a single event holds one delta; a picture made by a model is the longest thing known to come in one
MAX_EVENT_BYTES = 16 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class SSEDecoder:
    """A `Decoder`; an event's data is its data lines, joined by LF. `id` and `retry` are not kept."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._partial: list[bytes] = []  # the pieces of the line that has not ended yet
        self._data: list[bytes] = []
        self._name = ""
        self._size = 0  # of the event that has not ended yet, its partial line included
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> Iterator[WireEvent]:
        """The events that end in this chunk. Exhaust it before the next call.

        Raises:
            EventTooLong: an event passed the limit; the ones before it have been given.
        """
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            self._grow(line)
            if self._partial:
                self._partial.append(line)
                line = b"".join(self._partial)  # noqa: PLW2901 — the piece is now the line
                self._partial.clear()
            event = self._line(line)
            if event is not None:
                yield event
        if rest:
            self._grow(rest)
            self._partial.append(rest)

    def finish(self) -> WireEvent | None:
        """The event that the end of the stream left without its blank line, if it has data.

        The standard drops it; servers exist that send their last event so, and one that was cut does not parse.
        """
        line = b"".join(self._partial)
        self._partial.clear()
        return (self._line(line) if line else None) or self._line(b"")

    def _grow(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._max:
            raise EventTooLong(f"an event is longer than {self._max} bytes")

    def _line(self, line: bytes) -> WireEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
            elif field == b"event":
                self._name = value.removeprefix(b" ").decode("utf-8", "replace")
            return None
        event = WireEvent(self._name or "message", b"\n".join(self._data)) if self._data else None
        self._data, self._name, self._size = [], "", 0
        return event
