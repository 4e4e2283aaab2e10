"""The whole of Penstock as its user meets it: real processes, real SDKs, simulated providers over real HTTP."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import servers as test_servers
from acceptance.mirror import Mirror, mirroring
from ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
KEY, OTHER_KEY, ADMIN_KEY = "sk-team-a-key", "sk-team-b-key", "sk-admin-key"
#: of a tenant that may ask three times a minute
SMALL_KEY = "sk-team-small-key"


@dataclass
class Simulator:
    """A simulated provider in a process of its own."""

    process: subprocess.Popen[str]
    url: str

    def faults(self, **changes: Any) -> None:
        """Order faults, such as `outage="status"`, until the next order."""
        body = json.dumps(changes).encode()
        request = urllib.request.Request(f"{self.url}/_sim/faults", data=body, method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_sim/stats", timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(15)


def start_simulator(wire_format: str, *options: str) -> Simulator:
    command = [sys.executable, "-m", "cli.main", "simulate", "--wire-format", wire_format, "--port", "0", *options]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    match = re.search(r"http://\S+", line)
    assert match, f"the simulator said {line!r}"
    return Simulator(process, match[0])


@dataclass
class Receiver:
    """A webhook receiver: keeps the headers and bodies it was sent, and answers with `status`."""

    url: str
    status: int = 204
    deliveries: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def wait_for(self, object_id: str, seconds: float = 60) -> tuple[dict[str, str], bytes]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for headers, body in list(self.deliveries):
                if json.loads(body)["data"]["id"] == object_id:
                    return headers, body
            time.sleep(0.05)
        raise AssertionError(f"no webhook came for {object_id}")


@contextmanager
def receiving() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.deliveries.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(receiver.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()


@dataclass
class Stack:
    """A running Penstock and what surrounds it."""

    url: str
    data: Path
    process: subprocess.Popen[str]
    openai_wire: Simulator
    anthropic_wire: Simulator
    mirror: Mirror
    webhooks: Receiver
    flower_url: str
    log: Path
    environment: dict[str, str]

    def stop(self) -> int:
        """Stop Penstock as Ctrl-C does, and give its exit status; the simulators stay."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(180)

    def restart(self) -> None:
        """Stop Penstock, and start it again as it was started, over the same data."""
        assert self.stop() == 0
        with self.log.open("a") as output:
            self.process = subprocess.Popen(
                self.process.args, cwd=ROOT, env=self.environment, stdout=output, stderr=subprocess.STDOUT, text=True
            )
        wait_until_ready(self.url, self.process, self.log)

    def client(self, key: str = KEY, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, **{"max_retries": 0, "timeout": 60} | options)

    def anthropic_client(self, key: str = KEY, **options: Any) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key=key, **{"max_retries": 0, "timeout": 60} | options)

    def call(self, method: str, path: str, body: Any = None, key: str | None = KEY, **headers: str) -> tuple[int, Any]:
        """A raw HTTP call; returns status and parsed body."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        request.add_header("content-type", "application/json")
        if key:
            request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")


CONFIG = """
providers:
  sim-openai:
    wire_format: openai
    base_url: {openai}/v1
    api_key: sim-key
  sim-anthropic:
    wire_format: anthropic
    base_url: {anthropic}
    api_key: sim-key
  sim-responses:
    wire_format: openai-responses
    base_url: {openai}/v1
    api_key: sim-key
  mirror:
    wire_format: openai
    base_url: {mirror}
    api_key: sim-key
    quirks: {{reasoning_field: reasoning_content}}
models:
  thinker: {{provider: sim-responses}}
  mirror: {{provider: mirror}}
  fast: {{provider: sim-openai, price: {{input: 1, output: 2}}, context: 4000}}
  claude: {{provider: sim-anthropic, price: {{input: 3, output: 15}}, context: 200000}}
  claude-kept: {{provider: sim-anthropic, price: {{input: 3, cached_input: 0.3, cache_write: 3.75, output: 15}}}}
  unpriced: {{provider: sim-openai, upstream_model: of-unknown-price}}
keys:
  - {{key: {key}, tenant: team-a}}
  - {{key: {other}, tenant: team-b}}
  - {{key: {small}, tenant: team-small, tier: small}}
tiers:
  small: {{requests_per_minute: 3}}
webhooks:
  endpoints:
    - {{url: "{hook}", secret: "{secret}"}}
  retry_schedule: [0.2, 0.5, 1]
  allow_networks: [127.0.0.0/8]
"""


def wait_until_ready(url: str, process: subprocess.Popen[str], log: Path, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url + "/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"penstock is not ready:\n{log.read_text()[-3000:]}")


@contextmanager
def running(
    servers_environment: dict[str, str], *, workers: int = 2, config_text: str = CONFIG, flower: bool = False
) -> Iterator[Stack]:
    """`penstock up` and what it talks to; Flower, one more process to wait for, where it is asked for.

    Its data folder is not new: what happens in one that is, `test_operator` sees.
    """
    folder = Path(tempfile.mkdtemp(prefix="pacc-"))
    folder.chmod(0o755)
    test_servers.copy_made(folder / "data")
    port, flower_port = free_port(), free_port()
    openai_wire = start_simulator("openai", "--latency-ms", "20", "--tokens-per-second", "400", "--answer-tokens", "24")
    anthropic_wire = start_simulator("anthropic", "--latency-ms", "20", "--answer-tokens", "24")
    with receiving() as receiver, mirroring() as mirror:
        config = folder / "penstock.yaml"
        config.write_text(
            config_text.format(
                openai=openai_wire.url,
                anthropic=anthropic_wire.url,
                key=KEY,
                other=OTHER_KEY,
                small=SMALL_KEY,
                mirror=mirror.url,
                hook=receiver.url,
                secret=SECRET,
            )
        )
        environment = {**os.environ, "PENSTOCK_ADMIN_KEY": ADMIN_KEY, **servers_environment}
        arguments = ["--port", str(port), "--workers", str(workers)]
        arguments += ["--flower-port", str(flower_port)] if flower else ["--no-flower"]
        command = [sys.executable, "-m", "cli.main", "up", "--config", str(config), "--data", str(folder / "data")]
        log = folder / "up.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [*command, *arguments], cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
            )
        stack = Stack(
            url=f"http://127.0.0.1:{port}",
            data=folder / "data",
            process=process,
            openai_wire=openai_wire,
            anthropic_wire=anthropic_wire,
            mirror=mirror,
            webhooks=receiver,
            flower_url=f"http://127.0.0.1:{flower_port}",
            log=log,
            environment=environment,
        )
        try:
            wait_until_ready(stack.url, process, log)
            yield stack
        finally:
            stack.stop()
            openai_wire.stop()
            anthropic_wire.stop()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", params=["embedded", pytest.param("external", marks=pytest.mark.external)])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Penstock on embedded servers, and in the external set on yours."""
    if request.param == "embedded":
        with running({}, flower=True) as found:
            yield found
        return
    with test_servers.external() as outside:
        database = outside.new_database()
        outside.empty_redis()
        environment = {
            "PENSTOCK_DATABASE_URL": database,
            "PENSTOCK_REDIS_URL": outside.redis,
            "PENSTOCK_BROKER_URL": outside.broker,
        }
        with running(environment, flower=True) as found:
            yield found
        outside.drop_database(database)


@pytest.fixture
def client(stack: Stack) -> openai.OpenAI:
    return stack.client()
