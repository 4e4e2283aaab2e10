"""The supervisor, with small children: restarts, the order of stopping, haste, and what it says of a failure."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock.embedded import supervisor as module
from penstock.embedded.child import Child, StopOrder
from penstock.embedded.supervisor import StopRequested, Supervisor
from penstock.embedded.watch import FD_VARIABLE
from penstock.errors import Unavailable
from penstock.settings import child_environment


def shell(name: str, script: str, order: StopOrder = StopOrder.WORKER, **options: object) -> Child:
    return Child(name, ["/bin/sh", "-c", script], order, **options)  # type: ignore[arg-type]


def lasting(name: str, marks: Path, order: StopOrder = StopOrder.WORKER) -> Child:
    """Runs until SIGTERM, then appends its name to `marks`; ready once its trap is set."""
    up = marks.with_name(f"{name}.up")
    script = f"trap 'echo {name} >> {marks}; exit 0' TERM; touch {up}; while :; do sleep 0.05; done"
    return shell(name, script, order, ready=exists(up))


def deaf(name: str, up: Path, **options: object) -> Child:
    script = f"trap '' TERM; touch {up}; while :; do sleep 0.05; done"
    return shell(name, script, ready=exists(up), **options)


def exists(path: Path) -> Callable[[], Awaitable[bool]]:
    return lambda: asyncio.to_thread(path.exists)


async def never() -> bool:
    return False


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def test_children_stop_in_order(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    names = {"postgres": StopOrder.POSTGRES, "api": StopOrder.API, "worker": StopOrder.WORKER}
    async with Supervisor(tmp_path) as supervisor:
        for name, order in names.items():
            await supervisor.start(lasting(name, marks, order))
        os.kill(os.getpid(), signal.SIGTERM)
        assert await supervisor.run_until_stopped() == 0
    assert marks.read_text().split() == ["api", "worker", "postgres"]


async def test_each_child_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(lasting("worker", tmp_path / "marks"))
        pid = supervisor.pid("worker")
        assert pid is not None
        assert os.getsid(pid) == pid


async def test_a_dead_child_is_started_again(tmp_path: Path) -> None:
    again = tmp_path / "again"
    async with Supervisor(tmp_path) as supervisor:
        script = f"if [ -e {tmp_path}/first ]; then touch {again}; exec sleep 600; fi; touch {tmp_path}/first; exit 1"
        await supervisor.start(shell("worker", script))
        await until(again.exists)
        assert not supervisor.stopping


async def test_a_child_that_will_not_live_stops_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RESTART_DELAYS", (0.0, 0.0))
    marks = tmp_path / "marks"
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(lasting("api", marks, StopOrder.API))
        await supervisor.start(shell("worker", f"echo life >> {tmp_path}/w.lives; exit 3"))
        assert await supervisor.run_until_stopped() == 1
    assert marks.read_text().split() == ["api"]
    assert (tmp_path / "w.lives").read_text().count("life") == 3


async def test_a_child_that_ends_before_it_is_ready_is_reported_with_its_last_words(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(Unavailable, match=r"api did not start: exit code 4(?s:.*)the port is taken"):
            await supervisor.start(shell("api", "echo the port is taken >&2; exit 4", ready=never))


async def test_a_child_that_is_never_ready_is_stopped(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(Unavailable, match="not ready within"):
            await supervisor.start(shell("api", "exec sleep 600", ready=never, ready_timeout=0.1))
        assert supervisor.pid("api") is None


async def test_a_first_start_is_tried_again_while_there_is_patience(tmp_path: Path) -> None:
    script = f"if [ -e {tmp_path}/first ]; then touch {tmp_path}/up; exec sleep 600; fi; touch {tmp_path}/first; exit 1"
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(shell("postgres", script, ready=exists(tmp_path / "up"), patience=30.0))
        assert supervisor.pid("postgres") is not None


async def test_a_command_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        with pytest.raises(Unavailable, match=r"cannot be executed(?s:.*)No such file"):
            await supervisor.start(Child("api", ["/no/such/binary"], StopOrder.API))


async def test_a_deaf_child_is_killed_after_its_limit(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        await supervisor.start(deaf("worker", tmp_path / "up", stop_timeout=0.1))
        await supervisor.stop()
        assert supervisor.pid("worker") is None


async def test_a_second_signal_does_not_wait_for_the_limit(tmp_path: Path) -> None:
    async with asyncio.timeout(60), Supervisor(tmp_path) as supervisor:
        await supervisor.start(deaf("worker", tmp_path / "up", stop_timeout=3600.0))
        os.kill(os.getpid(), signal.SIGINT)
        ended = asyncio.create_task(supervisor.run_until_stopped())
        await until(lambda: supervisor.stopping)
        os.kill(os.getpid(), signal.SIGINT)
        assert await ended == 0


async def test_nothing_is_started_after_a_signal(tmp_path: Path) -> None:
    async with Supervisor(tmp_path) as supervisor:
        os.kill(os.getpid(), signal.SIGINT)
        await until(lambda: supervisor.stopping)
        with pytest.raises(StopRequested):
            await supervisor.start(shell("api", "exec sleep 600"))
        assert supervisor.pid("api") is None


@pytest.mark.parametrize(
    ("deaf_role", "code"), [(False, -signal.SIGTERM), (True, 1)], ids=["stops as usual", "exits hard after the limit"]
)
def test_a_role_ends_when_its_supervisor_is_gone(deaf_role: bool, code: int) -> None:
    inherited, held = os.pipe()
    script = (
        "import signal, time\n"
        "from penstock.embedded.watch import watch_supervisor\n"
        f"signal.signal(signal.SIGTERM, signal.{'SIG_IGN' if deaf_role else 'SIG_DFL'})\n"
        "print(watch_supervisor(limit=0.1), flush=True)\n"
        "time.sleep(600)\n"
    )
    role = subprocess.Popen(
        [sys.executable, "-c", script],
        env=child_environment({FD_VARIABLE: str(inherited), "PYTHONPATH": os.pathsep.join(sys.path)}),
        pass_fds=(inherited,),
        stdout=subprocess.PIPE,
        text=True,
    )
    os.close(inherited)
    assert role.stdout is not None
    assert role.stdout.readline() == "True\n"
    assert role.poll() is None
    os.close(held)
    assert role.wait(30) == code
    role.stdout.close()


@pytest.mark.parametrize("number", ["", "987", "not a number"])
def test_a_role_started_by_hand_watches_nothing(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.embedded.watch import watch_supervisor

    monkeypatch.setenv(FD_VARIABLE, number)
    assert watch_supervisor() is False
