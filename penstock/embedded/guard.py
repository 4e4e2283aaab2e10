"""A tiny process between the supervisor and a foreign binary, which cannot watch a pipe by itself.

    python -m penstock.embedded.guard --fd 5 --stop 2:20 --stop 3:5 [--user 65534:65534] [--env TZ=UTC] -- postgres -D …

It starts the command in a session of its own and passes its exit code on. When the other end of the inherited pipe
`--fd` closes (the supervisor is gone, even by SIGKILL) or a SIGTERM comes, it sends the first `--stop` signal; after
that signal's limit in seconds, or at another SIGTERM, the next one; after the last, SIGKILL. The command's environment
is what `--env` names and nothing else; the guard's own is the supervisor's, as its Python may need that to start.

Only a handful of built-in modules are imported: it starts within some 20 ms, also by path and without site-packages.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

_USAGE = "usage: guard --fd N --stop SIGNAL:SECONDS [--stop …] [--user UID:GID] [--env NAME=VALUE …] -- command …"
_PR_SET_PDEATHSIG = 1
_NOTED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class _Plan(NamedTuple):
    lifeline: int
    stops: list[tuple[int, float]]
    user: tuple[int, int] | None
    environment: dict[str, str]
    command: list[str]


def main(arguments: list[str]) -> int:
    """Run the command until it ends; return its exit code, 128 + n if signal n ended it, 2 on wrong arguments."""
    try:
        plan = _parse(arguments)
    except (ValueError, IndexError):
        os.write(2, (_USAGE + "\n").encode())
        return 2
    os.set_inheritable(plan.lifeline, False)
    wake, written_by_signals = os.pipe()
    os.set_blocking(written_by_signals, False)
    signal.set_wakeup_fd(written_by_signals, warn_on_full_buffer=False)
    for number in _NOTED:
        signal.signal(number, _noted)
    return _watch(plan, _start(plan), wake)


def _parse(arguments: list[str]) -> _Plan:
    split = arguments.index("--")
    lifeline, user, stops, environment = -1, None, [], {}
    for name, value in zip(arguments[:split:2], arguments[1:split:2], strict=True):
        if name == "--fd":
            lifeline = int(value)
        elif name == "--stop":
            number, seconds = value.split(":")
            stops.append((int(number), float(seconds)))
        elif name == "--user":
            uid, gid = value.split(":")
            user = (int(uid), int(gid))
        elif name == "--env":
            variable, _, content = value.partition("=")
            environment[variable] = content
        else:
            raise ValueError(name)
    if lifeline < 0 or not stops or not arguments[split + 1 :]:
        raise ValueError(arguments)
    return _Plan(lifeline, stops, user, environment, arguments[split + 1 :])


def _noted(_number: int, _frame: object) -> None:
    """Does nothing: the signal's number is read from the wake-up pipe."""


def _start(plan: _Plan) -> int:
    guard = os.getpid()
    end_with_parent = _end_with_parent()
    # until the child has let go of our handlers, a signal for it would be noted in our pipe and lost to the command
    signal.pthread_sigmask(signal.SIG_BLOCK, _NOTED)
    child = os.fork()
    if child == 0:
        try:
            _become(plan, guard, end_with_parent)
        except OSError as error:
            os.write(2, f"{plan.command[0]}: {error}\n".encode())
        finally:
            os._exit(127)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOTED)
    return child


def _become(plan: _Plan, guard: int, end_with_parent: Callable[[int], None]) -> NoReturn:
    signal.set_wakeup_fd(-1)
    for number in _NOTED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _NOTED)
    os.setsid()
    if plan.user:
        os.setgroups([])
        os.setgid(plan.user[1])
        os.setuid(plan.user[0])
    end_with_parent(plan.stops[0][0])  # after the change of user, which would undo it
    if os.getppid() != guard:
        os._exit(127)
    os.umask(0o077)
    os.chdir("/")
    os.execvpe(plan.command[0], plan.command, plan.environment)  # noqa: S606 - to become the command is its purpose


def _end_with_parent() -> Callable[[int], None]:
    """On Linux: asks the kernel to send us a signal when the guard itself is killed. Elsewhere: nothing.

    Made ready as the user who may read this Python's files, which the command's user perhaps may not.
    """
    if sys.platform != "linux":
        return lambda _number: None
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    return lambda number: prctl(_PR_SET_PDEATHSIG, number)


def _watch(plan: _Plan, child: int, wake: int) -> int:
    steps = [*plan.stops, (int(signal.SIGKILL), 0.0)]
    watched = [plan.lifeline, wake]
    deadline: float | None = None
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable = select.select(watched, [], [], timeout)[0]
        next_step = not readable
        if wake in readable:
            next_step = any(number != signal.SIGCHLD for number in os.read(wake, 64))
        if plan.lifeline in readable:
            watched.remove(plan.lifeline)
            next_step = next_step or deadline is None
        if next_step and steps:
            number, limit = steps.pop(0)
            os.kill(child, number)
            deadline = time.monotonic() + limit if steps else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
