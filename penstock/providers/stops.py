"""Stop strings found here, for wire formats that do not say which one ended an answer.

Most of them end such an answer as any other. Who has to be told, as Anthropic's clients do, cannot ask the provider: so
it is not told of the strings at all, its text is watched, and its stream is closed where one of them is complete. What
it counted is then not known; the usage is an estimate.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from penstock.completion import CompletionEvent, CompletionRequest, Finished, PartDelta, PartStarted
from penstock.completion.characters import WholeCharacters
from penstock.rules.estimates import guessed_usage


class StopScanner:
    """Passes events on up to the first stop string. Deltas that may belong to one wait until that is decided.

    Texts are searched, not thoughts, refusals or the arguments of tools.
    """

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._texts: set[int] = set()
        self._held: list[PartDelta] = []
        #: the string that ended the answer
        self.matched: str | None = None

    def read(self, event: CompletionEvent) -> Iterator[CompletionEvent]:
        """The events to pass on for one more event; none may follow once `matched` is there."""
        if isinstance(event, PartStarted) and event.kind == "text":
            self._texts.add(event.part)
        if not isinstance(event, PartDelta) or event.part not in self._texts:
            yield from self._released()
            yield event
            return
        if self._held and self._held[0].part != event.part:
            yield from self._released()
        self._held.append(event)
        text = "".join(delta.text for delta in self._held)
        found = self._first(text)
        if found is not None:
            start, self.matched = found
            yield from self._cut(start)
            return
        safe = len(text) - self._begun(text)
        while self._held and len(self._held[0].text) <= safe:
            safe -= len(self._held[0].text)
            yield self._held.pop(0)

    def _first(self, text: str) -> tuple[int, str] | None:
        """Where the string that is complete first begins, and which it is."""
        hits = [(at + len(stop), at, stop) for stop in self._stop if (at := text.find(stop)) >= 0]
        return min(hits)[1:] if hits else None

    def _begun(self, text: str) -> int:
        """How many characters at the end of a text may be the beginning of a stop string."""
        longest = min(len(text), max(map(len, self._stop)) - 1)
        sizes = range(longest, 0, -1)
        return next((size for size in sizes if any(stop.startswith(text[-size:]) for stop in self._stop)), 0)

    def _cut(self, length: int) -> Iterator[CompletionEvent]:
        """What was held, up to that many characters; a delta that is cut keeps the scores of no token cut off."""
        for delta in self._held:
            if length <= 0:
                return
            if len(delta.text) <= length:
                yield delta
            else:
                yield PartDelta(delta.part, delta.text[:length], tuple(_whole(delta, length)))
            length -= len(delta.text)

    def _released(self) -> Iterator[CompletionEvent]:
        held, self._held = self._held, []
        yield from held


def _whole(delta: PartDelta, length: int) -> Iterator[dict[str, object]]:
    """The entries of the tokens that end within so many characters of a delta."""
    for entry in delta.logprobs:
        length -= len(entry["token"])
        if length < 0:
            return
        yield entry


async def stopped(
    events: AsyncGenerator[CompletionEvent, None], request: CompletionRequest
) -> AsyncGenerator[CompletionEvent, None]:
    """The events of an answer to `request`, ended at the first of its stop strings; the stream is closed there."""
    scanner, characters, said = StopScanner(request.stop), WholeCharacters(), 0
    async with aclosing(events):
        async for read in events:
            for event in characters.read(read):
                if isinstance(event, PartDelta):
                    said += len(event.text.encode("utf-8", "surrogatepass"))
                for passed in scanner.read(event):
                    yield passed
                if scanner.matched is not None:
                    yield Finished(("stop_sequence",), guessed_usage(request, said), scanner.matched)
                    return
