"""An API process that is told to stop says so first, and stops taking connections when balancers have heard it."""

import signal
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI


class LeavingServer(uvicorn.Server):
    """On SIGTERM `/readyz` answers 503 for `seconds`, and all else is served as before; then it stops as ever.

    A listening socket that is closed resets whoever has just connected to it. A second signal ends the wait.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, seconds: float) -> None:
        super().__init__(config)
        self._app = app
        self._seconds = seconds
        self._leaves_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal, between any two steps of the program."""
        if sig == signal.SIGTERM and self._seconds and self._leaves_at is None:
            self._leaves_at = time.monotonic() + self._seconds
            self._app.state.leaving = True
            return
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second."""
        if self._leaves_at is not None and not self.should_exit and time.monotonic() >= self._leaves_at:
            super().handle_exit(signal.SIGTERM, None)
        return await super().on_tick(counter)
