"""The framing of Google's streams: server-sent events, and what the vendor leaves behind when it gives up."""

from collections.abc import Iterator

from penstock.completion.encoding import loads
from penstock.providers.framing import WireEvent
from penstock.providers.sse import MAX_EVENT_BYTES, SSEDecoder

#: an error is shorter than this; of a longer end nothing is kept
_TAIL_BYTES = 16_384


class GeminiDecoder(SSEDecoder):
    """A `Decoder`.

    A stream whose capacity is taken away may end in an error as bare JSON, without the `data:` that would make it an
    event (the vendor's own client, python-genai, looks for it too). It is given as the stream's last event.
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        super().__init__(max_event_bytes)
        self._tail = b""

    def feed(self, chunk: bytes) -> Iterator[WireEvent]:
        """See `SSEDecoder.feed`."""
        self._tail = (self._tail + chunk)[-_TAIL_BYTES:]
        yield from super().feed(chunk)

    def finish(self) -> WireEvent | None:
        """See `SSEDecoder.finish`; an error that is no event counts as one."""
        return super().finish() or self._bare_error()

    def _bare_error(self) -> WireEvent | None:
        text = self._tail.replace(b"\r\n", b"\n").replace(b"\r", b"\n").strip().rpartition(b"\n\n")[2]
        try:
            value = loads(text)
        except ValueError:
            return None
        first = value[0] if isinstance(value, list) and value else value
        return WireEvent("error", text) if isinstance(first, dict) and first.get("error") else None
