"""Ports for processes that must be told one before they listen."""

import os
import random
import socket

#: below those the system gives to connections that go out, any of which may take a port between its choice and its use
_FIRST, _PER_PROCESS, _PROCESSES = 12_000, 2_500, 8


def _own_range() -> range:
    """Processes of one test run never give out the same port."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    first = _FIRST + worker * _PER_PROCESS
    return range(first, first + _PER_PROCESS)


#: from anywhere on: another test run on this machine has the same ranges
_range = _own_range()
_next = random.randrange(len(_range))


def free_port() -> int:
    """A port on which nobody listens now, and which is not given out again before all others were."""
    global _next  # noqa: PLW0603 - one for the process
    for _ in _range:
        port = _range[_next % len(_range)]
        _next += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
