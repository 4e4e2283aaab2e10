"""Parts that may interleave as content blocks that do not.

A block is a stretch of one part. A text or a chain of thoughts may be told in several stretches: when another part
goes on, its block ends, and what comes of it later is a block of its own, so nothing is held back. A tool call must be
one block: while its arguments are not whole, whatever else comes waits for it. Arguments are whole when they are a
JSON object; a call without any is whole at the end only.
"""

from dataclasses import dataclass

from penstock.completion import PartDelta, PartStarted
from penstock.completion.encoding import loads


@dataclass(frozen=True, slots=True)
class BlockStarted:
    """A block of a part begins. `sealed` is the whole of a redacted thought, which has no deltas."""

    part: PartStarted
    sealed: str | None = None


@dataclass(frozen=True, slots=True)
class BlockDelta:
    """More of the block that began last: a text, or the signature of a thought."""

    text: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class BlockStopped:
    """The block that began last is whole."""


BlockEvent = BlockStarted | BlockDelta | BlockStopped


class BlockSequence:
    """Give it every event once, in order, and `end` it; blocks come out one after the other."""

    def __init__(self) -> None:
        self._parts: dict[int, PartStarted] = {}
        self._open: PartStarted | None = None
        #: the arguments of the open block's tool call, as far as they came
        self._arguments = ""
        #: whether they are whole; None where nobody needed to know since they grew
        self._whole: bool | None = None
        #: tool calls that were told; a second block would be a second call
        self._told: set[int] = set()
        self._waiting: list[PartStarted | PartDelta] = []

    def add(self, event: PartStarted | PartDelta) -> list[BlockEvent]:
        """What can be told now. Other choices than the first are passed over: this dialect has one."""
        if isinstance(event, PartStarted):
            self._parts[event.part] = event
        if self._parts[event.part].choice != 0:
            return []
        if not self._is_open(event.part) and self._held():
            self._waiting.append(event)
            return []
        return [*self._tell(event), *self._let_go()]

    def end(self) -> list[BlockEvent]:
        """The rest: nothing more comes, so that nothing has to wait."""
        told: list[BlockEvent] = []
        while self._waiting:
            told += self._stop()
            told += self._let_go()
        return told + self._stop()

    def _held(self) -> bool:
        """Whether the open block must stay open."""
        if self._open is None or self._open.kind != "tool_call":
            return False
        if self._whole is None:
            self._whole = self._arguments.rstrip().endswith("}") and _is_object(self._arguments)
        return not self._whole

    def _is_open(self, part: int) -> bool:
        return self._open is not None and self._open.part == part

    def _let_go(self) -> list[BlockEvent]:
        """What waited and need not any more: up to the next call that is not whole, and all there is of that."""
        told: list[BlockEvent] = []
        while self._waiting and not self._held():
            part = self._waiting[0].part
            if self._parts[part].kind == "tool_call":
                own = [event for event in self._waiting if event.part == part]
                self._waiting = [event for event in self._waiting if event.part != part]
            else:
                own = [self._waiting.pop(0)]
            for event in own:
                told += self._tell(event)
        return told

    def _tell(self, event: PartStarted | PartDelta) -> list[BlockEvent]:
        part = self._parts[event.part]
        if isinstance(event, PartStarted):
            # A text may turn out to be empty: its block begins with its first character.
            return self._start(part) if part.kind == "tool_call" else []
        if part.kind == "tool_call":
            return self._argue(event)
        if part.name == "redacted":
            return [*self._start(part, event.signature), *self._stop()] if event.signature else []
        seal = event.signature if part.kind == "reasoning" else None
        if not event.text and seal is None:
            return []
        opened = [] if self._is_open(event.part) else self._start(part)
        return [*opened, BlockDelta(event.text, seal)]

    def _argue(self, event: PartDelta) -> list[BlockEvent]:
        """A fragment of arguments. What a server adds to a call that was whole and has been told is no JSON."""
        if not event.text or not self._is_open(event.part):
            return []
        self._arguments += event.text
        self._whole = None
        return [BlockDelta(event.text)]

    def _start(self, part: PartStarted, sealed: str | None = None) -> list[BlockEvent]:
        if part.part in self._told:
            return []
        stopped = self._stop()
        if part.kind == "tool_call":
            self._told.add(part.part)
        self._open, self._arguments, self._whole = part, "", None
        return [*stopped, BlockStarted(part, sealed)]

    def _stop(self) -> list[BlockEvent]:
        if self._open is None:
            return []
        self._open = None
        return [BlockStopped()]


def _is_object(text: str) -> bool:
    try:
        return isinstance(loads(text), dict)
    except ValueError:
        return False
