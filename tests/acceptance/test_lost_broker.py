"""RabbitMQ is killed and comes back empty while a batch runs: its queues held rings only, and those are rung again."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait
from acceptance.test_cancel_and_expiry import until
from acceptance.test_fleet_of_roles import Fleet, fleet_on
from ports import free_port

#: not the wrapper on the path, which becomes another user
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(not SERVER.exists(), reason="RabbitMQ is not installed here"),
]


class Broker:
    """A RabbitMQ node of its own, whose data is gone with it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        plugins, settings, variables = (folder / name for name in ("plugins", "rabbitmq.conf", "rabbitmq-env.conf"))
        plugins.write_text("[].")
        settings.write_text(f"listeners.tcp.local = 127.0.0.1:{self.port}\n")
        variables.touch()
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"penstock{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_CONF_ENV_FILE": str(variables),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_LOG_BASE": str(folder),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        }
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        data = tempfile.mkdtemp(dir=self._folder)
        with (self._folder / "output.log").open("ab") as output:
            process = subprocess.Popen(
                [str(SERVER)],
                env={**self._environment, "RABBITMQ_MNESIA_BASE": data},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self._listens, 300)
        return process

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def restart(self) -> None:
        self.process = self._start()


@pytest.fixture
def rabbit() -> Iterator[Broker]:
    folder = Path(tempfile.mkdtemp(prefix="prabbit-"))
    broker = Broker(folder)
    try:
        yield broker
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fleet(rabbit: Broker) -> Iterator[Fleet]:
    with fleet_on(PENSTOCK_BROKER_URL=f"amqp://guest:guest@127.0.0.1:{rabbit.port}//") as found:
        yield found


def test_a_broker_that_lost_everything_delays_work_and_loses_none(fleet: Fleet, rabbit: Broker):
    client = fleet.client(0)
    lines = [chat_line(f"b-{n}", f"[[delay: 300]][[echo: {n}]]") for n in range(1500)]
    batch = submit(client, jsonl(lines))
    until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 100)  # type: ignore[union-attr]
    rabbit.kill()
    # submissions do not need it
    response = client.responses.create(model="fast", input="[[echo: meanwhile]]", background=True)
    time.sleep(3)
    rabbit.restart()
    ended = wait(client, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    answered = Counter(line["custom_id"] for line in lines_of(client, ended.output_file_id))
    assert answered == Counter(line["custom_id"] for line in lines)
    until(lambda: client.responses.retrieve(response.id).status == "completed", 60)
    answer = client.chat.completions.create(model="fast", messages=[{"role": "user", "content": "[[echo: here]]"}])
    assert answer.choices[0].message.content == "here"
    assert fleet.provider.stats()["repeated_requests"] == 0
