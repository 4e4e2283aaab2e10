"""What belongs to one tenant does not exist for another: on every route there is, and on every one that is added.

A route without a row in `ROUTES` fails `test_every_route_has_a_row`. A row says what the stranger gets; the owner then
makes the same call, so that no row can pass because its path or its body was wrong.
"""

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from acceptance.conftest import ADMIN_KEY, Stack, receiving
from fastapi.routing import APIRoute, iter_route_contexts

from api.app import create_app
from api.schema.document import routes_of
from penstock.settings import Settings, parse_config

APP = create_app(Settings(config=parse_config({}, "test"), database_url="", redis_url="", broker_url=""))
HI = [{"role": "user", "content": "hi"}]
CALL = {"model": "fast", "messages": HI}
LINE = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CALL}
BATCH = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}


@dataclass(frozen=True)
class Named:
    """A route that names one thing. `{…}` in path and body are the owner's ids; `status` is the stranger's."""

    body: Any = None
    query: str = ""
    status: int = 404
    #: what the owner's own call comes to
    owner: int = 200


@dataclass(frozen=True)
class Listed:
    """A route that lists things: the owner's ids named here are in the owner's list and in no other."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Own:
    """A route that names nothing that could be another's; `why` says so."""

    why: str


@dataclass(frozen=True)
class Operator:
    """A route for keys with the scope `admin`."""

    body: Any = None


@dataclass(frozen=True)
class Public:
    """A route that says the same to anybody, and nothing of any tenant."""


