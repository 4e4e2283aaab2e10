"""Cancel and expiry reach calls that run: the connection is closed, what was used is paid for, the end comes once."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import psycopg
import pytest
from acceptance.conftest import Stack
from acceptance.test_anthropic_batches import counts, one, results_of
from acceptance.test_anthropic_batches import wait as wait_for_messages
from acceptance.test_batches import chat_line, jsonl, submit, wait

from penstock.embedded.urls import find_running

ENDED = ("succeeded", "failed", "cancelled", "expired")


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def job(stack: Stack, job_id: str) -> dict[str, Any]:
    return stack.call("GET", f"/v1/jobs/{job_id}")[1]


def start(stack: Stack, text: str, **more: Any) -> str:
    return stack.call("POST", "/v1/jobs", {"model": "fast", "input": text} | more)[1]["id"]


def let_the_window_close(stack: Stack, table: str, object_id: str) -> None:
    running = find_running(stack.data)
    if running is None:
        pytest.skip("the clock is set through the embedded database")
    with psycopg.connect(running.database, autocommit=True) as connection:
        uuid = object_id.rpartition("_")[2]
        connection.execute(f"UPDATE {table} SET expires_at = now() WHERE id = %s", [uuid])


def test_a_cancelled_call_is_closed_and_paid_for(stack: Stack):
    before = stack.openai_wire.stats()["abandoned"]
    job_id = start(stack, "[[tokens: 4000]]")
    until(lambda: job(stack, job_id)["output"] or job(stack, job_id)["started"])
    time.sleep(0.5)
    ended = stack.call("POST", f"/v1/jobs/{job_id}/cancel")[1]
    assert ended["status"] == "cancelled"
    until(lambda: stack.openai_wire.stats()["abandoned"] > before)
    (attempt,) = job(stack, job_id)["attempts"]
    assert attempt["outcome"] == "cancelled"
    assert attempt["input_tokens"] > 0
    # it had been written for half a second at 400 tokens a second; the answer has 4000
    assert 10 < attempt["output_tokens"] < 2000
    assert attempt["cost"] == pytest.approx((attempt["input_tokens"] + 2 * attempt["output_tokens"]) / 1e6)
    assert job(stack, job_id)["cost"] == pytest.approx(attempt["cost"])


def test_a_job_that_is_cancelled_about_when_it_ends_ends_once(stack: Stack):
    """Each of many is cancelled at a moment near its end; whatever was first stays."""

    def race(seed: int) -> str:
        chance = random.Random(seed)
        job_id = start(stack, f"[[delay: 150]][[echo: {seed}]]")
        time.sleep(chance.uniform(0.1, 0.4))
        said = stack.call("POST", f"/v1/jobs/{job_id}/cancel")[1]
        assert said["status"] in ENDED
        again = stack.call("POST", f"/v1/jobs/{job_id}/cancel")[1]
        assert (again["status"], again["output"]) == (said["status"], said["output"])
        if said["status"] == "succeeded":
            assert said["output"]["text"] == str(seed)
        assert [a["outcome"] for a in again["attempts"]].count("succeeded") == (said["status"] == "succeeded")
        return said["status"]

    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(race, range(120)))
    # both happened, or nothing was provoked
    assert set(found) == {"succeeded", "cancelled"}


def test_a_cancelled_batch_closes_its_calls_and_pays_for_them(client: openai.OpenAI, stack: Stack):
    before = stack.openai_wire.stats()["abandoned"]
    batch = submit(client, jsonl([chat_line(f"c-{n}", "[[delay: 60000]]") for n in range(30)]))
    until(lambda: stack.openai_wire.stats()["in_flight"] >= 30)
    client.batches.cancel(batch.id)
    ended = wait(client, batch.id)
    assert ended.status == "cancelled"
    until(lambda: stack.openai_wire.stats()["in_flight"] == 0)
    assert stack.openai_wire.stats()["abandoned"] == before + 30
    assert ended.usage is not None
    assert ended.usage.input_tokens > 0
    assert ended.cost > 0  # type: ignore[attr-defined]


def test_a_message_batch_whose_window_closes_keeps_what_was_answered(stack: Stack):
    messages: anthropic.Anthropic = stack.anthropic_client()
    before = stack.openai_wire.stats()["succeeded"]
    texts = ["hi" if n < 3 else "[[delay: 60000]]" for n in range(40)]
    made = messages.messages.batches.create(requests=[one(f"e-{n}", text) for n, text in enumerate(texts)])
    until(lambda: stack.openai_wire.stats()["succeeded"] >= before + 3)
    until(lambda: stack.openai_wire.stats()["in_flight"] >= 37)
    time.sleep(1)  # the answers are committed
    let_the_window_close(stack, "batches", made.id)
    ended = wait_for_messages(messages, made.id)
    assert counts(ended) == (0, 3, 0, 0, 37)
    found = results_of(messages, made.id)
    assert {name for name, result in found.items() if result.type == "succeeded"} == {"e-0", "e-1", "e-2"}
    assert sum(result.type == "expired" for result in found.values()) == 37
    until(lambda: stack.openai_wire.stats()["in_flight"] == 0)


def test_a_job_with_a_window_expires_with_its_call(stack: Stack):
    job_id = start(stack, "[[delay: 60000]]", completion_window="2h", priority=-3)
    found = job(stack, job_id)
    assert (found["priority"], found["expires_at"]) == (-3, pytest.approx(found["created_at"] + 7200, abs=2))
    until(lambda: stack.openai_wire.stats()["in_flight"] >= 1)
    let_the_window_close(stack, "jobs", job_id)
    until(lambda: job(stack, job_id)["status"] == "expired")
    until(lambda: stack.openai_wire.stats()["in_flight"] == 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [("priority", "high"), ("priority", 101), ("priority", True), ("completion_window", "soon"),
     ("completion_window", "0h"), ("completion_window", "337h"), ("completion_window", 24)],
)  # fmt: skip
def test_urgency_that_is_none_is_refused(stack: Stack, field: str, value: Any):
    status, body = stack.call("POST", "/v1/jobs", {"model": "fast", "input": "hi", field: value})
    assert (status, body["error"]["param"]) == (400, field)
