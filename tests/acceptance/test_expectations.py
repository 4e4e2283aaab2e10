"""What is told of a batch before it ends: when that will be, and that it cannot meet its window."""

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import openai
import pytest
from acceptance.conftest import CONFIG, Stack, running
from acceptance.test_anthropic_batches import one
from acceptance.test_batches import CHAT, chat_line, jsonl, wait
from acceptance.test_cancel_and_expiry import until

#: five requests a second and none at hand, as the provider has it
TIGHT = """
  tight: {{provider: sim-openai, limits: {{requests_per_minute: 300, burst_seconds: 1}}}}
keys:
"""


@pytest.fixture(scope="module")
def limited() -> Iterator[Stack]:
    with running({}, workers=1, config_text=CONFIG.replace("keys:\n", TIGHT.lstrip("\n"))) as found:
        yield found


def submit(client: openai.OpenAI, count: int, window: str = "24h", **more: Any) -> openai.types.Batch:
    content = jsonl([chat_line(f"l-{n}", f"[[echo: {n}]]", "tight", max_tokens=20) for n in range(count)])
    file = client.files.create(file=content, purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window=window, extra_body=more  # type: ignore[arg-type]
    )  # fmt: skip


def estimate(client: openai.OpenAI, batch_id: str) -> float | None:
    return client.batches.retrieve(batch_id).estimated_completion_at  # type: ignore[attr-defined, no-any-return]


def test_the_end_of_a_batch_is_foretold(limited: Stack):
    """At five a second the first takes 12 s and the second, behind it, 24; the first prophecy comes long before."""
    client = limited.client()
    one = submit(client, 60)
    assert (one.estimated_completion_at, one.warning) == (None, None)  # type: ignore[attr-defined]
    # which of two files is read first, nobody knows
    until(lambda: client.batches.retrieve(one.id).status == "in_progress")
    time.sleep(0.5)
    two = submit(client, 60)
    until(lambda: estimate(client, one.id) and estimate(client, two.id), 60)
    at = [estimate(client, batch.id) for batch in (one, two)]
    ended = [wait(client, batch.id).completed_at for batch in (one, two)]
    assert at == pytest.approx(ended, abs=6)
    assert estimate(client, one.id) is None


def test_what_cannot_meet_its_window_is_said(limited: Stack):
    """20,000 requests at five a second take more than an hour; ten that come after them in a short window go first."""
    client = limited.client()
    long = submit(client, 20_000, "1h")
    until(lambda: client.batches.retrieve(long.id).warning, 60)  # type: ignore[attr-defined]
    found = client.batches.retrieve(long.id)
    assert found.completion_window == "1h"
    assert estimate(client, long.id) > found.expires_at  # type: ignore[operator]
    small = submit(client, 10, priority=-1)
    assert wait(client, small.id).status == "completed"
    client.batches.cancel(long.id)
    assert wait(client, long.id).status == "cancelled"


def test_message_batches_are_told_of_too(limited: Stack):
    messages = limited.anthropic_client()
    made = messages.messages.batches.create(
        requests=[one(f"m-{n}", model="tight") for n in range(60)], extra_headers={"Penstock-Priority": "7"}
    )
    until(lambda: messages.messages.batches.retrieve(made.id).estimated_completion_at, 60)  # type: ignore[attr-defined]
    at = messages.messages.batches.retrieve(made.id).estimated_completion_at  # type: ignore[attr-defined]
    assert 0 < datetime.fromisoformat(at).timestamp() - time.time() < 60
    messages.messages.batches.cancel(made.id)
