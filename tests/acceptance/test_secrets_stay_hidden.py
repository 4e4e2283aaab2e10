"""Secrets with marks go through everything that fails; then every place that keeps or tells something is searched.

Searched are: answers to clients, logs, metrics, every column of every table (compressed bodies too) and all of Redis.
"""

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from acceptance.conftest import CONFIG, ROOT, Stack, running
from acceptance.echoing_provider import Echoing, echoing
from ports import free_port
from psycopg import sql

from penstock.completion.encoding import unpack
from penstock.embedded.urls import find_running

#: none has a form by which it could be told for a secret: what hides them must know them, or never have had them
MARKS = {
    "provider key": "mark0provider0key0c2f1",
    "provider header": "mark0provider0header0d7a3",
    "static key": "mark0static0key0e91b",
    "admin key": "mark0admin0key0f4c2",
    "secret key": "mark0secret0key0" + "a1b2" * 6,
    "webhook secret": base64.b64encode(b"mark0webhook0secret0of0the0operator").decode(),
    "webhook token": "mark0webhook0token0a8d6",
    "wrong key": "mark0wrong0key0b5e7",
    "address password": "mark0address0password0c9f8",
}
#: stands where it may be found: without it the search would prove nothing
PLANTED = "mark0planted0prompt"

HOSTILE = """
breaker: {{failures: 1000}}
retries: {{bulk: {{max_attempts: 2}}, interactive: {{max_attempts: 2}}}}
"""


def configuration(echo: str) -> str:
    """The usual configuration, with marks in every place for a secret."""
    providers = f"""
providers:
  echo:
    wire_format: openai
    base_url: "{echo}"
    api_key: "${{{{MARKED_KEY}}}}"
    headers: {{{{x-org: {MARKS["provider header"]}}}}}
  nobody:
    wire_format: openai
    base_url: "http://user:{MARKS["address password"]}@127.0.0.1:{free_port()}/v1"
    api_key: {MARKS["provider key"]}
"""
    models = "models:\n  echo: {{provider: echo}}\n  nobody: {{provider: nobody}}\n"
    hook = f'"http://127.0.0.1:{free_port()}/hook?token={MARKS["webhook token"]}"'
    hook += f', secret: "whsec_{MARKS["webhook secret"]}"'
    keys = f"keys:\n  - {{{{key: {MARKS['static key']}, tenant: team-a}}}}\n"
    return (
        CONFIG.replace("\nproviders:\n", providers)
        .replace("models:\n", models)
        .replace("keys:\n", keys)
        .replace('"{hook}", secret: "{secret}"', hook)
        + HOSTILE
    )


