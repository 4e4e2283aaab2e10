"""Workers of this machine that ended without a word: their successor need not wait until they are declared dead."""

from pathlib import Path

import psutil

from penstock.store.workers import WorkerRow

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
#: seconds by which the clocks of the operating system and of the database may differ
_SKEW = 60.0


def pid_space() -> str | None:
    """Names the set of processes of which this one is: one boot of one kernel, one namespace (a container's, say).

    None where the system does not say, which is everywhere but on Linux.
    """
    try:
        return f"{_BOOT.read_text('ascii').strip()}/{_NAMESPACE.readlink()}"
    except OSError:
        return None


def gone(worker: WorkerRow) -> bool:
    """Whether the process of a worker of this pid space has ended; its number may be another's by now."""
    try:
        process = psutil.Process(worker.pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return zombie or process.create_time() > worker.started_at.timestamp() + _SKEW
    except psutil.NoSuchProcess:
        return True
