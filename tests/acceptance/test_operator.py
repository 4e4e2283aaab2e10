"""What an operator gets wrong, and the answers: one line that names it, exit code 1, no traceback."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from acceptance.conftest import ROOT, wait_until_ready
from ports import free_port

from penstock.embedded.urls import find_running

GOOD = """
providers:
  sim: {wire_format: openai, base_url: "http://127.0.0.1:9/v1", api_key: k}
models:
  fast: {provider: sim}
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pop-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def penstock(folder: Path, config: str | None, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    file = folder / "penstock.yaml"
    if config is not None:
        file.write_text(config)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")} | variables
    command = [sys.executable, "-m", "cli.main", *arguments]
    if arguments[0] == "up":
        command += ["--config", str(file), "--data", str(folder / "data")]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "no such configuration file"),
        ("providers: [", "cannot be read as YAML"),
        ("- a list", "top level must be a mapping"),
        (GOOD.replace("base_url", "base_ulr"), "providers.sim.base_ulr: there is no such key here"),
        (GOOD.replace("wire_format: openai, ", ""), "providers.sim.wire_format: is required"),
        (GOOD.replace("api_key: k", 'api_key: "${PENSTOCK_NO_SUCH_KEY}"'), "PENSTOCK_NO_SUCH_KEY is not set"),
        (GOOD.replace("{provider: sim}", "{provider: simm}"), "there is no provider `simm`"),
        (GOOD + "keys: [{key: short}]", "keys[0].key: must have at least 8 characters"),
    ],
)
def test_a_wrong_configuration_is_named(folder: Path, config: str | None, said: str):
    ended = penstock(folder, config, "up", "--no-flower", "--port", str(free_port()))
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_named_with_the_option_that_changes_it(folder: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = penstock(folder, GOOD, "up", "--no-flower", "--port", str(port))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "--port" in ended.stderr


def test_a_role_alone_says_what_it_misses(folder: Path):
    (folder / "penstock.yaml").write_text(GOOD)
    for role in ("api", "worker", "dispatcher"):
        ended = penstock(folder, None, role, "--config", str(folder / "penstock.yaml"), "--data", str(folder / "none"))
        assert ended.returncode == 1
        assert "penstock up" in ended.stderr
        assert "Traceback" not in ended.stderr


def start(folder: Path) -> tuple[subprocess.Popen[str], str, Path]:
    port = free_port()
    log = folder / "up.log"
    command = [sys.executable, "-m", "cli.main", "up", "--no-flower", "--port", str(port), "--workers", "1"]
    command += ["--config", str(folder / "penstock.yaml"), "--data", str(folder / "data")]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}"
    wait_until_ready(url, process, log)
    return process, url, log


def stop(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    return process.wait(60)


def test_data_has_one_stack_and_a_newer_schema_is_refused(folder: Path):
    (folder / "penstock.yaml").write_text(GOOD)
    process, url, log = start(folder)
    key = (folder / "data" / "admin_key").read_text()
    assert (folder / "data" / "admin_key").stat().st_mode & 0o077 == 0
    assert key not in log.read_text()
    request = urllib.request.Request(url + "/v1/models", headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    second = penstock(folder, GOOD, "up", "--no-flower", "--port", str(free_port()))
    assert second.returncode == 1
    assert str(folder / "data") in second.stderr, "a second stack on the same data is refused"
    running = find_running(folder / "data")
    assert running is not None
    with psycopg.connect(running.database, autocommit=True) as connection:
        tables = connection.execute("SELECT count(*) FROM jobs").fetchone()
        assert tables == (0,)
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    assert stop(process) == 0
    assert find_running(folder / "data") is None
    newer = penstock(folder, GOOD, "up", "--no-flower", "--port", str(free_port()))
    assert newer.returncode == 1
    assert "written by a newer Penstock" in newer.stderr


def test_no_process_is_left_behind(folder: Path):
    import psutil

    (folder / "penstock.yaml").write_text(GOOD)
    process, _, _ = start(folder)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 6
    assert stop(process) == 0
    assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
