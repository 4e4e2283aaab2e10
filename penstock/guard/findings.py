"""The words of this room: what checks look at, and what they find. A finding never holds the text it is about."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from penstock.configuration.policies import Action, Place


@dataclass(frozen=True, slots=True)
class Passage:
    """One text of a request or an answer, as far as earlier checks left it."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a text, and what it is; `kind` is lower-case words joined by `_`."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, how often, and what happened to it."""

    check: str
    kind: str
    action: Action
    count: int = 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of a check over all passages together.

    `spans` are those of each passage, by its number; they say what to redact, and may be empty for the other actions.
    """

    action: Action
    reason: str = ""
    spans: tuple[tuple[int, Span], ...] = ()


@dataclass(frozen=True, slots=True)
class Asking:
    """On whose behalf passages are judged, and whether they are a request (`input`) or an answer (`output`)."""

    tenant: str
    model: str
    direction: Literal["input", "output"]


class TextCheck(Protocol):
    """A check that looks at each text alone. Pure."""

    def find(self, text: str) -> Sequence[Span]:
        """What it finds, in order and without overlaps."""
        ...


def without_overlaps(spans: Sequence[Span]) -> list[Span]:
    """The spans in order; of two that overlap the one that was named first stays."""
    covered = bytearray(max((span.end for span in spans), default=0))
    kept: list[Span] = []
    for span in spans:
        if span.start < span.end and not any(covered[span.start : span.end]):
            covered[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return sorted(kept, key=lambda span: span.start)
