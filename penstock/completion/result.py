"""A finished answer, and the record of how it grew.

The `trace` keeps where every delta ended, so that a stream replayed from the stored result is identical, event by
event, to the stream that was seen live.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.completion.events import CompletionEvent, Finished, FinishReason, PartDelta, PartKind, PartStarted
from penstock.completion.usage import Usage

#: (part, characters of the delta, logprob entries of the delta); a part starts at its first entry, and -1 characters
#: say that its signature came here
TraceEntry = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class ResultPart:
    """One complete part: `text` is the text, or a tool call's JSON arguments; `signature` is as in `PartDelta`."""

    kind: PartKind
    text: str
    choice: int = 0
    id: str | None = None
    name: str | None = None
    logprobs: tuple[dict[str, Any], ...] = ()
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class CompletionResult:
    """What a model answered. `finish_reasons` has one entry per choice; it is empty where the answer was cut short."""

    parts: tuple[ResultPart, ...]
    trace: tuple[TraceEntry, ...]
    finish_reasons: tuple[FinishReason, ...]
    usage: Usage
    stop_sequence: str | None = None
    #: the model name the provider reported, when it did
    upstream_model: str | None = None

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return "".join(part.text for part in self.parts if part.kind == "text" and part.choice == 0)

    def events(self) -> Iterator[PartStarted | PartDelta]:
        """The chunks in the order and sizes in which they first appeared."""
        ends = [(0, 0)] * len(self.parts)
        started: set[int] = set()
        for index, size, tokens in self.trace:
            part = self.parts[index]
            if index not in started:
                started.add(index)
                yield PartStarted(index, part.kind, part.choice, part.id, part.name)
                if size == 0 and tokens == 0:
                    continue
            if size < 0:
                yield PartDelta(index, "", (), part.signature)
                continue
            at, token = ends[index]
            ends[index] = (at + size, token + tokens)
            yield PartDelta(index, part.text[at : at + size], part.logprobs[token : token + tokens])

    def without_logprobs(self) -> "CompletionResult":
        """The same answer, and how it grew, without the log probabilities of its tokens."""
        parts = tuple(replace(part, logprobs=()) for part in self.parts)
        begun: set[int] = set()
        trace = []
        for part, size, _ in self.trace:
            if size or part not in begun:
                trace.append((part, size, 0))
            begun.add(part)
        return replace(self, parts=parts, trace=tuple(trace))

    def to_json(self) -> dict[str, Any]:
        """A JSON object; see `from_json`."""
        return {
            "parts": [[p.kind, p.text, p.choice, p.id, p.name, list(p.logprobs), p.signature] for p in self.parts],
            "trace": self.trace,
            "finish_reasons": self.finish_reasons,
            "usage": self.usage.to_json(),
            "stop_sequence": self.stop_sequence,
            "upstream_model": self.upstream_model,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "CompletionResult":
        """The inverse of `to_json`."""
        return cls(
            parts=tuple(ResultPart(k, t, c, i, n, tuple(lp), s) for k, t, c, i, n, lp, s in value["parts"]),
            trace=tuple((p, s, t) for p, s, t in value["trace"]),
            finish_reasons=tuple(value["finish_reasons"]),
            usage=Usage.from_json(value["usage"]),
            stop_sequence=value["stop_sequence"],
            upstream_model=value["upstream_model"],
        )


def joined(results: Sequence[CompletionResult]) -> CompletionResult:
    """Whole answers as one: the choices of the second follow those of the first, and so on."""
    parts: list[ResultPart] = []
    trace: list[TraceEntry] = []
    reasons: list[FinishReason] = []
    for result in results:
        trace += [(index + len(parts), size, tokens) for index, size, tokens in result.trace]
        parts += [replace(part, choice=part.choice + len(reasons)) for part in result.parts]
        reasons += result.finish_reasons
    return CompletionResult(
        parts=tuple(parts),
        trace=tuple(trace),
        finish_reasons=tuple(reasons),
        usage=Usage.together(result.usage for result in results),
        stop_sequence=results[0].stop_sequence if len(results) == 1 else None,
        upstream_model=results[0].upstream_model,
    )


class ResultBuilder:
    """Folds the events of one completion into its result; `build` gives, at any time, what is there so far."""

    def __init__(self) -> None:
        self._started: list[PartStarted] = []
        self._texts: list[list[str]] = []
        self._logprobs: list[list[dict[str, Any]]] = []
        self._signatures: dict[int, str] = {}
        self._trace: list[TraceEntry] = []
        self._finished: Finished | None = None
        self.upstream_model: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the provider said that the answer is whole."""
        return self._finished is not None

    def add(self, event: CompletionEvent) -> None:
        """Take one more event.

        Raises:
            ValueError: the events are out of order (a delta of a part that was not started, or anything after the end),
                or a signature came twice.
        """
        if self._finished is not None:
            raise ValueError("an event after the end of the answer")
        if isinstance(event, PartStarted):
            if event.part != len(self._started):
                raise ValueError(f"part {event.part} started out of order")
            self._started.append(event)
            self._texts.append([])
            self._logprobs.append([])
            self._trace.append((event.part, 0, 0))
        elif isinstance(event, PartDelta):
            if event.part >= len(self._started):
                raise ValueError(f"a delta of part {event.part}, which was not started")
            self._texts[event.part].append(event.text)
            self._logprobs[event.part].extend(event.logprobs)
            if event.signature is not None:
                if event.text or event.logprobs or event.part in self._signatures:
                    raise ValueError(f"the signature of part {event.part} must come once, and alone")
                self._signatures[event.part] = event.signature
                self._trace.append((event.part, -1, 0))
                return
            self._trace.append((event.part, len(event.text), len(event.logprobs)))
        else:
            self._finished = event

    def build(self) -> CompletionResult:
        """The result of the events so far."""
        parts = tuple(
            ResultPart(s.kind, "".join(texts), s.choice, s.id, s.name, tuple(logprobs), self._signatures.get(s.part))
            for s, texts, logprobs in zip(self._started, self._texts, self._logprobs, strict=True)
        )
        end = self._finished
        return CompletionResult(
            parts=parts,
            trace=tuple(self._trace),
            finish_reasons=end.finish_reasons if end else (),
            usage=end.usage if end else Usage(),
            stop_sequence=end.stop_sequence if end else None,
            upstream_model=self.upstream_model,
        )
