"""Memory of a running `penstock up` over time, by process group, and of its Redis.

Resident bytes are the operating system's. A group's figure is its largest process, since that is what has to fit.
Postgres shares its buffers between backends, so its figure says little and is left out.
"""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import redis

from load.cpu import group_of
from penstock.embedded.urls import find_running

_LOOK_SECONDS = 0.5
_LEFT_OUT = {"postgres", "flower", "supervisor"}
MB = 1_000_000


class MemoryWatch:
    """Looks twice a second from `with` to its end; figures in megabytes."""

    def __init__(self, supervisor: int, data: Path) -> None:
        self._supervisor = supervisor
        urls = find_running(data)
        assert urls is not None  # it is running
        self._redis = redis.Redis.from_url(urls.redis)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.first: dict[str, float] = {}
        self.peak: dict[str, float] = {}
        self.last: dict[str, float] = {}
        #: seconds since the begin, and what each group had then
        self.series: list[tuple[float, dict[str, float]]] = []

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        self._redis.close()

    def result(self) -> dict[str, dict[str, float]]:
        """First, largest and last of each group."""
        return {
            group: {"first": self.first[group], "peak": self.peak[group], "last": self.last.get(group, 0.0)}
            for group in sorted(self.first)
        }

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        now = {group: round(size / MB, 1) for group, size in self._sizes().items()}
        self.first = self.first or now
        self.last = now
        self.peak = {group: max(size, self.peak.get(group, 0.0)) for group, size in now.items()}
        self.series.append((round(time.monotonic() - self._began, 1), now))

    def _sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = {"redis, used_memory": int(self._redis.info("memory")["used_memory"])}
        for process in psutil.Process(self._supervisor).children(recursive=True):
            try:
                group, size = group_of(process.cmdline()), process.memory_info().rss
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            if group is not None and group not in _LEFT_OUT:
                sizes[group] = max(size, sizes.get(group, 0))
        return sizes
