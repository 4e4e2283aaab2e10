"""One supervisor for all processes of a stack: starts them, keeps them running, stops them in order.

Each child is in a session of its own, so that Ctrl-C in the terminal reaches only the supervisor. All of them hold the
read end of one pipe; when the supervisor dies, even by SIGKILL, the pipe closes and they end by themselves.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from penstock.embedded.child import Child
from penstock.embedded.process import ChildProcess
from penstock.errors import PenstockError, Unavailable

#: a child that ran this many seconds was well; its next death is its first
_STEADY = 30.0
#: deaths in quick succession after which the stack gives up, and the seconds before each new start
_RESTART_DELAYS = (0.25, 0.5, 1.0, 2.0, 4.0, 5.0)
_POLL = 0.05
_PATIENT_POLL = 0.5

_log = structlog.get_logger(__name__)


class StopRequested(PenstockError):
    """Raised by `Supervisor.start` when a signal asked the stack to stop before the child was ready."""


class Supervisor:
    """Keeps children running until a signal, or a child that will not live, ends the whole stack.

    Usage::

        async with Supervisor(data) as supervisor:
            await supervisor.start(Child("worker", command, StopOrder.WORKER))
            code = await supervisor.run_until_stopped()

    SIGINT, SIGTERM and SIGHUP stop the stack in `StopOrder`; another one while it stops kills instead of waiting.
    """

    def __init__(self, data: Path) -> None:
        self._logs = data / "logs"
        self._processes: dict[str, ChildProcess] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._stop_asked = asyncio.Event()
        self._in_haste = asyncio.Event()
        self._stopped = False
        self._exit_code = 0
        self._signals: list[signal.Signals] = []
        self._lifeline, self._held_end = os.pipe()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # started with nohup: a closed terminal is no reason
            self._signals.append(signal.SIGHUP)
        for number in self._signals:
            loop.add_signal_handler(number, self._on_signal, number)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        for number in self._signals:
            asyncio.get_running_loop().remove_signal_handler(number)

    @property
    def stopping(self) -> bool:
        """Whether the stack is to stop, or has."""
        return self._stop_asked.is_set()

    def pid(self, name: str) -> int | None:
        """The process of a child; of a guarded one, its guard. None while it is not running."""
        return self._processes[name].pid

    def request_stop(self) -> None:
        """Ask the stack to stop; `run_until_stopped` then does it."""
        self._stop_asked.set()

    async def start(self, child: Child) -> None:
        """Start a child, wait until it is ready, and from then on keep it running.

        Raises:
            Unavailable: it ended or was not ready in time; the message holds the last lines of its output.
            StopRequested: a signal came first.
        """
        if child.name in self._processes:
            raise ValueError(f"there is a child named {child.name} already")
        process = ChildProcess(child, self._lifeline, child.log or self._logs / f"{child.name}.log")
        self._processes[child.name] = process
        deadline = asyncio.get_running_loop().time() + child.patience
        while not await self._comes_up(process):
            if asyncio.get_running_loop().time() >= deadline:
                raise Unavailable(f"{child.name} did not start: {process.describe_end()}")
            _log.info("child is tried again", child=child.name, reason=process.describe_end())
            await self._pause(_PATIENT_POLL)
        self._keepers.append(asyncio.create_task(self._keep(process), name=f"keep-{child.name}"))

    async def run_until_stopped(self) -> int:
        """Wait for a signal or for a child that will not live, stop everything, return the exit code (0 or 1)."""
        await self._stop_asked.wait()
        await self.stop()
        return self._exit_code

    async def stop(self) -> None:
        """Stop all children, by order. Safe to call again."""
        self._stop_asked.set()
        if self._stopped:
            return
        orders = sorted({process.child.stop_order for process in self._processes.values()})
        for order in orders:
            group = [process for process in self._processes.values() if process.child.stop_order == order]
            for process in group:
                _log.debug("stopping", child=process.child.name)
            await asyncio.gather(*(process.stop(self._in_haste) for process in group))
        await asyncio.gather(*self._keepers)
        self._stopped = True
        os.close(self._held_end)
        os.close(self._lifeline)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop_asked.is_set():
            _log.warning("stopping at once", signal=number.name)
            self._in_haste.set()
        else:
            _log.info("stopping; once more to stop at once", signal=number.name)
            self._stop_asked.set()

    async def _comes_up(self, process: ChildProcess) -> bool:
        child = process.child
        if self.stopping:
            raise StopRequested(f"stopped before {child.name} was started")
        await process.spawn()
        deadline = asyncio.get_running_loop().time() + child.ready_timeout
        while not process.has_ended:
            if child.ready is None or await child.ready():
                return True
            if asyncio.get_running_loop().time() >= deadline:
                await process.stop(self._in_haste)
                raise Unavailable(
                    f"{child.name} was not ready within {child.ready_timeout:g} s: {process.describe_end()}"
                )
            await self._pause(_POLL)
            if self.stopping:
                raise StopRequested(f"stopped before {child.name} was ready")
        return False

    async def _keep(self, process: ChildProcess) -> None:
        name = process.child.name
        quick_deaths = 0
        while True:
            lived = await process.wait()
            if self._stop_asked.is_set():
                return
            quick_deaths = 1 if lived > _STEADY else quick_deaths + 1
            if quick_deaths > len(_RESTART_DELAYS):
                _log.error("child will not live; stopping everything", child=name, reason=process.describe_end())
                self._exit_code = 1
                self._stop_asked.set()
                return
            delay = _RESTART_DELAYS[quick_deaths - 1]
            _log.error("child died; starting it again", child=name, after=delay, reason=process.describe_end())
            await self._pause(delay)
            if self._stop_asked.is_set():
                return
            await process.spawn()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop_asked.wait(), seconds)
