"""Ending asyncio tasks for good."""

import asyncio
from typing import Any

#: seconds after which a task that still runs is cancelled again: longer than what it may have to put in order
_AGAIN_SECONDS = 1.0


async def end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel tasks and wait until they are over; their errors are theirs.

    Cancelled again and again: a cancellation that meets the very end of a call to Redis was seen to get lost in its
    client, and a loop around the call then goes on for ever.
    """
    running = [task for task in tasks if not task.done()]
    while running:
        for task in running:
            task.cancel()
        _, rest = await asyncio.wait(running, timeout=_AGAIN_SECONDS)
        running = list(rest)
