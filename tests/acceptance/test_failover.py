"""The database fails over to a synchronous replica while all roles run: nothing is lost or repeated."""

import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import openai
import psycopg
import pytest
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_cancel_and_expiry import until
from acceptance.test_fleet_of_roles import Fleet, fleet_on

from penstock.embedded.folders import SERVER_ENVIRONMENT, DataFolder
from penstock.embedded.postgres import Postgres
from penstock.store.schema import migrate


@dataclass
class Server:
    """A PostgreSQL server on a folder of its own."""

    data: DataFolder
    process: subprocess.Popen[bytes]

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.data.run}"

    def sql(self, *statements: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url(), autocommit=True) as connection:
            for statement in statements[:-1]:
                connection.execute(statement.encode())
            return connection.execute(statements[-1].encode()).fetchall()


@contextmanager
def serving(data: DataFolder) -> Iterator[Server]:
    """The server of a data folder, with the settings of an embedded one."""
    child = Postgres(data, max_connections=200).child()
    identity = {} if data.account is None else {"user": data.account.uid, "group": data.account.gid, "extra_groups": []}
    process = subprocess.Popen(child.command, env=dict(SERVER_ENVIRONMENT), cwd="/", **identity)  # type: ignore[call-overload]
    server = Server(data, process)
    try:
        until(lambda: _answers(server), 60)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGQUIT)
        process.wait(30)


def _answers(server: Server) -> bool:
    try:
        return bool(server.sql("SELECT 1"))
    except psycopg.OperationalError:
        return False


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary and a replica without which it commits nothing."""
    folder = Path(tempfile.mkdtemp(prefix="ppair-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        first, second = DataFolder(folder / "a"), DataFolder(folder / "b")
        stack.callback(first.close)
        stack.callback(second.close)
        Postgres(first, max_connections=200).prepare()
        primary = stack.enter_context(serving(first))
        copy = second.path / "postgres"
        copy.mkdir(mode=0o700)
        second.give(copy)
        tool = Path(primary.process.args[0]).parent / "pg_basebackup"  # type: ignore[index,arg-type]
        command = [str(tool), "-h", str(first.run), "-U", "postgres", "-D", str(copy), "--write-recovery-conf"]
        made = second.run_as_account([*command, "--checkpoint=fast"])
        assert made.returncode == 0, made.stdout
        replica = stack.enter_context(serving(second))
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        until(lambda: primary.sql("SELECT sync_state FROM pg_stat_replication") == [("sync",)])
        yield primary, replica


@pytest.fixture
def fleet(pair: tuple[Server, Server]) -> Iterator[Fleet]:
    primary, replica = pair
    primary.sql("CREATE DATABASE penstock", "SELECT 1")
    migrate(primary.url("penstock"))
    both = f"{primary.data.run},{replica.data.run}"
    url = f"postgresql://postgres@/penstock?host={both}&target_session_attrs=read-write"
    with fleet_on(PENSTOCK_DATABASE_URL=url) as found:
        yield found


def test_a_failover_loses_nothing_and_repeats_nothing(fleet: Fleet, pair: tuple[Server, Server]):
    primary, replica = pair
    client = fleet.client(0, max_retries=0)
    lines = [chat_line(f"f-{n}", f"[[delay: 300]][[echo: {n}]]") for n in range(1500)]
    batch = submit(client, jsonl(lines))
    until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 100)  # type: ignore[union-attr]
    accepted: list[str] = []
    refused: list[int] = []
    primary.process.send_signal(signal.SIGQUIT)
    promotion = threading.Timer(2, replica.sql, ["SELECT pg_promote()"])
    promotion.start()
    gone = time.monotonic()
    while len(accepted) < 20:
        try:
            text = f"[[echo: after-{len(accepted)}]]"
            accepted.append(client.responses.create(model="fast", input=text, background=True).id)
        except openai.InternalServerError as error:
            refused.append(error.status_code)
        assert time.monotonic() < gone + 60
    promotion.join()
    assert set(refused) <= {503}
    for number, response_id in enumerate(accepted):
        until(lambda response_id=response_id: client.responses.retrieve(response_id).status == "completed", 60)
        assert client.responses.retrieve(response_id).output_text == f"after-{number}"
    ended = wait(client, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    answered = Counter(line["custom_id"] for line in lines_of(client, ended.output_file_id))
    assert answered == Counter(line["custom_id"] for line in lines)
    stats = fleet.provider.stats()
    assert stats["repeated_requests"] == 0