NEW = Own("makes something new for the caller; what else it may name is in REFERENCES")
ROUTES: dict[tuple[str, str], Named | Listed | Own | Operator | Public] = {
    ("POST", "/v1/chat/completions"): NEW,
    ("POST", "/v1/completions"): NEW,
    ("POST", "/v1/embeddings"): NEW,
    ("POST", "/v1/messages"): NEW,
    ("POST", "/v1/messages/count_tokens"): NEW,
    ("POST", "/v1/files"): NEW,
    ("POST", "/v1/responses"): NEW,
    ("POST", "/v1/responses/input_tokens"): NEW,
    ("POST", "/v1/uploads"): NEW,
    # what it is sent is no part of an upload: whose the upload is comes first
    ("POST", "/v1/uploads/{upload_id}/parts"): Named({}, owner=400),
    ("POST", "/v1/uploads/{upload_id}/complete"): Named({"part_ids": ["{part_id}"]}),
    ("POST", "/v1/uploads/{upload_id}/cancel"): Named(owner=400),  # it is complete
    ("POST", "/v1/batches"): NEW,
    ("POST", "/v1/messages/batches"): NEW,
    ("POST", "/v1/jobs"): NEW,
    ("POST", "/v1/jobs/route"): Own("tells of the caller's own requests, and makes nothing"),
    ("POST", "/v1/webhook_endpoints"): NEW,
    ("GET", "/v1/responses/{response_id}"): Named(),
    ("GET", "/v1/responses/{response_id}/input_items"): Named(),
    ("POST", "/v1/responses/{response_id}/cancel"): Named(),
    ("DELETE", "/v1/responses/{response_id}"): Named(),
    ("GET", "/v1/files"): Listed(("file_id",)),
    ("GET", "/v1/files/{file_id}"): Named(),
    ("GET", "/v1/files/{file_id}/content"): Named(),
    ("DELETE", "/v1/files/{file_id}"): Named(),
    ("GET", "/v1/batches"): Listed(("batch_id",)),
    ("GET", "/v1/batches/{batch_id}"): Named(),
    ("GET", "/v1/batches/{batch_id}/results"): Named(),
    ("GET", "/v1/batches/{batch_id}/costs"): Named(),
    ("POST", "/v1/batches/{batch_id}/cancel"): Named(owner=400),  # it has ended
    ("GET", "/v1/messages/batches"): Listed(("message_batch_id",)),
    ("GET", "/v1/messages/batches/{batch_id}"): Named(),
    ("GET", "/v1/messages/batches/{batch_id}/results"): Named(),
    ("POST", "/v1/messages/batches/{batch_id}/cancel"): Named(),
    ("DELETE", "/v1/messages/batches/{batch_id}"): Named(),
    ("GET", "/v1/models"): Own("models are the operator's: those that its configuration gives the caller"),
    ("GET", "/v1/models/{model}"): Own("models are the operator's: those that its configuration gives the caller"),
    ("GET", "/v1/jobs/{job_id}"): Named(),
    ("GET", "/v1/jobs/{job_id}/stream"): Named(),
    ("POST", "/v1/jobs/{job_id}/cancel"): Named(),
    ("GET", "/v1/webhook_event_types"): Own("a list of words"),
    ("GET", "/v1/webhook_endpoints"): Listed(("endpoint_id",)),
    ("GET", "/v1/webhook_endpoints/{endpoint_id}"): Named(),
    ("POST", "/v1/webhook_endpoints/{endpoint_id}"): Named({"description": "mine"}),
    ("POST", "/v1/webhook_endpoints/{endpoint_id}/rotate_secret"): Named({}),
    ("GET", "/v1/webhook_endpoints/{endpoint_id}/deliveries"): Named(),
    ("POST", "/v1/webhook_endpoints/{endpoint_id}/test"): Named({"event_type": "batch.completed"}),
    ("POST", "/v1/webhook_endpoints/{endpoint_id}/deliveries/{event_id}/redeliver"): Named(),
    ("DELETE", "/v1/webhook_endpoints/{endpoint_id}"): Named(),
    ("GET", "/v1/webhook_callbacks"): Own("the caller's own secret: test_callback_secrets_differ"),
    ("POST", "/v1/webhook_callbacks/rotate_secret"): Own("the caller's own secret: test_callback_secrets_differ"),
    ("GET", "/v1/webhook_callbacks/deliveries"): Listed(("callback_id",)),
    ("POST", "/v1/webhook_callbacks/deliveries/{event_id}/redeliver"): Named(),
    ("POST", "/v1/cache/invalidate"): Own("the caller's own answers: tests/integration/cache/test_invalidation.py"),
    ("POST", "/admin/cache/invalidate"): Operator({"tenant": "isolated-c", "tag": "none"}),
    ("POST", "/admin/keys"): Operator({"tenant": "isolated-a"}),
    ("GET", "/admin/keys"): Operator(),
    ("DELETE", "/admin/keys/{key_id}"): Operator(),
    ("POST", "/admin/keys/{key_id}/rotate"): Operator({}),
    ("POST", "/admin/tenants"): Operator({"id": "isolated-c"}),
    ("GET", "/admin/tenants"): Operator(),
    ("GET", "/admin/tenants/{tenant_id}"): Operator(),
    ("POST", "/admin/tenants/{tenant_id}"): Operator({"tier": "pro"}),
    ("GET", "/admin/savings"): Operator(),
    ("GET", "/admin/workers"): Operator(),
    ("GET", "/admin/breakers"): Operator(),
    ("GET", "/admin/breakers/events"): Operator(),
    ("GET", "/admin/routes"): Operator(),
    ("GET", "/admin/routes/{route}"): Operator(),
    ("GET", "/admin/routes/{route}/artefacts"): Operator(),
    ("POST", "/admin/routes/{route}/artefacts"): Operator({}),
    ("POST", "/admin/routes/{route}/artefacts/{version}/activate"): Operator({}),
    ("DELETE", "/admin/routes/{route}/artefacts/active"): Operator(),
    ("GET", "/admin/routes/{route}/status"): Operator(),
    ("GET", "/metrics"): Operator(),
    ("GET", "/healthz"): Public(),
    ("GET", "/readyz"): Public(),
    ("GET", "/openapi.json"): Public(),
    ("GET", "/docs"): Public(),
}

