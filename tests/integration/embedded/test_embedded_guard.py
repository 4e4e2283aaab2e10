"""The guard stops its command when it should, by the right signals, and says how it ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import pytest

from penstock.embedded import guard

_GUARD = (sys.executable, "-I", "-S", str(guard.__file__))
#: tells when its traps are set; INT and TERM are overridden by each test
_LOOP = "echo ready; while :; do sleep 0.05; done"


@dataclass
class Guarded:
    process: subprocess.Popen[str]
    lifeline: int

    def ends(self) -> int:
        return self.process.wait(30)


@contextmanager
def guarded(script: str, *stops: str, await_ready: bool = True, zone: str = "") -> Iterator[Guarded]:
    inherited, held = os.pipe()
    line = [*_GUARD, "--fd", str(inherited), "--env", f"PATH={os.defpath}", "--env", f"TZ={zone}"]
    for stop in stops:
        line += ["--stop", stop]
    process = subprocess.Popen(
        [*line, "--", "/bin/sh", "-c", script], pass_fds=(inherited,), stdout=subprocess.PIPE, text=True
    )
    os.close(inherited)
    try:
        assert process.stdout is not None
        if await_ready:
            assert process.stdout.readline() == "ready\n"
        yield Guarded(process, held)
    finally:
        os.close(held)
        process.wait(30)
        process.stdout.close()


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 128 + 9)])
def test_the_commands_end_is_passed_on(script: str, code: int) -> None:
    with guarded(script, "15:5", await_ready=False) as it:
        assert it.ends() == code


def test_a_closed_pipe_sends_the_first_signal() -> None:
    inherited, held = os.pipe()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "penstock.embedded.guard", "--fd", str(inherited), "--stop", "2:30"),
            *("--stop", "15:30", "--", "/bin/sh", "-c", f"trap 'exit 7' INT; trap 'exit 8' TERM; {_LOOP}"),
        ],
        pass_fds=(inherited,),
        stdout=subprocess.PIPE,
    )
    os.close(inherited)
    assert process.stdout is not None
    process.stdout.readline()
    os.close(held)
    assert process.wait(30) == 7
    process.stdout.close()


def test_sigterm_sends_the_first_signal() -> None:
    with guarded(f"trap 'exit 7' INT; trap 'exit 8' TERM; {_LOOP}", "2:30", "15:30") as it:
        it.process.terminate()
        assert it.ends() == 7


def test_a_deaf_command_gets_the_next_signal_after_the_limit() -> None:
    with guarded(f"trap '' INT; trap 'exit 8' TERM; {_LOOP}", "2:0.1", "15:30") as it:
        it.process.terminate()
        assert it.ends() == 8


def test_another_sigterm_does_not_wait_for_the_limit() -> None:
    with guarded(f"trap 'echo asked' INT; trap 'exit 8' TERM; {_LOOP}", "2:600", "15:600") as it:
        it.process.terminate()
        assert it.process.stdout is not None
        assert it.process.stdout.readline() == "asked\n"
        it.process.terminate()
        assert it.ends() == 8


def test_a_command_deaf_to_all_is_killed() -> None:
    with guarded(f"trap '' INT TERM; {_LOOP}", "2:0.1", "15:0.1") as it:
        it.process.terminate()
        assert it.ends() == 128 + 9


def test_the_command_is_in_a_session_of_its_own() -> None:
    with guarded(f"trap 'exit 7' TERM; {_LOOP}", "15:30") as it:
        (command,) = psutil.Process(it.process.pid).children()
        assert os.getsid(command.pid) == command.pid
        it.process.terminate()
        it.ends()


def test_the_command_sees_only_the_environment_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGOPTIONS", "-c fsync=off")
    with guarded('[ "$TZ" = UTC ] && [ -z "$PGOPTIONS" ] && exit 7', "15:5", zone="UTC", await_ready=False) as it:
        assert it.ends() == 7


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_a_killed_guard_takes_its_command_along() -> None:
    with guarded(f"trap 'exit 7' INT; {_LOOP}", "2:30") as it:
        (command,) = psutil.Process(it.process.pid).children()
        it.process.kill()
        assert it.ends() == -signal.SIGKILL
        assert psutil.wait_procs([command], timeout=30)[1] == []


@pytest.mark.parametrize("_attempt", range(10))
def test_a_pipe_that_is_closed_already_ends_the_command_by_the_first_signal(_attempt: int) -> None:
    """The signal may come before the command has even begun: it must be neither lost nor counted twice."""
    inherited, held = os.pipe()
    os.close(held)
    line = [*_GUARD, "--fd", str(inherited), "--stop", "15:600"]
    process = subprocess.Popen([*line, "--", "sleep", "600"], pass_fds=(inherited,))
    os.close(inherited)
    assert process.wait(30) == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--fd", "FD", "--stop", "15:5", "--", "/no/such/binary"], 127),
        (["--fd", "FD", "--", "true"], 2),
        (["--stop", "15:5", "--", "true"], 2),
        (["--fd", "FD", "--stop", "15:5"], 2),
    ],
)
def test_what_cannot_be_run_is_said(arguments: list[str], code: int) -> None:
    inherited, held = os.pipe()
    try:
        ended = subprocess.run(
            [*_GUARD, *(str(inherited) if argument == "FD" else argument for argument in arguments)],
            pass_fds=(inherited,),
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(inherited)
        os.close(held)
    assert ended.returncode == code
    assert ended.stderr
