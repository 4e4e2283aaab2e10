"""Two API processes, two dispatchers and two bulk workers on one database, none of them under a supervisor."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
import servers as test_servers
from acceptance.conftest import ADMIN_KEY, KEY, ROOT, Simulator, free_port, start_simulator, wait_until_ready
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_cancel_and_expiry import until

LEADS = "this dispatcher leads"
CONFIG = """
providers:
  sim: {{wire_format: openai, base_url: "{url}/v1", api_key: sim-key}}
models:
  fast: {{provider: sim}}
keys:
  - {{key: {key}, tenant: team}}
"""


@dataclass
class Role:
    """One process, and what it logged."""

    process: subprocess.Popen[bytes]
    log: Path

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
        for lane in ("bulk", "bulk", "interactive"):
            self.start("worker", "--lane", lane)
        for api, port in zip(self.apis, self.ports, strict=True):
            wait_until_ready(f"http://127.0.0.1:{port}", api.process, api.log, 150)  # type: ignore[arg-type]
        until(self.dispatchers[0].leads, 60)
        self.dispatchers.append(self.start("dispatcher"))

    def start(self, role: str, *options: str) -> Role:
        log = self._folder / f"{len(self.roles)}-{role}.log"
        command = [sys.executable, "-m", "cli.main", role, "--config", str(self.config), *options]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=output, stderr=subprocess.STDOUT
            )
        self.roles.append(Role(process, log))
        return self.roles[-1]

    def client(self, api: int, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"http://127.0.0.1:{self.ports[api]}/v1", api_key=KEY, timeout=60, **options)

    def stop(self) -> None:
        for role in self.roles:
            if role.process.poll() is None:
                role.send(signal.SIGCONT)
                role.send(signal.SIGTERM)
        for role in self.roles:
            role.process.wait(60)


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    folder = Path(tempfile.mkdtemp(prefix="pfleet-"))
    provider = start_simulator("openai", "--latency-ms", "20")
    with test_servers.embedded() as servers:
        urls = {
            "PENSTOCK_DATABASE_URL": servers.new_database(),
            "PENSTOCK_REDIS_URL": servers.redis,
            "PENSTOCK_BROKER_URL": servers.broker,
        }
        found = Fleet(folder, urls, provider)
        try:
            found.begin()
            yield found
        finally:
            found.stop()
            provider.stop()
    shutil.rmtree(folder, ignore_errors=True)


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
    until(lambda: second.leads() == 1, 15)
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


def test_a_leader_that_was_asleep_gives_way(fleet: Fleet):
    """It wakes up believing that it leads: for a moment there are two, and still each job is called once."""
    first, second = fleet.dispatchers
    client = fleet.client(1)
    batch = submit(client, jsonl([chat_line(f"s-{n}", f"[[delay: 300]][[echo: {n}]]") for n in range(3000)]))
    until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 100)  # type: ignore[union-attr]
    first.send(signal.SIGSTOP)
    until(lambda: second.leads() == 1, 15)
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
