"""Two API processes, two dispatchers and two bulk workers on one database, none of them under a supervisor."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import servers as test_servers
from acceptance.conftest import ADMIN_KEY, KEY, ROOT, Simulator, start_simulator, wait_until_ready
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_cancel_and_expiry import until
from ports import free_port

LEADS = "this dispatcher leads"
CONFIG = """
providers:
  sim: {{wire_format: openai, base_url: "{url}/v1", api_key: sim-key}}
models:
  fast: {{provider: sim}}
keys:
  - {{key: {key}, tenant: team}}
http: {{leaving_seconds: 2}}
"""


@dataclass
class Role:
    """One process, and what it logged."""

    process: subprocess.Popen[bytes]
    log: Path
    command: tuple[str, ...]

    def leads(self) -> int:
        """How often it began to lead."""
        return self.log.read_text().count(LEADS)

    def send(self, number: int) -> None:
        self.process.send_signal(number)


class Fleet:
    """The roles as an operator starts them on servers of their own."""

    def __init__(self, folder: Path, urls: dict[str, str], provider: Simulator) -> None:
        self._folder = folder
        self._environment = {**os.environ, **urls, "PENSTOCK_ADMIN_KEY": ADMIN_KEY, "PENSTOCK_SECRET_KEY": "k" * 43}
        self.provider = provider
        self.roles: list[Role] = []
        self.config = folder / "penstock.yaml"
        self.config.write_text(CONFIG.format(url=provider.url, key=KEY))
        self.ports = (free_port(), free_port())
        self.apis: list[Role] = []
        self.dispatchers: list[Role] = []

    def begin(self) -> None:
        """Start all, the second dispatcher when the first leads."""
        self.apis = [self.start("api", "--port", str(port)) for port in self.ports]
        self.dispatchers = [self.start("dispatcher")]
        for lane in ("bulk", "bulk", "interactive", "interactive"):
            self.start("worker", "--lane", lane)
        for api, port in zip(self.apis, self.ports, strict=True):
            wait_until_ready(f"http://127.0.0.1:{port}", api.process, api.log)  # type: ignore[arg-type]
        until(self.dispatchers[0].leads, 180)
        self.dispatchers.append(self.start("dispatcher"))

    def start(self, role: str, *options: str) -> Role:
        log = self._folder / f"{len(self.roles)}-{role}.log"
        command = [sys.executable, "-m", "cli.main", role, "--config", str(self.config), *options]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )
        self.roles.append(Role(process, log, (role, *options)))
        return self.roles[-1]

    def roll(self, role: Role) -> None:
        """Ask a role to stop, and start it again once it has."""
        role.send(signal.SIGTERM)
        # the HTTP server sends itself the signal again once it is done
        assert role.process.wait(180) in {0, -signal.SIGTERM}, role.log.read_text()[-2000:]
        self.roles.remove(role)
        name, *options = role.command
        new = self.start(name, *options)
        if name == "api":
            port = int(options[options.index("--port") + 1])
            wait_until_ready(f"http://127.0.0.1:{port}", new.process, new.log)  # type: ignore[arg-type]
        else:
            until(lambda: name == "dispatcher" or "exchange=" in new.log.read_text(), 180)

    def client(self, api: int, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.ports[api]}/v1", api_key=KEY, timeout=60, **options)

    def stop(self) -> None:
        for role in self.roles:
            if role.process.poll() is None:
                role.send(signal.SIGCONT)
                role.send(signal.SIGTERM)
        for role in self.roles:
            role.process.wait(180)


@contextmanager
def fleet_on(**given: str) -> Iterator[Fleet]:
    """All roles on embedded servers, but for those whose URL is given by the name of its variable."""
    folder = Path(tempfile.mkdtemp(prefix="pfleet-"))
    provider = start_simulator("openai", "--latency-ms", "20")
    with test_servers.embedded() as servers:
        own = {"DATABASE": servers.database, "REDIS": servers.redis, "BROKER": servers.broker}
        urls = {f"PENSTOCK_{name}_URL": url for name, url in own.items()} | given
        found = Fleet(folder, urls, provider)
        try:
            found.begin()
            yield found
        finally:
            found.stop()
            provider.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with fleet_on() as found:
        yield found


def test_when_the_leader_is_killed_the_other_leads_and_nothing_is_done_twice(fleet: Fleet):
    first, second = fleet.dispatchers
    lines = [chat_line(f"k-{n}", f"[[delay: 300]][[echo: {n}]]") for n in range(4000)]
    batch = submit(fleet.client(0), jsonl(lines))
    # what one API took in, the other shows
    other = fleet.client(1)
    until(lambda: other.batches.retrieve(batch.id).request_counts.completed >= 200)  # type: ignore[union-attr]
    assert second.leads() == 0
    first.send(signal.SIGKILL)
    killed, done = time.monotonic(), other.batches.retrieve(batch.id).request_counts
    until(lambda: second.leads() == 1, 60)
    # and the API that took the batch in is gone as well
    fleet.apis[0].send(signal.SIGKILL)
    ended = wait(other, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    answered = Counter(line["custom_id"] for line in lines_of(other, ended.output_file_id))
    assert answered == Counter(line["custom_id"] for line in lines)
    stats = fleet.provider.stats()
    assert (stats["calls"], stats["repeated_requests"]) == (4000, 0)
    assert done is not None
    assert done.completed < 4000, f"it had ended before the leader was killed, at {killed}"


def test_a_rolling_restart_of_every_role_loses_no_request(fleet: Fleet):
    """Two clients call and two read streams all the time, as behind a balancer that asks who is ready."""
    batch = submit(fleet.client(0), jsonl([chat_line(f"r-{n}", f"[[delay: 1000]][[echo: {n}]]") for n in range(5000)]))
    over = threading.Event()

    def call(number: int) -> int:
        done = 0
        while not over.is_set():
            text = f"{number}-{done} and some more words to stream"
            assert balanced(fleet, text, stream=number % 2 == 1) == text
            done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        callers = [pool.submit(call, number) for number in range(4)]
        try:
            for role in list(fleet.roles):
                fleet.roll(role)
        finally:
            over.set()
        assert all(caller.result(60) > 3 for caller in callers)
    client = fleet.client(0)
    ended = wait(client, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    answered = Counter(line["custom_id"] for line in lines_of(client, ended.output_file_id))
    assert answered == Counter(f"r-{n}" for n in range(5000))
    assert fleet.provider.stats()["repeated_requests"] == 0, "running calls were let end"


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=10).is_success
    except httpx.HTTPError:
        return False


def balanced(fleet: Fleet, text: str, *, stream: bool) -> str:
    """What an API answers that is ready."""
    messages: list[Any] = [{"role": "user", "content": f"[[delay: 300]][[echo: {text}]]"}]
    for api in itertools.cycle((0, 1)):
        if not is_ready(fleet.ports[api]):
            continue
        http = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))
        client = fleet.client(api, max_retries=0, http_client=http)
        try:
            if stream:
                chunks = client.chat.completions.create(model="fast", messages=messages, stream=True)
                return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
            return client.chat.completions.create(model="fast", messages=messages).choices[0].message.content or ""
        finally:
            http.close()
    raise AssertionError("no API took it")


def test_a_leader_that_was_asleep_gives_way(fleet: Fleet):
    """It wakes up believing that it leads: for a moment there are two, and still each job is called once."""
    first, second = fleet.dispatchers
    client = fleet.client(1)
    batch = submit(client, jsonl([chat_line(f"s-{n}", f"[[delay: 300]][[echo: {n}]]") for n in range(3000)]))
    until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 100)  # type: ignore[union-attr]
    first.send(signal.SIGSTOP)
    until(lambda: second.leads() == 1, 60)
    first.send(signal.SIGCONT)
    more = submit(client, jsonl([chat_line(f"t-{n}", f"[[delay: 100]][[echo: t{n}]]") for n in range(1000)]))
    for one in (batch, more):
        ended = wait(client, one.id)
        assert (ended.status, ended.error_file_id) == ("completed", None)
    stats = fleet.provider.stats()
    assert (stats["calls"], stats["repeated_requests"]) == (4000, 0)
    assert (first.leads(), second.leads()) == (1, 1)
    assert client.chat.completions.create(
        model="fast", messages=[{"role": "user", "content": "[[echo: here]]"}]
    ).choices[0].message.content == "here"  # fmt: skip
