"""asyncio tasks that a process cannot do without, and ending tasks for good."""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

import structlog

_log = structlog.get_logger()

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


def essential(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """Start work that goes on until it is cancelled; an error in it ends the process at once.

    A process whose reader or group commit has died looks alive and does nothing. What it held is found as after any
    kill, and its supervisor starts a new one; an orderly end would wait for what will not come.
    """
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_end_process)
    return task


def _end_process(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("work that this process needs has failed; the process ends", exc_info=error)
        os._exit(70)
