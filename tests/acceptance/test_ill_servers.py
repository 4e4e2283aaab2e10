"""Servers that are away, read-only, full or slow: submissions are refused honestly, nothing is restarted after."""

import itertools
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
import openai
import psutil
import psycopg
import pytest
import redis
from acceptance.conftest import KEY, Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait

from penstock.embedded.urls import find_running

#: longer than the pool tries one connection, and than a lost heartbeat is forgiven at once
OUTAGE_SECONDS = 6


@pytest.fixture(scope="module")
def ailing() -> Iterator[Stack]:
    """A stack of its own: others must not notice."""
    with running({}) as found:
        yield found


def _sql(stack: Stack, *statements: str) -> None:
    """As an administrator, who may write also where others may only read."""
    urls = find_running(stack.data)
    assert urls is not None
    with psycopg.connect(urls.database, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            connection.execute(statement.encode())


@contextmanager
def stopped(stack: Stack) -> Iterator[None]:
    """Immediate stop; the supervisor is held meanwhile, or it would start the server again at once."""
    server = int((stack.data / "postgres" / "postmaster.pid").read_text().split("\n")[0])
    stack.process.send_signal(signal.SIGSTOP)
    psutil.Process(server).send_signal(signal.SIGQUIT)
    try:
        yield
    finally:
        stack.process.send_signal(signal.SIGCONT)


@contextmanager
def read_only(stack: Stack) -> Iterator[None]:
    """As a replica is, after a failover that went the wrong way."""
    _sql(stack, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        yield
    finally:
        _sql(stack, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")


@contextmanager
def full_disk(stack: Stack) -> Iterator[None]:
    """Whatever makes a table larger is refused, as when no page can be added to it."""
    tables = ("job_requests", "job_results", "file_chunks", "attempts")
    _sql(
        stack,
        "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        " 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$",
        *(f"CREATE TRIGGER no_space BEFORE INSERT ON {table} EXECUTE FUNCTION no_space()" for table in tables),
    )
    try:
        yield
    finally:
        _sql(stack, "DROP FUNCTION no_space CASCADE")


@contextmanager
def locked(stack: Stack) -> Iterator[None]:
    """Every statement about jobs waits, as behind somebody's ALTER TABLE."""
    urls = find_running(stack.data)
    assert urls is not None
    with psycopg.connect(urls.database) as connection:
        connection.execute("LOCK TABLE jobs, job_requests, files IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def processes(stack: Stack) -> dict[int, str]:
    """The processes of Penstock itself."""
    found = {}
    for process in psutil.Process(stack.process.pid).children(recursive=True):
        command = " ".join(process.cmdline())
        if ("-m api" in command or "-m workers" in command) and "guard.py" not in command:
            found[process.pid] = command
    return found


def post(stack: Stack, path: str, headers: Mapping[str, str] = {}, **content: Any) -> httpx.Response:
    """An answer must come within the limits of locks and connections (10 s each)."""
    return httpx.post(stack.url + path, headers={"authorization": f"Bearer {KEY}", **headers}, timeout=25, **content)


def assert_refused(answer: httpx.Response) -> None:
    """To be asked again, in the envelope of the vendor whose client is asking."""
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["retry-after"]) >= 1
    error = answer.json()["error"]
    assert error["message"]
    assert error["type"] == ("overloaded_error" if "anthropic-version" in answer.request.headers else "server_error")


@contextmanager
def full_redis(stack: Stack) -> Iterator[None]:
    """Whatever makes it larger is refused."""
    urls = find_running(stack.data)
    assert urls is not None
    with redis.Redis.from_url(urls.redis) as client:
        before = client.config_get("maxmemory")["maxmemory"]
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            client.config_set("maxmemory", before)


@contextmanager
def frozen_redis(stack: Stack) -> Iterator[None]:
    """Connected, and silent."""
    servers = [p for p in psutil.Process(stack.process.pid).children(recursive=True) if "valkey-server" in p.name()]
    for server in servers:
        server.suspend()
    try:
        yield
    finally:
        for server in servers:
            server.resume()


def begin(stack: Stack, name: str) -> tuple[openai.types.Batch, set[str]]:
    """A batch with calls under way, and its custom_ids."""
    client = stack.client(max_retries=8)
    lines = [chat_line(f"{name}-{n}", f"[[delay: 300]][[echo: {n}]]", "fast") for n in range(3000)]
    batch = submit(client, jsonl(lines))
    deadline = time.monotonic() + 60
    while client.batches.retrieve(batch.id).request_counts.completed < 100:  # type: ignore[union-attr]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return batch, {line["custom_id"] for line in lines}


def assert_all_well(stack: Stack, batch: openai.types.Batch, custom_ids: set[str], taken: dict[str, str]) -> None:
    """What was taken before and meanwhile was done once, and what comes now is."""
    client = stack.client(max_retries=8)
    ended = wait(client, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    answered = Counter(line["custom_id"] for line in lines_of(client, ended.output_file_id))
    assert answered == Counter(custom_ids)
    deadline = time.monotonic() + 60
    for response_id, text in taken.items():
        while (response := client.responses.retrieve(response_id)).status in ("queued", "in_progress"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert response.output_text == text
    assert client.responses.create(model="fast", input="[[echo: well]]").output_text == "well"


@pytest.mark.parametrize("ill", [stopped, read_only, full_disk, locked])
def test_an_ill_database_refuses_honestly_and_is_survived(
    ailing: Stack, ill: Callable[[Stack], AbstractContextManager[None]]
):
    before = processes(ailing)
    batch, custom_ids = begin(ailing, ill.__name__)
    response = {"model": "fast", "input": "[[echo: after all]]", "background": True}
    message = {"model": "claude", "max_tokens": 50, "messages": [{"role": "user", "content": "hello"}]}
    ways = [
        lambda: post(ailing, "/v1/messages", {"anthropic-version": "2023-06-01"}, json=message),
        lambda: post(ailing, "/v1/responses", json=response),
        lambda: post(ailing, "/v1/files", data={"purpose": "batch"}, files={"file": ("x.jsonl", b"{}")}),
    ]
    with ill(ailing):
        ends = time.monotonic() + OUTAGE_SECONDS
        for way in itertools.cycle(ways):
            assert_refused(way())
            if time.monotonic() > ends:
                break
    deadline = time.monotonic() + 60
    while (answer := post(ailing, "/v1/responses", json=response)).status_code != 200:
        assert_refused(answer)
        assert time.monotonic() < deadline
    assert_all_well(ailing, batch, custom_ids, {answer.json()["id"]: "after all"})
    assert processes(ailing) == before


@pytest.mark.parametrize("ill", [full_redis, frozen_redis])
def test_an_ill_redis_holds_work_up_and_loses_none(ailing: Stack, ill: Callable[[Stack], AbstractContextManager[None]]):
    before = processes(ailing)
    batch, custom_ids = begin(ailing, ill.__name__)
    taken = {}
    with ill(ailing):
        ends = time.monotonic() + OUTAGE_SECONDS
        while time.monotonic() < ends:
            text = f"number {len(taken)}"
            response = {"model": "fast", "input": f"[[echo: {text}]]", "background": True}
            answer = post(ailing, "/v1/responses", json=response)
            assert answer.status_code == 200, answer.text
            taken[answer.json()["id"]] = text
            time.sleep(0.2)
        late = submit(ailing.client(), jsonl([chat_line(f"late-{n}", "[[echo: x]]", "fast") for n in range(10)]))
    assert_all_well(ailing, batch, custom_ids, taken)
    assert wait(ailing.client(), late.id).status == "completed"
    assert processes(ailing) == before
