"""Writing a stream at the pace of a model, or breaking it off."""

import asyncio

from aiohttp import web

from simulator.options import SimulatorOptions
from simulator.vendor import Frame

#: frames that go out together when there is no pace to keep
_UNPACED_BATCH = 8
#: seconds below which a pause is not worth a timer
_SHORTEST_PAUSE = 0.001


async def write_paced(response: web.StreamResponse, frames: list[Frame], options: SimulatorOptions) -> None:
    """Write the frames; each token takes its share of a second after the first one."""
    if options.tokens_per_second is None:
        for at in range(0, len(frames), _UNPACED_BATCH):
            await response.write(b"".join([frame.data for frame in frames[at : at + _UNPACED_BATCH]]))
        return
    loop = asyncio.get_running_loop()
    began, sent = loop.time(), 0
    for frame in frames:
        if frame.tokens:
            # Times are counted from the start, so late timers do not add up.
            pause = began + sent / options.tokens_per_second - loop.time()
            if pause > _SHORTEST_PAUSE:
                await asyncio.sleep(pause)
            sent += frame.tokens
        await response.write(frame.data)


def half(frames: list[Frame]) -> list[Frame]:
    """The frames up to the middle of the answer, so that some of it is seen and some is not."""
    total = sum(frame.tokens for frame in frames)
    sent = 0
    for at, frame in enumerate(frames):
        sent += frame.tokens
        if frame.tokens and sent * 2 >= total:
            return frames[: at + 1]
    return frames[: len(frames) // 2]


def sse(data: bytes, event: str | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + data + b"\n\n"
