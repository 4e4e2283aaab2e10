"""A simulated provider in a process of its own, and the orders that it takes."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from load.engine import ROOT, BenchFailed


@contextmanager
def provider(*options: str) -> Iterator[str]:
    """Start one with these options of `penstock simulate`; gives its address."""
    command = [sys.executable, "-m", "cli.main", "simulate", "--port", "0", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise BenchFailed("the simulator did not start")
        try:
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)


def stats(url: str) -> dict[str, Any]:
    """What the provider has seen."""
    with urllib.request.urlopen(f"{url}/_sim/stats", timeout=10) as answer:
        found: dict[str, Any] = orjson.loads(answer.read())
        return found


def faults(url: str, **changes: Any) -> None:
    """Order faults until the next order."""
    request = urllib.request.Request(f"{url}/_sim/faults", data=orjson.dumps(changes), method="POST")
    urllib.request.urlopen(request, timeout=10).close()
