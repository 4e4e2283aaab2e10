"""Reversible masking: what is hidden from a provider gets a name, and the name becomes it again in the answer.

A name is `[EMAIL_1]`: its kind and the order of its first appearance in the request. The same text has the same name
throughout. Names that the request holds as they are mean themselves and are not given out.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from penstock.completion import CompletionEvent, CompletionResult, Finished, PartDelta, PartStarted, ResultBuilder
from penstock.guard.findings import Span

_NAME = re.compile(r"\[[A-Z][A-Z0-9_]*_\d+\]")


class Mask:
    """The names given out in one request. With `json_answer` the answer's text is JSON."""

    def __init__(self, texts: Iterable[str] = (), *, json_answer: bool = False) -> None:
        self._taken = {name for text in texts if "[" in text for name in _NAME.findall(text)}
        self._names: dict[tuple[str, str], str] = {}
        self._hidden: dict[str, str] = {}
        self._numbers: Counter[str] = Counter()
        self._json_answer = json_answer
        self._beside: Mask | None = None

    def __bool__(self) -> bool:
        return bool(self._hidden)

    def hide(self, text: str, spans: Sequence[Span]) -> str:
        """The text with names in the place of these stretches of it, which are in order and do not overlap."""
        pieces, at = [], 0
        for span in spans:
            pieces += [text[at : span.start], self._name(span.kind, text[span.start : span.end])]
            at = span.end
        return "".join([*pieces, text[at:]])

    def show(self, text: str, *, in_json: bool = False) -> str:
        """The text with what was hidden in the place of its names; within JSON strings it is written as these need."""
        if not self._hidden or "[" not in text:
            return text
        return _NAME.sub(lambda match: self._shown(match[0], in_json=in_json), text)

    def beside(self) -> "Mask":
        """A second mask for the same texts: its names are others, and what it hid may be within what this one hides."""
        other = Mask(json_answer=self._json_answer)
        other._taken = self._taken
        self._beside = other
        return other

    def begins_a_name(self, text: str) -> bool:
        """Whether more text could make this a name that was given out."""
        return any(len(text) < len(name) and name.startswith(text) for name in self._hidden)

    def is_json(self, part: PartStarted) -> bool:
        """Whether a part of the answer is JSON text."""
        return part.kind == "tool_call" or (self._json_answer and part.kind == "text")

    def _shown(self, name: str, *, in_json: bool) -> str:
        hidden = self._hidden.get(name)
        if hidden is None:
            return name
        # within it may be what earlier checks hid
        hidden = self.show(hidden)
        if self._beside is not None:
            hidden = self._beside.show(hidden)
        return json.dumps(hidden, ensure_ascii=False)[1:-1] if in_json else hidden

    def _name(self, kind: str, hidden: str) -> str:
        known = self._names.get((kind, hidden))
        if known is not None:
            return known
        while True:
            self._numbers[kind] += 1
            name = f"[{kind.upper()}_{self._numbers[kind]}]"
            if name not in self._taken:
                break
        self._names[kind, hidden] = name
        self._hidden[name] = hidden
        return name


class Unmasking:
    """Passes the events of one answer on with names turned back, also where a name is cut between chunks.

    What could become a name is kept until it is told apart, or its part ends.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._parts: dict[int, PartStarted] = {}
        self._kept: dict[int, str] = {}

    def read(self, event: CompletionEvent) -> Iterator[CompletionEvent]:
        """The events to pass on for one more event."""
        if isinstance(event, PartStarted):
            yield from self._rest(part for part, began in self._parts.items() if began.choice == event.choice)
            self._parts[event.part] = event
            yield event
        elif isinstance(event, Finished):
            yield from self._rest(self._parts)
            stop = event.stop_sequence
            yield replace(event, stop_sequence=self._mask.show(stop)) if stop is not None else event
        elif event.signature is not None:
            yield from self._rest([event.part])
            yield event
        else:
            yield from self._delta(event)

    def _delta(self, event: PartDelta) -> Iterator[PartDelta]:
        text = self._kept.pop(event.part, "") + event.text
        at = text.rfind("[")
        if at >= 0 and self._mask.begins_a_name(text[at:]):
            self._kept[event.part] = text[at:]
            text = text[:at]
        if text or event.logprobs or not event.text:
            yield replace(event, text=self._show(event.part, text))

    def _rest(self, parts: Iterable[int]) -> Iterator[PartDelta]:
        for part in list(parts):
            kept = self._kept.pop(part, None)
            if kept is not None:
                yield PartDelta(part, self._show(part, kept))

    def _show(self, part: int, text: str) -> str:
        began = self._parts.get(part)
        return self._mask.show(text, in_json=began is not None and self._mask.is_json(began))


def unmasked(result: CompletionResult, mask: Mask) -> CompletionResult:
    """A whole answer with names turned back, its deltas as they would have been streamed."""
    unmasking, builder = Unmasking(mask), ResultBuilder()
    end = Finished(result.finish_reasons, result.usage, result.stop_sequence)
    for event in (*result.events(), end):
        for shown in unmasking.read(event):
            builder.add(shown)
    return replace(builder.build(), upstream_model=result.upstream_model)
