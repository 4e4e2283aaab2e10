"""Batches as large as the limits allow, and a little larger; what the API's memory does meanwhile."""

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from acceptance.conftest import Stack
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait

#: the longest page, of whatever is read, placed or written in pages, has 1,000 lines
MANY = 2_500
#: bytes the API may grow by while much larger files pass through it
GROWTH = 48_000_000

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory of a process is read from /proc")


def api_process(stack: Stack) -> Path:
    """The folder under /proc of the stack's API."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                parent = (folder / "stat").read_text().rpartition(") ")[2].split()[1]
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(parent) == stack.process.pid and b"api" in words:
                return folder
    raise AssertionError("the stack has no API process")


def peak_memory(process: Path) -> int:
    """The most bytes it ever held."""
    (line,) = [line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def test_many_lines_are_answered_once_in_order(client: openai.OpenAI):
    """More than are read, placed or written at a time."""
    lines = [chat_line(f"q-{n}", f"[[echo: answer {n}]]") for n in range(MANY)]
    batch = wait(client, submit(client, jsonl(lines)).id, 300)
    assert (batch.status, batch.error_file_id) == ("completed", None)
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (MANY,) * 2 + (
        0,
    )
    answers = lines_of(client, batch.output_file_id)
    assert [answer["custom_id"] for answer in answers] == [f"q-{n}" for n in range(MANY)]
    for n, answer in enumerate(answers):
        assert answer["response"]["body"]["choices"][0]["message"]["content"] == f"answer {n}"


def long_lines(count: int) -> Iterator[bytes]:
    """JSONL with `count` requests of about 1,500 bytes."""
    line = json.dumps(chat_line("q-00000000", "[[tokens: 1]] " + "a long question " * 80)).encode() + b"\n"
    for n in range(count):
        yield line.replace(b"00000000", b"%08d" % n)


@linux
def test_fifty_thousand_lines_are_taken_with_constant_memory(client: openai.OpenAI, stack: Stack, tmp_path: Path):
    """The limit itself: the file is taken, read whole and given back while the API holds little of it."""
    path = tmp_path / "large.jsonl"
    with path.open("wb") as file:
        file.writelines(long_lines(50_000))
    api = api_process(stack)
    client.models.list()
    before = peak_memory(api)
    with path.open("rb") as content:
        file = client.files.create(file=content, purpose="batch")
    assert file.bytes == path.stat().st_size > GROWTH
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    while batch.status == "validating":
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    assert batch.status == "in_progress"
    assert batch.request_counts is not None
    assert batch.request_counts.total == 50_000
    with client.files.with_streaming_response.content(file.id) as answer:
        assert sum(map(len, answer.iter_bytes())) == file.bytes
    client.batches.cancel(batch.id)
    ended = wait(client, batch.id, 120)
    assert ended.request_counts is not None
    done, failed = ended.request_counts.completed, ended.request_counts.failed
    assert len(lines_of(client, ended.output_file_id)) == done
    assert done + failed <= 50_000
    assert peak_memory(api) - before < GROWTH


def test_one_request_too_many_fails_the_batch(client: openai.OpenAI):
    line = jsonl([chat_line("q-00000000", "one more")])
    lines = [line.replace(b"00000000", b"%08d" % n) for n in range(50_001)]
    batch = wait(client, submit(client, b"".join(lines)).id)
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [error.code for error in batch.errors.data] == ["too_many_requests"]
