"""Whatever way a secret comes into what a process writes, it is not in it."""

import subprocess
import sys

#: one process, since logging is set up once for all of it
_PROGRAM = """
import logging, structlog
from penstock import startup

startup.configure_logs()
startup._redactor.learn(["mark0known0secret"])
log = structlog.get_logger()
log.warning("structured", value="mark0known0secret", nested={"deep": ["mark0known0secret"]})
log.warning("mark0known0secret in the words", url="redis://:mark0password@cache:6379/0")
log.warning("asked for", path="/a\\nforged line")
logging.getLogger("library").warning("said %s", "Authorization: Bearer mark0of0nobody")
try:
    raise RuntimeError("mark0known0secret")
except RuntimeError:
    log.exception("caught by us")
    logging.getLogger("library").exception("caught by it")
raise RuntimeError("nobody caught mark0known0secret")
"""


def test_logs_and_tracebacks_are_redacted():
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    for said in ("structured", "in the words", "said", "caught by us", "caught by it", "nobody caught ***"):
        assert said in ended.stderr
    assert not any(line.startswith("forged") for line in ended.stderr.splitlines())
    assert r"/a\nforged line" in ended.stderr
    assert ended.returncode == 1
    # a traceback shows the lines of a program, and a string given by -c has none to show
    assert "mark0" not in ended.stderr
