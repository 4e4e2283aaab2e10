"""How a role of our own notices that its supervisor is gone: the inherited end of a pipe closes."""

import os
import signal
import stat
import threading
import time

from penstock.settings import environment

#: names the inherited read end of the supervisor's pipe
FD_VARIABLE = "PENSTOCK_SUPERVISOR_FD"


def watch_supervisor(limit: float = 30.0) -> bool:
    """Watch the supervisor from a daemon thread; when it is gone, end this process.

    The process gets SIGTERM, so that it stops as usual; `limit` seconds later it exits hard. To be called once, by a
    role's start-up. Returns whether there is a supervisor to watch (a role started by hand has none).
    """
    number = environment(FD_VARIABLE)
    if number is None or not number.isdigit():
        return False
    descriptor = int(number)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return False
        os.set_inheritable(descriptor, False)
    except OSError:  # the variable came along without the pipe: a process started by a role
        return False
    threading.Thread(target=_watch, args=(descriptor, limit), name="watch-supervisor", daemon=True).start()
    return True


def _watch(descriptor: int, limit: float) -> None:
    while os.read(descriptor, 64):
        pass  # nothing is ever written; only the end counts
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(limit)
    os._exit(1)
