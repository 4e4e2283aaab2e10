"""A fan-out over one long prefix costs little more than its own lines, through real processes and the vendor's SDK."""

import time
from typing import Any

import pytest
from acceptance.conftest import ADMIN_KEY, Stack

PREFIX = "The lore of the river. " * 700  # 16,100 characters: about 4,000 tokens
LINES = 200
#: of the price of plain input, as the vendor has it
READ, WRITE = 0.1, 1.25


def test_two_hundred_lines_over_one_prefix_cost_a_seventh(stack: Stack) -> None:
    client = stack.anthropic_client()
    before = stack.anthropic_wire.stats()
    batch = client.messages.batches.create(
        requests=[
            {
                "custom_id": f"line-{number}",
                "params": {
                    "model": "claude-kept",
                    "max_tokens": 100,
                    "system": PREFIX,
                    "messages": [{"role": "user", "content": f"What of stretch {number}?"}],
                },
            }
            for number in range(LINES)
        ]
    )
    deadline = time.monotonic() + 120
    while client.messages.batches.retrieve(batch.id).processing_status != "ended":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    answers = [line.result for line in client.messages.batches.results(batch.id)]
    assert [answer.type for answer in answers] == ["succeeded"] * LINES
    after = stack.anthropic_wire.stats()
    total, read, written = (
        after[name] - before[name] for name in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    )
    assert total > LINES * 4000
    share = (total - read - written + READ * read + WRITE * written) / total
    assert share <= 0.15, f"{share:.1%} of the uncached cost ({total} tokens, {read} read, {written} written)"
    used = [answer.message.usage for answer in answers if answer.type == "succeeded"]
    assert sum(usage.cache_read_input_tokens or 0 for usage in used) == read
    row = saved(stack, at_least=read)
    assert row["kept_prompts_usd"] == pytest.approx(read * 3e-6 * (1 - READ))
    assert row["keeping_prompts_usd"] == pytest.approx(written * 3e-6 * (WRITE - 1))
    assert row["total_usd"] > 0


def saved(stack: Stack, *, at_least: int) -> dict[str, Any]:
    """What was saved on this model, once the workers have told of so many read tokens."""
    deadline = time.monotonic() + 60
    while True:
        _, listed = stack.call("GET", "/admin/savings", key=ADMIN_KEY)
        rows = [row for row in listed["data"] if row["model"] == "claude-kept"]
        if rows and rows[0]["kept_prompts_usd"] >= at_least * 3e-6 * (1 - READ) * 0.9999:
            return dict(rows[0])
        assert time.monotonic() < deadline, rows
        time.sleep(0.2)


def test_a_prompt_that_nobody_repeats_is_not_marked(stack: Stack) -> None:
    before = stack.anthropic_wire.stats()
    stack.anthropic_client().messages.create(
        model="claude-kept",
        max_tokens=50,
        system="Only once. " * 1000,
        messages=[{"role": "user", "content": "hi"}],
    )
    assert stack.anthropic_wire.stats()["cache_write_tokens"] == before["cache_write_tokens"]
