"""How batches end that do not simply complete."""

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from line_walk import end_lines
from submitted_batches import again, submitted
from test_jobs import add_jobs, make_batch, take

from penstock.broker import Doorbell, make_app
from penstock.configuration import BatchesConfig, Config
from penstock.ids import new_id
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.routing.router import Router
from penstock.store import backlog, batches, files, jobs, open_lines
from penstock.store.batches import Batch
from penstock.store.database import Database
from penstock.submission.finalize import finalize_batch
from penstock.submission.ingest import MAX_ERRORS, Ingest
from penstock.submission.results import file_content
from workers import maintenance
from workers.maintenance import Maintenance

CONFIG = Config.model_validate(
    {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1/v1"}},
        "models": {"m": {"provider": "p"}},
    }
)


def request(custom_id: str) -> bytes:
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}
    return json.dumps(line).encode()


@pytest.fixture
def ingest(database: Database, redis: Redis) -> Ingest:
    return Ingest(database, redis, Router(CONFIG, Deployments(CONFIG)))


@pytest.fixture
def sweeps(database: Database, redis: Redis, tmp_path: Path) -> Maintenance:
    doorbell = Doorbell(make_app("memory://", ["p"]))
    return Maintenance(database, redis, doorbell, Deployments(CONFIG), CONFIG)


async def content_of(database: Database, batch: Batch) -> tuple[int, bytes]:
    assert batch.error_file_id is not None
    file = await files.get(database, "team", batch.error_file_id)
    assert file is not None
    return file.bytes, b"".join([piece async for piece in file_content(database, file)])


async def test_a_line_that_took_down_its_workers_does_not_keep_its_batch_from_ending(database: Database):
    """Its error line was rendered by nobody; it has a response, since the request was tried."""
    batch = await make_batch(database, 1)
    ids = await add_jobs(database, 1, batch)
    await take(database, 1)
    worker = new_id()
    await jobs.claim(database, worker, "model-a", "bulk", ids)
    assert await backlog.end_stuck(database, [worker], 0, 10) == 1
    assert await finalize_batch(database, batch.id)
    ended = await again(database, batch)
    size, content = await content_of(database, ended)
    assert (ended.status, size) == ("completed", len(content))
    line = json.loads(content)
    assert (line["error"], line["response"]["status_code"]) == (None, 500)


async def test_cancelled_while_its_file_was_checked(database: Database, ingest: Ingest, sweeps: Maintenance):
    """It is never in progress, and each of its lines is told of."""
    batch = await submitted(database, b"\n".join(request(str(n)) for n in range(3)))
    assert await batches.request_cancel(database, "team", batch.id)
    await ingest.run(batch.id)
    await sweeps.end_batches()
    await sweeps.tend_batches()
    ended = await again(database, batch)
    assert (ended.status, ended.in_progress_at, ended.finalizing_at) == ("cancelled", None, None)
    assert ended.cancelling_at is not None
    assert ended.cancelled_at is not None
    _, content = await content_of(database, ended)
    errors = [json.loads(line) for line in content.splitlines()]
    assert [(line["custom_id"], line["error"]["code"]) for line in errors] == [
        (str(n), "batch_cancelled") for n in range(3)
    ]


async def test_a_long_batch_that_ends_does_not_hold_up_a_short_one(
    database: Database, ingest: Ingest, sweeps: Maintenance, monkeypatch: pytest.MonkeyPatch
):
    """The lines of both are ended in turn, a page of each."""
    monkeypatch.setattr(maintenance, "_PAGE", 2)
    ended: list[tuple[UUID, int]] = []

    async def page(database: Database, batch_id: UUID, state: str, after: int, limit: int) -> tuple[int, int | None]:
        count, last = await open_lines.end_page(database, batch_id, state, after, limit)
        ended.append((batch_id, count))
        return count, last

    monkeypatch.setattr(maintenance, "open_lines", SimpleNamespace(end_page=page))
    long, short = [
        await submitted(database, b"\n".join(request(f"{count}-{n}") for n in range(count))) for count in (20, 3)
    ]
    for batch in (long, short):
        await ingest.run(batch.id)
        assert await batches.request_cancel(database, "team", batch.id)
    await sweeps.end_batches()
    of_short = [place for place, (batch_id, count) in enumerate(ended) if batch_id == short.id and count]
    assert of_short == [1, 3]
    assert sum(count for _, count in ended) == 23


async def test_cancelled_while_a_wrong_file_was_checked(database: Database, ingest: Ingest):
    """There are no lines to tell of: it ends as failed, and does not stay in cancelling for ever."""
    batch = await submitted(database, b"nonsense")
    assert await batches.request_cancel(database, "team", batch.id)
    await ingest.run(batch.id)
    ended = await again(database, batch)
    assert (ended.status, ended.cancelled_at) == ("failed", None)
    assert json.loads(ended.errors or b"")[0]["code"] == "invalid_json_line"


