"""CPU time of a running `penstock up`, by process group.

The process tree below the supervisor is read from the operating system. A process belongs to the group that its command
line names, else to its parent's (a Postgres backend to Postgres). What ended in between is not lost: a parent's account
holds the time of the children it has waited for (on Linux; macOS does not say).
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

import psutil

SUPERVISOR = "supervisor"
#: as they are listed
GROUPS = ("api", "dispatcher", "bulk worker", "interactive worker", "postgres", "redis", "flower", SUPERVISOR)
_SERVERS = {"postgres": "postgres", "valkey-server": "redis", "redis-server": "redis"}
_ROLES = {"api": "api", "dispatcher": "dispatcher", "flower": "flower", "up": SUPERVISOR}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """CPU seconds used so far by each group, and the processes seen, by group."""

    seconds: dict[str, float]
    processes: dict[str, frozenset[int]]

    def since(self, earlier: "Snapshot") -> dict[str, float]:
        """CPU seconds used by each group since an earlier snapshot."""
        return {group: used - earlier.seconds.get(group, 0.0) for group, used in self.seconds.items()}

    def restarted(self, earlier: "Snapshot") -> list[str]:
        """Groups with a process of ours that is not the one it was; Postgres' backends come and go."""
        groups = set(self.processes) | set(earlier.processes)
        return sorted(
            group
            for group in groups - {"postgres"}
            if self.processes.get(group, frozenset()) != earlier.processes.get(group, frozenset())
        )


def snapshot(supervisor: int) -> Snapshot:
    """Read the tree below the process `supervisor`, which is `penstock up`.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    seconds: dict[str, float] = {}
    processes: dict[str, set[int]] = {}
    pending = [(psutil.Process(supervisor), SUPERVISOR)]
    while pending:
        process, parents_group = pending.pop()
        try:
            # children first: one that ends between the two reads is then counted twice or not at all, never by halves
            children = process.children()
            group = group_of(process.cmdline()) or parents_group
            times = process.cpu_times()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            if process.pid == supervisor:
                raise
            continue
        used = times.user + times.system + times.children_user + times.children_system
        seconds[group] = seconds.get(group, 0.0) + used
        processes.setdefault(group, set()).add(process.pid)
        pending += [(child, group) for child in children]
    return Snapshot(seconds, {group: frozenset(pids) for group, pids in processes.items()})


def group_of(command: list[str]) -> str | None:
    """The group that a command line names; None: it says nothing, so the parent's."""
    if not command:
        return None
    if any(PurePath(word).name == "guard.py" for word in command[:6]):
        return SUPERVISOR
    server = _SERVERS.get(PurePath(command[0].split(":")[0].split(" ")[0]).name)
    if server:
        return server
    for before, word in pairwise(command):
        if (before, word) == ("-m", "api"):
            return "api"
        if before in ("workers", "cli.main") or PurePath(before).name == "penstock":
            if word == "worker":
                return "interactive worker" if "interactive" in command else "bulk worker"
            return _ROLES.get(word)
    return None
