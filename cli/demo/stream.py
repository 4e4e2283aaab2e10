"""One background response, streamed by its id over a connection that breaks half-way."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from openai import OpenAI
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from penstock.errors import PenstockError

#: after so many pieces of text the connection is dropped
DROP_AFTER = 20
#: seconds away; the answer goes on without us
_AWAY_SECONDS = 1.0

Event = dict[str, Any]


class StreamView:
    """What of the stream is shown under the progress bar."""

    def __init__(self) -> None:
        self._pieces: list[tuple[str, str]] = []

    def add(self, text: str, style: str = "") -> None:
        """More text. Called from the stream's thread."""
        self._pieces.append((text, style))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as it is now."""
        yield Text.assemble(*list(self._pieces))


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What became of the streamed response: how many events came before the drop and after it."""

    response_id: str
    before: int
    after: int
    input_tokens: int
    output_tokens: int


def stream_and_resume(client: OpenAI, model: str, prompt: str, view: StreamView) -> StreamReport:
    """Create a response, drop its stream half-way, resume it by id, and compare with an uninterrupted replay.

    Raises:
        PenstockError: the two differ, the answer failed, or was too short to be interrupted.
        openai.OpenAIError: a call failed.
    """
    view.add(f"\nbackground response of {model}: ", "bold")
    seen: list[Event] = []
    with client.responses.create(model=model, input=prompt, background=True, stream=True) as live:
        for event in _shown(live, view):
            seen.append(event)
            if sum(event["type"] == "response.output_text.delta" for event in seen) == DROP_AFTER:
                break
    before = len(seen)
    if not seen or is_end(seen[-1]):
        raise PenstockError(f"the answer ended before the stream was interrupted ({_last_type(seen)})")
    response_id, cut = seen[0]["response"]["id"], seen[-1]["sequence_number"]
    view.add(f" ⟨connection dropped after event {cut}⟩ ", "yellow")
    time.sleep(_AWAY_SECONDS)
    view.add(f"⟨resumed: starting_after={cut}⟩ ", "green")
    seen += _shown(client.responses.retrieve(response_id, stream=True, starting_after=cut), view)
    replay = [event.to_dict() for event in client.responses.retrieve(response_id, stream=True)]
    compare(seen, replay)
    final = client.responses.retrieve(response_id)
    if final.output_text != text_of(seen) or final.usage is None:
        raise PenstockError(f"the deltas of {response_id} do not add up to its final text")
    return StreamReport(response_id, before, len(seen) - before, final.usage.input_tokens, final.usage.output_tokens)


def compare(resumed: list[Event], replay: list[Event]) -> None:
    """Check that a resumed stream is, event by event, an uninterrupted one that ended well.

    Raises:
        PenstockError: it is not; the message names the first difference.
    """
    for index, (mine, theirs) in enumerate(zip(resumed, replay, strict=False)):
        if mine != theirs:
            raise PenstockError(f"event {index} of the resumed stream differs from the replay: {mine} is not {theirs}")
    if len(resumed) != len(replay):
        raise PenstockError(f"the resumed stream has {len(resumed)} events, the replay {len(replay)}")
    numbers = [event["sequence_number"] for event in resumed]
    if numbers != list(range(len(numbers))):
        raise PenstockError(f"the events are not numbered 0 to {len(numbers) - 1}")
    if _last_type(resumed) not in ("response.completed", "response.incomplete"):
        raise PenstockError(f"the stream ended with {_last_type(resumed)}")


def text_of(events: Iterable[Event]) -> str:
    """The deltas joined."""
    return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")


def is_end(event: Event) -> bool:
    """Whether an event is a response's last."""
    return event["type"] in ("response.completed", "response.incomplete", "response.failed", "error")


def _shown(stream: Iterable[Any], view: StreamView) -> Iterator[Event]:
    for item in stream:
        event: Event = item.to_dict()
        if event["type"] == "response.output_text.delta":
            view.add(event["delta"])
        yield event


def _last_type(events: list[Event]) -> str:
    return str(events[-1]["type"]) if events else "no event"
