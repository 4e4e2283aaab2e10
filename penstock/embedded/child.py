"""What the supervisor starts: a named command, how it says that it is ready, how it is stopped."""

import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from penstock.embedded import guard
from penstock.embedded.folders import Account

#: seconds between a guard's SIGKILL for its command and the supervisor's own for the guard
_MARGIN = 5.0


class StopOrder(IntEnum):
    """Who stops first: doors before those who work, the servers they all need last."""

    API = 10
    FLOWER = 20
    DISPATCHER = 30
    WORKER = 40
    VALKEY = 80
    POSTGRES = 90


@dataclass(frozen=True, slots=True)
class Guard:
    """For a foreign binary, which runs behind `penstock.embedded.guard`.

    `stops` are the signals that end it, each with the seconds until the next; `account` is whom it runs as.
    """

    stops: Sequence[tuple[signal.Signals, float]]
    account: Account | None = None

    def wrap(self, command: Sequence[str], environment: Mapping[str, str], lifeline: int) -> list[str]:
        """The command line of the guard with this command. By path and isolated: nothing of the project is loaded."""
        line = [sys.executable, "-I", "-S", str(guard.__file__), "--fd", str(lifeline)]
        for number, seconds in self.stops:
            line += ["--stop", f"{int(number)}:{seconds}"]
        if self.account:
            line += ["--user", f"{self.account.uid}:{self.account.gid}"]
        for name, value in environment.items():
            line += ["--env", f"{name}={value}"]
        return [*line, "--", *command]


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running.

    Args:
        name: unique among the children; names its log.
        command: the program and its arguments.
        stop_order: children of a lower order are stopped, and gone, before those of a higher one are asked.
        environment: the whole environment; None is that of the supervisor (of a guarded one: empty, and no secrets
            in it, since it stands on a command line).
        ready: asked again and again after the start until it says yes; None: ready at once.
        ready_timeout: seconds it may take to become ready.
        patience: seconds during which a first start that fails is tried again.
        stop_signal: what asks it to stop.
        stop_timeout: seconds until it is killed after that. A guarded one has the sum of its guard's limits instead.
        log: where its output goes; default `<data>/logs/<name>.log`.
        guard: set for a foreign binary.
    """

    name: str
    command: Sequence[str]
    stop_order: StopOrder
    environment: Mapping[str, str] | None = None
    ready: Callable[[], Awaitable[bool]] | None = None
    ready_timeout: float = 30.0
    patience: float = 0.0
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 15.0
    log: Path | None = None
    guard: Guard | None = field(default=None)

    @property
    def stop_limit(self) -> float:
        """Seconds from the stop signal until the supervisor kills."""
        if self.guard is None:
            return self.stop_timeout
        return sum(seconds for _, seconds in self.guard.stops) + _MARGIN
