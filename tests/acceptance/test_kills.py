"""SIGKILL of any process while a batch and a background response run: nothing is lost, nothing is answered twice."""

import time
from collections import Counter
from collections.abc import Iterator

import openai
import psutil
import pytest
from acceptance.conftest import Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait

#: what names each process on its command line
ROLES = {
    "bulk worker": "--lane bulk",
    "dispatcher": "workers dispatcher",
    "API": "-m api",
    "interactive worker": "--lane interactive",
    "Valkey": "valkey-server",
    "Postgres": "postgres -D",
}


@pytest.fixture(scope="module")
def mortal() -> Iterator[Stack]:
    """A stack of its own: others must not notice."""
    with running({}) as found:
        yield found


def kill(stack: Stack, mark: str) -> None:
    """One process of a role; a guard, which only watches one, is spared."""
    for process in psutil.Process(stack.process.pid).children(recursive=True):
        command = " ".join(process.cmdline())
        if mark in command and "guard.py" not in command:
            process.kill()
            return
    raise AssertionError(f"no process has {mark!r} on its command line")


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_process_loses_nothing(mortal: Stack, role: str):
    client = mortal.client(max_retries=8)
    lines = [
        chat_line(f"{role}-{n}", f"[[delay: 400]][[echo: {n}]]", "fast" if n % 2 else "claude") for n in range(1500)
    ]
    batch = submit(client, jsonl(lines))
    response = client.responses.create(model="fast", input=f"[[delay: 900]][[echo: {role}]]", background=True)
    started = time.monotonic()
    while client.batches.retrieve(batch.id).request_counts.completed < 100:  # type: ignore[union-attr]
        assert time.monotonic() - started < 60
        time.sleep(0.02)
    kill(mortal, ROLES[role])
    ended = wait(client, batch.id)
    assert (ended.status, ended.error_file_id) == ("completed", None)
    answered = Counter(line["custom_id"] for line in lines_of(client, ended.output_file_id))
    assert answered == Counter(line["custom_id"] for line in lines)
    assert _text(client, response.id) == role
    mortal.webhooks.wait_for(batch.id)


def _text(client: openai.OpenAI, response_id: str) -> str:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        response = client.responses.retrieve(response_id)
        if response.status not in ("queued", "in_progress"):
            return response.output_text
        time.sleep(0.1)
    raise AssertionError("the response did not end")
