"""Results of a batch while it runs, over HTTP and from the terminal."""

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from acceptance.conftest import KEY, OTHER_KEY, ROOT, Stack
from acceptance.test_batches import chat_line, jsonl, lines_of, submit, wait


def live(stack: Stack, batch_id: str, query: str = "") -> Iterator[dict[str, Any]]:
    request = urllib.request.Request(f"{stack.url}/v1/batches/{batch_id}/results{query}")
    request.add_header("authorization", f"Bearer {KEY}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        for line in answer:
            if line != b"\n":
                yield json.loads(line)


def test_live_lines_are_those_of_the_files_and_come_before_the_end(client: openai.OpenAI, stack: Stack):
    lines = [chat_line(f"q-{n}", f"[[delay: {40 * n}]] [[echo: {n}]]") for n in range(30)]
    lines += [chat_line("refused", "[[error: 400]]"), chat_line("é\u2028漢", "[[echo: x]]")]
    batch = submit(client, jsonl(lines))
    following = live(stack, batch.id, "?follow=true")
    first = [next(following) for _ in range(4)]
    assert client.batches.retrieve(batch.id).status == "in_progress"
    following.close()  # hang up, and go on
    seen = first + list(live(stack, batch.id, f"?after={first[-1]['number']}&follow=true"))
    ended = wait(client, batch.id)
    assert [line["number"] for line in seen] == list(range(1, 33))
    assert list(live(stack, batch.id)) == seen, "the same order after the end"
    assert list(live(stack, batch.id, "?after=30")) == seen[30:]
    assert list(live(stack, batch.id, "?after=99&follow=true")) == []
    plain = [{key: value for key, value in line.items() if key != "number"} for line in seen]
    filed = lines_of(client, ended.output_file_id) + lines_of(client, ended.error_file_id)
    by_id = {line["custom_id"]: line for line in plain}
    assert by_id == {line["custom_id"]: line for line in filed}
    assert len(plain) == len(filed) == 32


def test_cancelled_lines_are_told_too(client: openai.OpenAI, stack: Stack):
    batch = submit(client, jsonl([chat_line(str(n), "[[delay: 60000]]") for n in range(5)]))
    seen: list[dict[str, Any]] = []
    reader = threading.Thread(target=lambda: seen.extend(live(stack, batch.id, "?follow=true")))
    reader.start()
    client.batches.cancel(batch.id)
    assert wait(client, batch.id).status == "cancelled"
    reader.join(30)
    assert {line["custom_id"] for line in seen} == {str(n) for n in range(5)}
    assert {line["error"]["code"] for line in seen} == {"batch_cancelled"}


def test_who_and_what_may_not_be_asked(client: openai.OpenAI, stack: Stack):
    batch = submit(client, jsonl([chat_line("a", "hi")]))
    path = f"/v1/batches/{batch.id}/results"
    for query, param in [("after=-1", "after"), ("after=x", "after"), ("after=", "after"), ("follow=maybe", "follow")]:
        status, body = stack.call("GET", f"{path}?{query}")
        assert (status, body["error"]["param"]) == (400, param)
    assert stack.call("GET", path, key=OTHER_KEY)[0] == 404
    assert stack.call("GET", f"{path}?follow=true", key=OTHER_KEY)[0] == 404
    assert stack.call("GET", "/v1/batches/batch_1/results")[0] == 404
    assert stack.call("GET", path, key=None)[0] == 401


def test_results_that_were_deleted_are_not_told_any_more(client: openai.OpenAI, stack: Stack):
    batch = wait(client, submit(client, jsonl([chat_line("a", "hi")])).id)
    client.files.delete(batch.output_file_id or "")
    status, body = stack.call("GET", f"/v1/batches/{batch.id}/results")
    assert (status, body["error"]["code"]) == (404, None)
    assert client.batches.retrieve(batch.id).output_file_id == batch.output_file_id


@pytest.mark.parametrize("follow", [True, False])
def test_a_refused_batch_has_no_lines(client: openai.OpenAI, stack: Stack, follow: bool):
    batch = submit(client, b"nonsense")
    wait(client, batch.id)
    assert list(live(stack, batch.id, f"?follow={str(follow).lower()}")) == []


def test_the_terminal_follows(client: openai.OpenAI, stack: Stack):
    batch = submit(client, jsonl([chat_line(str(n), f"[[delay: {100 * n}]] hi") for n in range(8)]))
    command = [sys.executable, "-m", "cli.main", "results", batch.id, "--follow", "--url", stack.url, "--key", KEY]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["number"] for line in done.stdout.splitlines()] == list(range(1, 9))


def test_an_answer_of_unknown_price_makes_the_cost_unknown(client: openai.OpenAI):
    """Not zero: nobody knows."""
    batch = wait(client, submit(client, jsonl([chat_line("a", "hi"), chat_line("b", "hi", "unpriced")])).id)
    assert batch.model_extra is not None
    assert batch.model_extra["cost"] is None
