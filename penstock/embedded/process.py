"""One child's process: spawned, waited for, stopped; its output goes to a log whose last lines tell why it ended."""

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from penstock.embedded.child import Child
from penstock.embedded.watch import FD_VARIABLE
from penstock.settings import child_environment

#: a log longer than this at a start is put aside as `<name>.log.1`
_LOG_LIMIT = 20_000_000
_LAST_LINES = 12
_TAIL = 4096
#: seconds a guard has to end its command when it was asked in haste
_HASTY_GUARD = 10.0


class ChildProcess:
    """The process of a child, started over and over by the supervisor; never after `stop`."""

    def __init__(self, child: Child, lifeline: int, log: Path) -> None:
        self.child = child
        self._lifeline = lifeline
        self._log = log
        self._log_start = 0
        self._process: Process | None = None
        self._started = 0.0
        self._spawning = asyncio.Lock()
        self._over = False

    @property
    def pid(self) -> int | None:
        """The number of the running process."""
        return None if self._process is None or self.has_ended else self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process that was started last is gone."""
        return self._process is None or self._process.returncode is not None

    async def spawn(self) -> None:
        """Start the process, unless the child was stopped meanwhile.

        A command that cannot be executed counts as one that ended: it is in the log.
        """
        async with self._spawning:
            if self._over:
                return
            command, environment = self._command_line()
            output = self._open_log()
            self._process = None
            self._started = time.monotonic()
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=DEVNULL,
                    stdout=output,
                    stderr=STDOUT,
                    env={**environment, FD_VARIABLE: str(self._lifeline)},
                    pass_fds=(self._lifeline,),
                    start_new_session=True,
                )
            except OSError as error:
                os.write(output, f"{command[0]}: {error.strerror}\n".encode())
            finally:
                os.close(output)

    async def wait(self) -> float:
        """Wait until it ends; return how many seconds it lived."""
        if self._process is not None:
            await self._process.wait()
        return time.monotonic() - self._started

    async def stop(self, in_haste: asyncio.Event) -> None:
        """Ask it to stop, kill it when its limit is over or as soon as there is haste; return when it is gone.

        A guard is asked again before: it then ends its command the quick way. Killing it comes last.
        """
        async with self._spawning:
            self._over = True
        process = self._process
        if process is None or self.has_ended:
            return
        self._signal(self.child.stop_signal)
        if await self._ends_within(self.child.stop_limit, in_haste):
            return
        if self.child.guard is not None:
            self._signal(signal.SIGTERM)
            if await self._ends_within(_HASTY_GUARD, asyncio.Event()):
                return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its session is its own: whatever it started goes too
        await process.wait()

    def describe_end(self) -> str:
        """The exit code or signal, and the last lines of output since the start."""
        code = self._process.returncode if self._process else None
        if self._process is None:
            how = "cannot be executed"
        elif code is None:
            how = "still running"
        elif code < 0 or code > 128:
            number = -code if code < 0 else code - 128
            how = f"ended by {_name(number)}"
        else:
            how = f"exit code {code}"
        lines = self._tail()
        return f"{how}; {self._log}:\n{lines}" if lines else how

    def _command_line(self) -> tuple[list[str], Mapping[str, str]]:
        child, inherited = self.child, child_environment({})
        if child.guard is not None:
            return child.guard.wrap(child.command, child.environment or {}, self._lifeline), inherited
        return list(child.command), inherited if child.environment is None else child.environment

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self._process:
                self._process.send_signal(number)

    async def _ends_within(self, seconds: float, cut_short: asyncio.Event) -> bool:
        ended = asyncio.create_task(self.wait())
        cut = asyncio.create_task(cut_short.wait())
        done, _ = await asyncio.wait({ended, cut}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        cut.cancel()
        return ended in done

    def _open_log(self) -> int:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if self._log.stat().st_size > _LOG_LIMIT:
                self._log.replace(self._log.with_name(self._log.name + ".1"))
        output = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._log_start = os.fstat(output).st_size
        return output

    def _tail(self) -> str:
        try:
            with self._log.open("rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(self._log_start, end - _TAIL))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.strip().splitlines()[-_LAST_LINES:])


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
