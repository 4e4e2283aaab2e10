"""What a stream sends while nothing happens, and when its worker died: each vendor's own."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from unit.dialects.examples import pending, sse

from api.foreground import ForegroundStream
from penstock.dialects.anthropic_messages import MessagesStream
from penstock.dialects.openai_chat import ChatStream
from penstock.streams.entries import Reset, StreamEntry


class Silent(ForegroundStream):
    """A stream on which nothing comes, and whose worker then dies."""

    def __init__(self) -> None:
        self.stopped = False
        self.facts = pending()

    async def _entries(self) -> AsyncIterator[StreamEntry | Reset | None]:
        yield None
        yield Reset()

    async def _stop(self) -> None:
        self.stopped = True


async def frames_of(stream: Any, **ways: Callable[[], list[bytes]]) -> list[bytes]:
    silent = Silent()
    return [frame async for frame in silent.frames(stream.open, stream.event, stream.close, **ways)]


@pytest.mark.parametrize("opened", [True, False])
async def test_anthropic(opened: bool):
    stream = MessagesStream(pending())
    if opened:
        stream.open()
    sign, end = await frames_of(stream, on_silence=stream.ping, on_lost=stream.interrupted)
    kinds = [data["type"] for _, data in sse(sign)]
    assert kinds == (["ping"] if opened else ["message_start", "ping"])
    assert sse(end)[0][0] == {"event": "error"}


async def test_openai():
    """Comments only: an event without data crashes its clients."""
    assert await frames_of(ChatStream(pending(), include_usage=False)) == [b": keep-alive\n\n", b""]
