"""A worker killed while it asks two models at once: which calls are made again."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from acceptance.conftest import CONFIG, KEY, Stack, running
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait

from load import cpu
from load.coalescing import Death, calls_of, explain
from load.simulated import started

#: after which a dead worker's jobs are known to be taken up again
PATIENCE = 90.0
PERMITS = 100


@pytest.fixture(scope="module")
def witnesses() -> Iterator[tuple[str, str]]:
    """Two providers that write down their calls, a quick and a slow one: what comes early has to wait for the other."""
    with started("load.witness", "100") as quick, started("load.witness", "5000") as slow:
        yield quick, slow


@pytest.fixture(scope="module")
def abreast(witnesses: tuple[str, str]) -> Iterator[Stack]:
    quick, slow = witnesses
    providers = "".join(
        f"  {name}: {{{{wire_format: openai, base_url: '{url}/v1'}}}}\n" for name, url in (("p1", quick), ("p2", slow))
    )
    # a witness tells 20 tokens of a prompt and 10 of an answer
    price = "price: {{input: 10, output: 20}}"
    models = f"  quick: {{{{provider: p1, {price}}}}}\n  slow: {{{{provider: p2, {price}}}}}\n"
    routes = (
        "routes:\n  both: {{strategy: escalation, steps: [quick, slow], parallel: 2, accept: {{agreement: exact}}}}\n"
    )
    config = CONFIG.replace("models:\n", f"{providers}models:\n{models}", 1).replace("keys:\n", f"{routes}keys:\n", 1)
    with running({}, config_text=config + f"worker: {{{{permits: {PERMITS}}}}}\n") as found:
        yield found


def costs(stack: Stack, batch_id: str) -> list[dict[str, Any]]:
    request = urllib.request.Request(f"{stack.url}/v1/batches/{batch_id}/costs")
    request.add_header("authorization", f"Bearer {KEY}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [json.loads(line) for line in answer.read().splitlines()]


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def kill_busiest(stack: Stack, *ports: int) -> list[Death]:
    """Kill the bulk worker with the most connections to these ports; its death as each of them saw it."""
    workers = cpu.snapshot(stack.process.pid).processes["bulk worker"]

    def connections(pid: int, port: int) -> frozenset[int]:
        found = psutil.Process(pid).net_connections("tcp")
        return frozenset(one.laddr.port for one in found if one.raddr and one.raddr.port == port)

    busiest = max(workers, key=lambda pid: sum(len(connections(pid, port)) for port in ports))
    os.kill(busiest, signal.SIGSTOP)
    table = [row.split() for row in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    unread = frozenset(int(row[1].split(":")[1], 16) for row in table if int(row[4].split(":")[1], 16))
    deaths = [Death(time.time(), connections(busiest, port), unread) for port in ports]
    os.kill(busiest, signal.SIGKILL)
    return deaths


def test_only_what_was_under_way_is_asked_again(abreast: Stack, witnesses: tuple[str, str]):
    client = abreast.client()
    questions = [f"killed {n}" for n in range(200)]
    batch_id = submit(client, jsonl([chat_line(f"k-{n}", text, "both") for n, text in enumerate(questions)])).id
    deadline = time.monotonic() + 60
    while sum(call["ended"] is not None for call in calls_of(witnesses[1])) < 10:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    deaths = kill_busiest(abreast, *map(_port, witnesses))
    batch = wait(client, batch_id, PATIENCE)
    assert batch.request_counts
    assert (batch.request_counts.completed, batch.request_counts.failed) == (len(questions), 0)
    again = 0
    for url, death in zip(witnesses, deaths, strict=True):
        calls = calls_of(url)
        assert {call["asked"] for call in calls} == set(questions)
        repeats = explain(calls, death)
        assert repeats.unexplained == []
        assert len(calls) == len(questions) + repeats.under_way + repeats.unkept
        again += len(calls) - len(questions)
    # else nothing was seen of what happens to the slow calls under way
    assert 0 < again <= 2 * PERMITS
    assert len(lines_of(client, batch.output_file_id)) == len(questions)
    # a call whose answer is used was written down by the worker that made it, and counts once
    for line in costs(abreast, batch_id):
        assert line["calls"] == 2 or (line["calls"] == 3 and again > 0)
        assert line["cost"] == pytest.approx(line["calls"] * 0.0004)