async def test_a_cancelled_running_batch_is_never_finalizing(database: Database):
    batch = await make_batch(database, 2)
    await add_jobs(database, 2, batch)
    assert await batches.request_cancel(database, "team", batch.id)
    assert await end_lines(database, batch.id, "cancelled", 10) == 2
    assert await finalize_batch(database, batch.id)
    ended = await again(database, batch)
    assert ended.in_progress_at is not None
    assert (ended.status, ended.finalizing_at) == ("cancelled", None)


async def test_lines_are_ended_page_by_page_past_those_that_run(database: Database):
    batch = await make_batch(database, 7)
    ids = await add_jobs(database, 7, batch)
    await database.execute(
        "UPDATE jobs SET state = 'running', worker_id = gen_random_uuid() WHERE id = ANY(%(ids)s)",
        {"ids": [ids[1], ids[6]]},
    )
    assert await end_lines(database, batch.id, "cancelled", 2) == 5
    assert await end_lines(database, batch.id, "cancelled", 2) == 0, "workers get some seconds"
    await database.execute("UPDATE jobs SET cancel_requested_at = cancel_requested_at - interval '11 seconds'")
    assert await end_lines(database, batch.id, "cancelled", 2) == 2
    rows = await database.fetch("SELECT finished_number FROM jobs ORDER BY finished_number")
    assert [row["finished_number"] for row in rows] == list(range(1, 8))
    assert (await again(database, batch)).finished == 7


async def test_the_first_bad_line_is_told_even_when_errors_are_capped(database: Database, ingest: Ingest):
    """A repetition is found in a pass of its own; it must not fall behind what the first pass found later."""
    rows = [request("a"), request("a")] + [b"nonsense"] * (MAX_ERRORS + 50)
    batch = await submitted(database, b"\n".join(rows))
    await ingest.run(batch.id)
    errors = json.loads((await again(database, batch)).errors or b"")
    assert len(errors) == MAX_ERRORS
    assert [(error["line"], error["code"]) for error in errors[:2]] == [
        (2, "duplicate_custom_id"),
        (3, "invalid_json_line"),
    ]
    assert [error["line"] for error in errors] == sorted(error["line"] for error in errors)


def embeds(custom_id: str, texts: Any, model: str = "m") -> bytes:
    body = {"model": model, "input": texts}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/embeddings", "body": body}
    return json.dumps(line).encode()


async def test_a_batch_of_embeddings_holds_so_many_inputs_together(database: Database, redis: Redis):
    """Texts and lists of tokens count one by one, a text or a list of tokens alone as one."""
    limited = CONFIG.model_copy(update={"batches": BatchesConfig(max_embedding_inputs=6)})
    ingest = Ingest(database, redis, Router(limited, Deployments(limited)))
    rows = [embeds("a", ["x", "y"]), embeds("b", "x"), embeds("c", [1, 2, 3, 4]), embeds("d", [[1, 2], [3]])]
    good = await submitted(database, b"\n".join(rows), "/v1/embeddings")
    await ingest.run(good.id)
    found = await again(database, good)
    assert (found.status, found.total, found.model) == ("in_progress", 4, "m")
    bad = await submitted(database, b"\n".join([*rows, embeds("e", "x")]), "/v1/embeddings")
    await ingest.run(bad.id)
    ended = await again(database, bad)
    (error,) = json.loads(ended.errors or b"")
    assert (ended.status, error["code"], error["line"]) == ("failed", "too_many_inputs", None)


async def test_a_batch_of_several_models_has_none(database: Database, redis: Redis):
    both = CONFIG.model_copy(update={"models": CONFIG.models | {"n": CONFIG.models["m"]}})
    batch = await submitted(database, request("a") + b"\n" + request("b").replace(b'"m"', b'"n"'))
    await Ingest(database, redis, Router(both, Deployments(both))).run(batch.id)
    found = await again(database, batch)
    assert (found.status, found.model) == ("in_progress", None)


async def test_two_that_read_the_same_file_insert_each_line_once(database: Database, ingest: Ingest):
    batch = await submitted(database, b"\n".join(request(str(n)) for n in range(2500)))
    await asyncio.gather(*(ingest.run(batch.id) for _ in range(4)))
    rows = await database.fetch("SELECT count(*) AS n, count(DISTINCT custom_id) AS different FROM jobs")
    assert (rows[0]["n"], rows[0]["different"]) == (2500, 2500)


async def test_a_model_that_leaves_while_a_file_is_read_does_not_stop_the_other_lines(
    database: Database, redis: Redis, ingest: Ingest
):
    """Another worker, with another configuration, goes on with a file that was found good."""
    rows = [
        request("a"),
        request("b").replace(b'"m"', b'"gone"'),
        request("c").replace(b'"m"', b'"m", "fallback": ["gone"]'),
    ]
    batch = await submitted(database, b"\n".join(rows))
    await batches.start(database, batch.id, 3)
    await ingest.run(batch.id)
    jobs_now = await database.fetch("SELECT custom_id, deployment FROM jobs ORDER BY line")
    assert [(row["custom_id"], row["deployment"]) for row in jobs_now] == [("a", "m"), ("b", "gone"), ("c", "m")]
    assert (await again(database, batch)).ingested_to == 3
