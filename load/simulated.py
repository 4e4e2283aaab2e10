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
def started(module: str, *arguments: str) -> Iterator[str]:
    """Run a Python module that prints the address it serves at, and end it; gives the address.

    Raises:
        BenchFailed: it printed none.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        if found is None:
            raise BenchFailed(f"{module} did not start")
        try:
            yield found[0]
        finally:
            process.send_signal(signal.SIGTERM)


@contextmanager
def provider(*options: str) -> Iterator[str]:
    """A simulated provider with these options of `penstock simulate`; gives its address."""
    with started("cli.main", "simulate", "--port", "0", *options) as url:
        yield url


def stats(url: str, *, detail: bool = False) -> dict[str, Any]:
    """What the provider has seen; with `detail` also every request."""
    with urllib.request.urlopen(f"{url}/_sim/stats?detail={int(detail)}", timeout=60) as answer:
        found: dict[str, Any] = orjson.loads(answer.read())
        return found


def faults(url: str, **changes: Any) -> None:
    """Order faults until the next order."""
    request = urllib.request.Request(f"{url}/_sim/faults", data=orjson.dumps(changes), method="POST")
    urllib.request.urlopen(request, timeout=10).close()