#: bodies and queries that name something of the owner's, with what a stranger is told
REFERENCES: list[tuple[str, str, Named]] = [
    ("POST", "/v1/batches", Named({**BATCH, "input_file_id": "{file_id}"})),
    (
        "POST",
        "/v1/responses",
        Named({"model": "fast", "input": "hi", "previous_response_id": "{response_id}"}, status=400),
    ),
    (
        "POST",
        "/v1/responses",
        Named({"model": "fast", "input": [{"type": "item_reference", "id": "{item_id}"}]}, status=400),
    ),
    (
        "POST",
        "/v1/responses/input_tokens",
        Named({"model": "fast", "input": "hi", "previous_response_id": "{response_id}"}, status=400),
    ),
    ("GET", "/v1/files", Named(query="after={file_id}", status=400)),
    ("GET", "/v1/batches", Named(query="after={batch_id}", status=400)),
    ("GET", "/v1/messages/batches", Named(query="after_id={message_batch_id}", status=400)),
    ("GET", "/v1/messages/batches", Named(query="before_id={message_batch_id}", status=400)),
    ("GET", "/v1/webhook_endpoints", Named(query="after={endpoint_id}")),
    ("GET", "/v1/webhook_callbacks/deliveries", Named(query="after={callback_id}")),
    ("GET", "/v1/responses/{response_id}", Named(query="stream=true")),
    ("GET", "/v1/batches/{batch_id}/results", Named(query="follow=true")),
    ("GET", "/v1/files/{output_file_id}/content", Named()),
    ("GET", "/v1/jobs/{response_job_id}", Named()),
    ("GET", "/v1/jobs/{line_job_id}", Named()),
    ("GET", "/v1/jobs/{line_job_id}/stream", Named()),
]


