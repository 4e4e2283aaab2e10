"""What is left when the dust has settled: the database's rows, the batches' files, the provider's ledger."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from psycopg import AsyncConnection

from load.chaos.invariants import Attempt, Batch, Calls, Job, Read
from load.chaos.traffic import Client, Seen
from penstock.completion.encoding import unpack

#: prompts are `… TAG!`; the tag is the first word that begins so
_TAG = re.compile(r"\b(chaos-[a-z]+\d+(?:-\d+)*)!")


def tag_of(prompt: str) -> str:
    """The tag in a prompt; empty if there is none."""
    found = _TAG.search(prompt)
    return found[1] if found else ""


async def jobs(connection: AsyncConnection[tuple[Any, ...]]) -> dict[str, Job]:
    """Every job with its calls, by the hexadecimal id."""
    found: dict[str, Job] = {}
    rows = await connection.execute(
        "SELECT j.id, q.body, j.state::text, j.epoch, j.worker_id, j.recoveries"
        " FROM jobs j JOIN job_requests q ON q.job_id = j.id"
    )
    async for job_id, body, state, epoch, worker, recoveries in rows:
        tag = tag_of(unpack(bytes(body)).decode())
        found[job_id.hex] = Job(job_id.hex, tag, state, epoch, worker and worker.hex, recoveries)
    rows = await connection.execute(
        "SELECT job_id, epoch, step, worker_id, outcome, error_type FROM attempts ORDER BY started_at"
    )
    async for job_id, epoch, step, worker, outcome, error_type in rows:
        found[job_id.hex].attempts.append(Attempt(epoch, step, worker.hex, outcome, error_type))
    return found


async def failures(connection: AsyncConnection[tuple[Any, ...]], jobs: Mapping[str, Job]) -> dict[str, int]:
    """How many jobs failed for each reason, which is noted on them."""
    rows = await connection.execute(
        "SELECT j.id, r.body FROM jobs j JOIN job_results r ON r.job_id = j.id WHERE j.state = 'failed'"
    )
    reasons = []
    async for job_id, body in rows:
        reason = orjson.loads(unpack(bytes(body)))["error"]
        jobs[job_id.hex].error_code = reason.get("code")
        reasons.append(reason)
    return dict(Counter(f"{reason.get('code')}: {reason.get('message')}"[:160] for reason in reasons))


def ledger(stats: Mapping[str, Any]) -> dict[str, Calls]:
    """The provider's counts by tag, from its statistics in detail."""
    found: dict[str, Calls] = {}
    for request in stats["requests"].values():
        tag = tag_of(request["prompt"])
        before = found.get(tag, Calls(0, 0))
        found[tag] = Calls(before.calls + request["calls"], before.succeeded + request["succeeded"])
    return found


async def batches(client: Client, submitted: Mapping[str, list[str]]) -> list[Batch]:
    """Every batch as its owner sees it."""
    found = []
    for batch_id, names in submitted.items():
        seen = await client.get(f"/v1/batches/{batch_id}")
        counts = seen["request_counts"]
        output, errors = [await _custom_ids(client, seen[f"{kind}_file_id"]) for kind in ("output", "error")]
        found.append(
            Batch(
                id=batch_id,
                status=seen["status"],
                total=counts["total"],
                completed=counts["completed"],
                failed=counts["failed"],
                expected=names,
                output=output,
                errors=errors,
            )
        )
    return found


async def reads(client: Client, seen: Iterable[Seen]) -> list[Read]:
    """What subscribers read, beside what is stored."""
    found = []
    for each in seen:
        response = await client.get(f"/v1/responses/{each.response_id}")
        content = [part for item in response["output"] for part in item.get("content", ())]
        text = "".join(part["text"] for part in content if part["type"] == "output_text")
        found.append(Read(each.response_id, each.numbers, each.text, each.ended, text, response["status"]))
    return found


async def _custom_ids(client: Client, file_id: str | None) -> list[str]:
    if file_id is None:
        return []
    content = await client.ask("GET", f"/v1/files/{file_id}/content")
    return [orjson.loads(line)["custom_id"] for line in content.splitlines()]
