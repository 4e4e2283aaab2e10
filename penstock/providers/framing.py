"""How a stream's bytes are cut into events: the one form in which every framing hands them to a reader."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class EventTooLong(ValueError):
    """Raised when one event is longer than the decoder may hold."""


@dataclass(frozen=True, slots=True)
class WireEvent:
    """One event of a stream: its name (`message` where the framing has none) and its data."""

    name: str
    data: bytes


class Decoder(Protocol):
    """Takes the bytes of a stream in any pieces and gives its events."""

    def feed(self, chunk: bytes) -> Iterator[WireEvent]:
        """The events that end in this chunk. Exhaust it before the next call.

        Raises:
            ValueError: the bytes are not of this framing, or an event is too long (`EventTooLong`).
        """
        ...

    def finish(self) -> WireEvent | None:
        """The event that the end of the stream left open, if what there is of it counts."""
        ...