@dataclass
class Owner:
    """A tenant with one of everything, and a stranger."""

    stack: Stack
    key: str
    stranger: str
    ids: dict[str, str] = field(default_factory=dict)

    def asked(self, key: str, method: str, path: str, case: Named) -> tuple[int, str]:
        """Status and text of a call with the owner's ids in it."""
        ids = self.ids
        if path.startswith("/v1/messages/batches/"):
            ids = {**ids, "batch_id": ids["message_batch_id"]}
        if path.startswith("/v1/webhook_callbacks/"):
            ids = {**ids, "event_id": ids["callback_id"]}
        url = self.stack.url + _filled(path, ids) + (f"?{_filled(case.query, ids)}" if case.query else "")
        data = None if case.body is None else _filled(json.dumps(case.body), ids).encode()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def _filled(text: str, ids: dict[str, str]) -> str:
    for name, value in ids.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def until(stack: Stack, key: str, path: str, name: str, value: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (found := stack.call("GET", path, key=key)[1])[name] != value:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def fill(owner: Owner, hook: str) -> None:
    """One of everything for the owner."""
    stack, key, ids = owner.stack, owner.key, owner.ids

    def post(path: str, body: Any) -> dict[str, Any]:
        status, made = stack.call("POST", path, body, key=key)
        assert status < 300, made
        return made

    client = stack.client(key)
    ids["file_id"] = client.files.create(file=("a.jsonl", json.dumps(LINE).encode()), purpose="batch").id
    upload = client.uploads.create(bytes=3, filename="a.jsonl", mime_type="application/jsonl", purpose="batch")
    ids["upload_id"], ids["part_id"] = upload.id, client.uploads.parts.create(upload.id, data=b"{}\n").id
    ids["batch_id"] = post("/v1/batches", {**BATCH, "input_file_id": ids["file_id"], "callback_url": hook})["id"]
    params = {"model": "claude", "messages": HI, "max_tokens": 20}
    message_batch = post("/v1/messages/batches", {"requests": [{"custom_id": "a", "params": params}]})
    ids["message_batch_id"] = message_batch["id"]
    ids["response_id"] = post("/v1/responses", {"model": "fast", "input": "hi", "background": True})["id"]
    ids["job_id"] = post("/v1/jobs", {"model": "fast", "input": "hi"})["id"]
    types = {"name": "mine", "url": hook, "event_types": ["batch.completed"]}
    ids["endpoint_id"] = post("/v1/webhook_endpoints", types)["id"]
    tested = post(f"/v1/webhook_endpoints/{ids['endpoint_id']}/test", {"event_type": "batch.completed"})
    ids["event_id"] = tested["event_id"]
    batch = until(stack, key, f"/v1/batches/{ids['batch_id']}", "status", "completed")
    ids["output_file_id"] = batch["output_file_id"]
    until(stack, key, f"/v1/messages/batches/{ids['message_batch_id']}", "processing_status", "ended")
    answer = until(stack, key, f"/v1/responses/{ids['response_id']}", "status", "completed")
    ids["item_id"] = answer["output"][0]["id"]
    until(stack, key, f"/v1/jobs/{ids['job_id']}", "status", "succeeded")
    deadline = time.monotonic() + 60
    while not (sent := stack.call("GET", "/v1/webhook_callbacks/deliveries", key=key)[1]["data"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ids["callback_id"] = sent[0]["id"]
    ids["response_job_id"] = ids["response_id"].replace("resp_", "job_")
    output = json.loads(client.files.content(ids["output_file_id"]).text.splitlines()[0])
    ids["line_job_id"] = "job_" + output["id"].rpartition("_")[2]


@pytest.fixture(scope="module")
def owner(stack: Stack) -> Iterator[Owner]:
    keys = [
        stack.call("POST", "/admin/keys", {"tenant": tenant}, key=ADMIN_KEY)[1]
        for tenant in ("isolated-a", "isolated-b")
    ]
    ids = {"key_id": keys[0]["id"], "tenant_id": "isolated-a", "route": "isolated-route", "version": "98765432"}
    made = Owner(stack, keys[0]["key"], keys[1]["key"], ids)
    with receiving() as receiver:
        fill(made, receiver.url)
        yield made


def test_every_route_has_a_row():
    assert {(method, path) for method, path, _ in routes_of(APP)} == set(ROUTES)
    others = [
        context for context in iter_route_contexts(APP.routes) if not isinstance(context.original_route, APIRoute)
    ]
    assert others == [], "a mounted application would be walked past"


def test_lists_hold_ones_own_only(owner: Owner):
    for (method, path), case in ROUTES.items():
        if isinstance(case, Listed):
            mine, theirs = (owner.asked(key, method, path, Named())[1] for key in (owner.key, owner.stranger))
            assert [name for name in case.ids if owner.ids[name] not in mine] == [], path
            assert [name for name, value in owner.ids.items() if value in theirs] == [], path


def test_the_operators_routes_are_closed(owner: Owner):
    for (method, path), case in ROUTES.items():
        if isinstance(case, Operator):
            for key in (owner.key, owner.stranger):
                assert owner.asked(key, method, path, Named(case.body))[0] == 403, path


def test_what_is_public_says_nothing_of_anybody(owner: Owner):
    for (method, path), case in ROUTES.items():
        if isinstance(case, Public):
            text = owner.asked("", method, path, Named())[1]
            assert [name for name, value in owner.ids.items() if value in text and name != "tenant_id"] == [], path


def test_callback_secrets_differ(owner: Owner):
    path = "/v1/webhook_callbacks"
    mine, theirs = (owner.stack.call("GET", path, key=key)[1] for key in (owner.key, owner.stranger))
    assert mine["signing_secret"] != theirs["signing_secret"]
    assert owner.stack.call("POST", f"{path}/rotate_secret", {}, key=owner.stranger)[0] == 200
    assert owner.stack.call("GET", path, key=owner.key)[1] == mine


@pytest.mark.parametrize("same_body", [True, False])
def test_idempotency_keys_of_two_tenants_never_meet(owner: Owner, same_body: bool):
    headers = {"Idempotency-Key": f"one-key-{same_body}"}
    made = []
    for key, text in ((owner.key, "one"), (owner.stranger, "one" if same_body else "two")):
        body = {"model": "fast", "input": text, "background": True}
        for path in ("/v1/jobs", "/v1/responses"):
            status, answer = owner.stack.call("POST", path, body, key=key, **headers)
            assert status in (200, 202), answer
            made.append(answer["id"])
    assert len(set(made)) == 4


def test_a_stranger_finds_nothing_and_changes_nothing(owner: Owner):
    """The stranger tries everything first; then the owner finds all of it as it was. Deletes come last."""
    named = [(*route, case) for route, case in ROUTES.items() if isinstance(case, Named)] + REFERENCES
    named.sort(key=lambda row: row[0] == "DELETE")
    wrong = []
    for method, path, case in named:
        status, text = owner.asked(owner.stranger, method, path, case)
        if status != case.status or "error" not in json.loads(text):
            wrong.append((method, path, case, status, text[:300]))
    assert not wrong, "\n".join(map(str, wrong))
    for method, path, case in named:
        status, text = owner.asked(owner.key, method, path, case)
        if status != case.owner:
            wrong.append((method, path, case, status, text[:300]))
    assert not wrong, "\n".join(map(str, wrong))
