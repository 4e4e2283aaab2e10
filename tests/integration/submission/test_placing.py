"""Where the lines of a batch go: each decided by its own request, and stored with what was decided."""

import json
from typing import Any

from submitted_batches import again, submitted

from penstock.completion.encoding import loads, unpack
from penstock.configuration import Config
from penstock.ids import new_id
from penstock.providers.deployments import Deployments
from penstock.redis import Redis
from penstock.routing.router import WHEN_IT_LEAVES, Router
from penstock.store import hops
from penstock.store.database import Database
from penstock.submission.ingest import Ingest

CONFIG = Config.model_validate(
    {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1/v1"}},
        "models": {
            "small": {"provider": "p", "price": {"input": 1, "output": 1}, "context": 300},
            "large": {"provider": "p", "price": {"input": 9, "output": 9}, "residency": "eu"},
            "others": {"provider": "p", "tenants": ["another"]},
        },
        "routes": {
            "cheap": {"strategy": "cost", "steps": ["large", "small"]},
            "quick": {"strategy": "latency", "steps": ["small", "large"], "explore": 0},
            "closed": {"strategy": "cost", "steps": ["others"]},
        },
    }
)


def line(custom_id: str, model: str, words: int = 1, **more: Any) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": "word " * words}], "max_tokens": 5, **more}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}).encode()


async def test_lines_go_where_they_may_and_what_was_decided_is_kept(database: Database, redis: Redis):
    lines = [
        line("cheap", "cheap"),
        line("long", "cheap", words=400),
        line("eu", "cheap", residency="eu"),
        line("open", "quick"),
        line("half-open", "quick", residency="eu"),
        line("named", "small"),
        line("bad", "cheap", max_tokens="x"),
        line("closed", "closed"),
        line("not-mine", "others"),
    ]
    batch = await submitted(database, b"\n".join(lines))
    await Ingest(database, redis, Router(CONFIG, Deployments(CONFIG))).run(batch.id)
    rows = await database.fetch(
        "SELECT j.custom_id, j.state::text, f.pool, j.deployment, j.fallback, q.routing, j.status_code, j.line_bytes"
        " FROM jobs j JOIN job_requests q ON q.job_id = j.id LEFT JOIN flows f ON f.id = j.flow_id"
    )
    found = {row["custom_id"]: row for row in rows}
    placed = {name: (row["pool"], row["deployment"], row["fallback"]) for name, row in found.items() if row["pool"]}
    assert placed == {
        "cheap": ("small", "small", ["large"]),
        "long": ("large", "large", None),
        "eu": ("large", "large", None),
        "open": ("quick", "small", ["large"]),
        "half-open": ("large", "large", None),
        "named": ("small", "small", None),
        # what is wrong inside a request is told when it runs
        "bad": ("large", "large", ["small"]),
    }
    told = {name: loads(row["routing"]) for name, row in found.items() if row["routing"]}
    assert told.keys() == {"cheap", "long", "eu", "open", "half-open"}
    assert told["long"]["excluded"]["small"].startswith("its context is 300 tokens")
    assert told["open"]["reason"] == WHEN_IT_LEAVES
    refused = {name: row["status_code"] for name, row in found.items() if row["state"] == "failed"}
    assert refused == {"closed": 400, "not-mine": 404}
    ended = await again(database, batch)
    assert (ended.total, ended.finished, ended.failed) == (9, 2, 2)
    assert ended.error_bytes == sum(row["line_bytes"] for row in rows if row["state"] == "failed") > 100


async def test_lines_keep_to_the_place_of_the_key_that_submitted_them(database: Database, redis: Redis):
    lines = [
        line("plain", "cheap"),
        line("same", "large", residency="eu"),
        line("left", "large", fallback=["small"]),
        line("elsewhere", "large", residency="us"),
        line("named", "small"),
        line("dear", "large", max_cost=1e-9),
        # wrong inside: it keeps to the place all the same, should it ever be asked
        line("bad", "cheap", max_tokens="x"),
    ]
    batch = await submitted(database, b"\n".join(lines), residency="eu")
    await Ingest(database, redis, Router(CONFIG, Deployments(CONFIG))).run(batch.id)
    rows = await database.fetch(
        "SELECT j.custom_id, j.state::text, j.deployment, j.fallback, q.body, r.body AS result FROM jobs j"
        " JOIN job_requests q ON q.job_id = j.id LEFT JOIN job_results r ON r.job_id = j.id"
    )
    open_ = {row["custom_id"]: row for row in rows if row["state"] == "pending"}
    assert {name: (row["deployment"], row["fallback"]) for name, row in open_.items()} == {
        "plain": ("large", None),
        "same": ("large", None),
        "left": ("large", None),
        "bad": ("large", ["small"]),
    }
    assert {loads(unpack(row["body"]))["residency"] for row in open_.values()} == {"eu"}
    refused = {
        row["custom_id"]: loads(unpack(row["result"]))["error"]["param"] for row in rows if row["state"] == "failed"
    }
    assert refused == {"elsewhere": "residency", "named": "model", "dear": "max_cost"}


async def test_a_batch_of_which_no_line_may_be_served_ends(database: Database, redis: Redis):
    batch = await submitted(database, b"\n".join(line(f"n{n}", "closed") for n in range(3)))
    await Ingest(database, redis, Router(CONFIG, Deployments(CONFIG))).run(batch.id)
    ended = await again(database, batch)
    assert (ended.status, ended.failed) == ("completed", 3)


async def test_how_often_a_tenants_jobs_went_on(database: Database):
    for tenant, step, state in (
        *[("team", 0, "succeeded")] * 6,
        *[("team", 1, "succeeded")] * 3,
        ("team", 2, "succeeded"),
        ("team", 2, "failed"),
        ("other", 2, "succeeded"),
    ):
        await database.execute(
            "INSERT INTO jobs (id, tenant_id, dialect, model, lane, flow_id, deployment, tokens, route_step, state)"
            " VALUES (%(id)s, %(tenant)s, 'job', 'smart', 'bulk', 0, 'small', 1, %(step)s, %(state)s::job_state)",
            {"id": new_id(), "tenant": tenant, "step": step, "state": state},
        )
    assert await hops.went_on(database, "team", ["smart", "absent"]) == {"smart": [10, 4, 1]}
