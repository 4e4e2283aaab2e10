"""Characters that a server tells in two halves.

JSON writes a character beyond the basic plane as a pair of surrogates, and a server that cuts its text between the two
sends each half in a chunk of its own. Half a character is no text: it would not survive being stored, and clients could
not put it together again. So the first half waits for the second.
"""

import re
from collections.abc import Iterator

from penstock.completion.events import CompletionEvent, Finished, PartDelta

_SURROGATE = re.compile("[\ud800-\udfff]")
_FIRST_HALVES = re.compile("[\ud800-\udbff]$")


class WholeCharacters:
    """Passes events on with no pair cut in two. What stays half to the end is told last, as it came."""

    def __init__(self) -> None:
        self._halves: dict[int, str] = {}

    def read(self, event: CompletionEvent) -> Iterator[CompletionEvent]:
        """The events to pass on for one more event."""
        if isinstance(event, Finished):
            for part, half in self._halves.items():
                yield PartDelta(part, half)
        if not isinstance(event, PartDelta) or event.signature is not None:
            yield event
            return
        half = self._halves.pop(event.part, "")
        if not half and not _SURROGATE.search(event.text):
            yield event
            return
        text = (half + event.text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if _FIRST_HALVES.search(text):
            self._halves[event.part] = text[-1]
            text = text[:-1]
        if text or event.logprobs:
            yield PartDelta(event.part, text, event.logprobs)
