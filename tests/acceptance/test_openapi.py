"""The description of the door is true: what it promises is what the running service answers."""

import copy
import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from acceptance.conftest import ADMIN_KEY, KEY, Stack
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import create_app
from api.schema.document import document
from penstock.settings import Settings, parse_config

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
APP = create_app(Settings(config=parse_config({}, "test"), database_url="", redis_url="", broker_url=""))
DOCUMENT = json.loads(json.dumps(document(APP)))


def for_fuzzing() -> Any:
    """The document, with models that there are: else nearly every example would end as an unknown model."""
    narrowed = copy.deepcopy(DOCUMENT)
    for schema in narrowed["components"]["schemas"].values():
        if "model" in schema.get("required", ()) and "additionalProperties" in schema:
            schema["properties"]["model"] = {"enum": ["fast", "claude"]}
    return schemathesis.openapi.from_dict(narrowed)


FUZZED = for_fuzzing()
EXACT = schemathesis.openapi.from_dict(DOCUMENT)


def headers_for(path: str) -> dict[str, str]:
    """The admin key where it is asked for."""
    key = ADMIN_KEY if path.startswith(("/admin", "/metrics")) else KEY
    return {"authorization": f"Bearer {key}"}


# an answer has the same form whosever the servers are; the walks through every part below meet both
@pytest.mark.parametrize("stack", ["embedded"], indirect=True)
@FUZZED.parametrize()
@settings(
    max_examples=10,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_whatever_is_sent_the_answer_is_as_described(case: schemathesis.Case, stack: Stack) -> None:
    response = case.call(base_url=stack.url, headers=headers_for(case.path), timeout=60)
    case.validate_response(response, checks=CHECKS)


class Session:
    """Calls by the names of the document; each answer must be as described."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.url
        self.called: set[tuple[str, str]] = set()

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200, **rest: Any) -> Any:
        parameters = {name: rest.pop(name) for name in list(rest) if f"{{{name}}}" in path}
        headers = headers_for(path) | rest.pop("headers", {})
        sent = {"body": body, "media_type": rest.pop("media_type", "application/json")} if body is not None else {}
        case = EXACT[path][method].Case(path_parameters=parameters, headers=headers, query=rest, **sent)
        response = case.call(base_url=self._url, timeout=60)
        case.validate_response(response, checks=CHECKS)
        assert response.status_code == status, response.text
        self.called.add((method, path))
        return response.json() if response.headers["content-type"] == ["application/json"] else response.text

    def until(self, method: str, path: str, field: str, value: str, **rest: Any) -> Any:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = self(method, path, **rest)
            if found[field] == value:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{path} never had {field} {value}")


@pytest.fixture
def session(stack: Stack) -> Iterator[Session]:
    return Session(stack)


HI = [{"role": "user", "content": "hi"}]
HOOK = {"name": "mine", "url": "http://127.0.0.1:9/hook", "event_types": ["batch.completed"]}


def test_models_and_their_answers(session: Session) -> None:
    chat = {"model": "fast", "messages": HI}
    session("POST", "/v1/chat/completions", chat)
    session("POST", "/v1/chat/completions", {**chat, "stream": True})
    session("POST", "/v1/chat/completions", {**chat, "n": 2, "logprobs": True, "top_logprobs": 2})
    session("POST", "/v1/completions", {"model": "fast", "prompt": ["a", "b"]})
    session("POST", "/v1/completions", {"model": "fast", "prompt": "a", "stream": True})
    session("POST", "/v1/embeddings", {"model": "fast", "input": ["a", "b"]})
    session("POST", "/v1/embeddings", {"model": "fast", "input": [1, 2], "encoding_format": "base64"})
    message = {"model": "claude", "messages": HI, "max_tokens": 50}
    session("POST", "/v1/messages", message)
    session("POST", "/v1/messages", {**message, "stream": True})
    session("POST", "/v1/messages/count_tokens", message)
    for headers in ({}, {"anthropic-version": "2023-06-01"}):
        session("GET", "/v1/models", headers=headers)
        session("GET", "/v1/models/{model}", model="fast", headers=headers)
        session("GET", "/v1/models/{model}", model="none", headers=headers, status=404)


def test_responses(session: Session) -> None:
    one = "/v1/responses/{response_id}"
    asked = {"model": "fast", "input": "hi", "background": True}
    key = {"Idempotency-Key": "described"}
    made = session("POST", "/v1/responses", asked, headers=key)
    session("POST", "/v1/responses", {**asked, "input": "other"}, headers=key, status=409)
    named = {"response_id": made["id"]}
    session.until("GET", one, "status", "completed", **named)
    session("GET", one, **named, stream="true")
    session("GET", one + "/input_items", **named)
    session("POST", one + "/cancel", **named)
    session("DELETE", one, **named)
    session("GET", one, **named, status=404)
    session("POST", "/v1/responses", {"model": "fast", "input": "hi"})
    session("POST", "/v1/responses", {"model": "fast", "input": "hi", "stream": True})
    session("POST", "/v1/responses/input_tokens", {"model": "fast", "input": "hi"})


def test_jobs(session: Session) -> None:
    one = "/v1/jobs/{job_id}"
    made = session("POST", "/v1/jobs", {"model": "fast", "input": "hi"}, status=202)
    named = {"job_id": made["id"]}
    session.until("GET", one, "status", "succeeded", **named)
    session("GET", one + "/stream", **named, headers={"Last-Event-ID": "1"})
    session("POST", one + "/cancel", **named)


def test_files_and_batches(session: Session) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
    content = json.dumps({**line, "body": {"model": "fast", "messages": HI}}).encode()
    upload = {"purpose": "batch", "file": content}
    file = session("POST", "/v1/files", upload, media_type="multipart/form-data")
    named = {"file_id": file["id"]}
    session("GET", "/v1/files")
    session("GET", "/v1/files/{file_id}", **named)
    session("GET", "/v1/files/{file_id}/content", **named)
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = session("POST", "/v1/batches", asked)
    session.until("GET", "/v1/batches/{batch_id}", "status", "completed", batch_id=batch["id"])
    session("GET", "/v1/batches/{batch_id}/results", batch_id=batch["id"], follow="true")
    session("POST", "/v1/batches/{batch_id}/cancel", batch_id=batch["id"], status=400)
    session("GET", "/v1/batches")
    session("DELETE", "/v1/files/{file_id}", **named)


def test_message_batches(session: Session) -> None:
    root, one = "/v1/messages/batches", "/v1/messages/batches/{batch_id}"
    params = {"model": "claude", "messages": HI, "max_tokens": 20}
    batch = session("POST", root, {"requests": [{"custom_id": "a", "params": params}]})
    session("POST", one + "/cancel", batch_id=batch["id"])
    session.until("GET", one, "processing_status", "ended", batch_id=batch["id"])
    session("GET", one + "/results", batch_id=batch["id"])
    session("GET", root)
    session("DELETE", one, batch_id=batch["id"])


def test_webhooks(session: Session) -> None:
    root, one = "/v1/webhook_endpoints", "/v1/webhook_endpoints/{endpoint_id}"
    made = session("POST", root, HOOK)
    named = {"endpoint_id": made["id"]}
    session("GET", root)
    session("GET", one, **named)
    session("POST", one, {"description": "changed"}, **named)
    session("POST", one + "/rotate_secret", {}, **named)
    session("GET", one + "/deliveries", **named)
    session("DELETE", one, **named)
    session("GET", "/v1/webhook_event_types")
    session("GET", "/v1/webhook_callbacks")
    session("GET", "/v1/webhook_callbacks/deliveries")


def test_for_the_operator(session: Session) -> None:
    key = session("POST", "/admin/keys", {"name": "described"})
    session("GET", "/admin/keys", tenant="default")
    new = session("POST", "/admin/keys/{key_id}/rotate", {}, key_id=key["id"])
    session("DELETE", "/admin/keys/{key_id}", key_id=new["id"])
    session("POST", "/admin/tenants", {"id": "described"})
    session("POST", "/admin/tenants", {"id": "described"}, status=409)
    session("GET", "/admin/tenants")
    session("GET", "/admin/tenants/{tenant_id}", tenant_id="described")
    session("POST", "/admin/tenants/{tenant_id}", {"tier": "pro"}, tenant_id="described")
    session("POST", "/v1/cache/invalidate", {"tag": "described"})
    session("POST", "/admin/cache/invalidate", {"tenant": "described", "model": "fast", "older_than_seconds": 1.5})
    for path in ("/admin/workers", "/admin/breakers", "/admin/breakers/events", "/metrics", "/healthz", "/readyz"):
        session("GET", path)
    session("GET", "/admin/keys", headers={"authorization": f"Bearer {KEY}"}, status=403)


def test_the_document_and_the_page_are_served_to_anybody(stack: Stack) -> None:
    with urllib.request.urlopen(stack.url + "/openapi.json", timeout=10) as answer:
        assert json.load(answer) == DOCUMENT
    with urllib.request.urlopen(stack.url + "/docs", timeout=10) as answer:
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        page = answer.read().decode()
    assert f"curl -X POST {stack.url}/v1/chat/completions" in page