@dataclass
class Marked:
    """A stack full of marks, what it told anybody, and the secrets it made itself."""

    stack: Stack
    echo: Echoing
    told: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)

    @property
    def secrets(self) -> dict[str, str]:
        return {**MARKS, **self.made}

    def ask(self, method: str, path: str, body: Any = None, key: str = MARKS["static key"], **headers: str) -> Any:
        """A call whose answer is kept for the search, headers included."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.stack.url + path, data, headers, method=method)
        request.add_header("content-type", "application/json")
        request.add_header("authorization", f"Bearer {key}")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                text, told = answer.read().decode(), str(answer.headers)
        except urllib.error.HTTPError as error:
            text, told = error.read().decode(), str(error.headers)
        self.told.append(told + text)
        return json.loads(text) if text.startswith("{") else text


def chat(order: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": f"{PLANTED} {order}"}], **more}


def fail_in_every_way(marked: Marked) -> None:
    for status in (400, 401, 403, 404, 422, 429, 500, 503):
        marked.ask("POST", "/v1/chat/completions", chat(str(status)))
    for order in ("garbage", "frame", "stream"):
        marked.ask("POST", "/v1/chat/completions", chat(order, stream=order != "garbage"))
    marked.ask("POST", "/v1/messages", chat("400", max_tokens=5))
    marked.ask("POST", "/v1/embeddings", {"model": "nobody", "input": "x"})
    marked.ask("POST", "/v1/chat/completions", {**chat("500"), "model": "nobody"})
    marked.ask("POST", "/v1/chat/completions", {**chat("500"), "model": MARKS["wrong key"]}, key=MARKS["wrong key"])
    marked.ask("GET", "/v1/models", key=MARKS["wrong key"], **{"x-api-key": MARKS["wrong key"]})
    marked.ask("GET", "/admin/keys", key=MARKS["static key"])


def jobs_and_a_batch(marked: Marked) -> None:
    background = [
        marked.ask("POST", "/v1/responses", {"model": "echo", "input": f"{PLANTED} {order}", "background": True})["id"]
        for order in ("400", "500", "frame")
    ]
    job = marked.ask("POST", "/v1/jobs", {"model": "nobody", "input": "x"})["id"]
    lines = "\n".join(
        json.dumps({"custom_id": order, "method": "POST", "url": "/v1/chat/completions", "body": chat(order)})
        for order in ("400", "401", "500", "garbage")
    )
    client = marked.stack.client(MARKS["static key"])
    file = client.files.create(file=("a.jsonl", lines.encode()), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    for path, ends in (
        *((f"/v1/responses/{one}", {"failed"}) for one in background),
        (f"/v1/jobs/{job}", {"failed"}),
        (f"/v1/batches/{batch.id}", {"completed"}),
    ):
        deadline = time.monotonic() + 90
        while (found := marked.ask("GET", path))["status"] not in ends:
            assert time.monotonic() < deadline, found
            time.sleep(0.3)
        marked.ask("GET", path.replace("resp_", "job_").replace("responses", "jobs"))
    errors = client.batches.retrieve(batch.id).error_file_id
    assert errors is not None
    marked.told.append(client.files.content(errors).text)


def operate(marked: Marked) -> None:
    """The answers that show a secret once are not kept; everything after them is."""
    stack, admin = marked.stack, MARKS["admin key"]
    key = stack.call("POST", "/admin/keys", {"tenant": "team-a"}, key=admin)[1]
    marked.made["made key"] = key["key"]
    hook = {"name": "mine", "url": f"http://127.0.0.1:{free_port()}/hook", "event_types": ["batch.completed"]}
    endpoint = stack.call("POST", "/v1/webhook_endpoints", hook, key=key["key"])[1]
    marked.made["signing secret"] = endpoint["signing_secret"].removeprefix("whsec_")
    marked.ask(
        "POST", f"/v1/webhook_endpoints/{endpoint['id']}/test", {"event_type": "batch.completed"}, key=key["key"]
    )
    for path in ("/v1/webhook_endpoints", "/v1/models"):
        marked.ask("GET", path, key=key["key"])
    for path in ("/admin/keys", "/admin/workers", "/admin/breakers", "/metrics", "/readyz", "/openapi.json", "/docs"):
        marked.ask("GET", path, key=admin)


@pytest.fixture(scope="module")
def marked() -> Iterator[Marked]:
    variables = {
        "MARKED_KEY": MARKS["provider key"],
        "PENSTOCK_ADMIN_KEY": MARKS["admin key"],
        "PENSTOCK_SECRET_KEY": MARKS["secret key"],
    }
    with echoing() as echo, running(variables, workers=1, config_text=configuration(echo.url)) as stack:
        found = Marked(stack, echo)
        fail_in_every_way(found)
        operate(found)
        jobs_and_a_batch(found)
        time.sleep(2)  # a failed delivery of the operator's webhook is logged and noted a moment later
        yield found


def leaks(text: str | bytes, secrets: dict[str, str]) -> list[str]:
    """The names of the secrets in a text, in clear or in base64."""
    said = text.encode() if isinstance(text, str) else text
    found = []
    for name, secret in secrets.items():
        encoded = base64.b64encode(secret.encode()).rstrip(b"=")[:-2]
        if secret.encode() in said or encoded in said:
            found.append(name)
    return found


def test_the_provider_was_given_its_secrets_and_said_them_back(marked: Marked):
    heard = "\n".join(marked.echo.heard)
    assert leaks(heard, MARKS) == ["provider key", "provider header"]
    assert len(marked.echo.heard) > 20


def test_no_answer_tells_a_secret(marked: Marked):
    assert len(marked.told) > 30
    # the model's name is told back to who sent it
    secrets = {name: secret for name, secret in marked.secrets.items() if name != "wrong key"}
    assert [(leaks(text, secrets), text[-600:]) for text in marked.told if leaks(text, secrets)] == []


def test_no_log_holds_a_secret(marked: Marked):
    files = [marked.stack.log, *(path for path in (marked.stack.data / "logs").rglob("*") if path.is_file())]
    assert len(files) >= 5
    lines = [line for file in files for line in file.read_text("utf-8", "replace").splitlines()]
    assert [(leaks(line, marked.secrets), line[:400]) for line in lines if leaks(line, marked.secrets)] == []


def test_no_table_holds_a_secret(marked: Marked):
    urls = find_running(marked.stack.data)
    assert urls is not None
    found, planted = [], 0
    with psycopg.connect(urls.database) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert len(tables) > 10
        for (table,) in tables:
            for row in connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(table))):
                for value in row:
                    text = unpack(value) if isinstance(value, bytes) else str(value)
                    planted += PLANTED in str(text)
                    found += [(table, name, str(text)[:300]) for name in leaks(text, marked.secrets)]
    assert found == []
    assert planted > 10, "the search does not see what is there"


def test_redis_holds_no_secret(marked: Marked):
    urls = find_running(marked.stack.data)
    assert urls is not None
    found, keys = [], 0
    for number in (0, 1):
        with redis.Redis.from_url(urls.redis, db=number) as client:
            for key in client.scan_iter(count=1000):
                keys += 1
                dump = client.dump(key) or b""
                found += [(key, name) for name in leaks(key + dump, marked.secrets)]
    assert found == []
    assert keys > 0


@pytest.mark.parametrize("role", ["api", "migrate"])
def test_addresses_of_servers_that_are_away_are_told_without_their_passwords(tmp_path: Path, role: str):
    file = tmp_path / "penstock.yaml"
    file.write_text("providers: {}\n")
    password = MARKS["address password"]
    variables = {
        "PENSTOCK_DATABASE_URL": f"postgresql://penstock:{password}@127.0.0.1:{free_port()}/x",
        "PENSTOCK_REDIS_URL": f"redis://:{password}@127.0.0.1:{free_port()}/0",
        "PENSTOCK_CONFIG": str(file),
    }
    command = [sys.executable, "-m", "cli.main", role]
    started = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert started.stdout
    told = ""
    if role == "api":  # it waits for its database, and says so
        told = started.stdout.readline()
        started.terminate()
    told += started.communicate(timeout=60)[0]
    assert "database" in told
    assert leaks(told, MARKS) == []
