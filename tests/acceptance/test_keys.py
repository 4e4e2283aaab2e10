"""API keys over HTTP: scopes, rotation, revocation on every API process, and a pepper that may be replaced."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from acceptance.conftest import ADMIN_KEY, KEY, ROOT, Stack, wait_until_ready
from ports import free_port

from penstock.embedded.urls import find_running

ASK = {"model": "fast", "messages": [{"role": "user", "content": "hi"}]}


def make(stack: Stack, **body: Any) -> dict[str, Any]:
    status, made = stack.call("POST", "/admin/keys", body, key=ADMIN_KEY)
    assert status == 200, made
    return made


def until_refused(stack: Stack, key: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while stack.call("GET", "/v1/models", key=key)[0] != 401:
        assert time.monotonic() < deadline, "the key is still good"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("scopes", "reads", "writes", "watches", "operates"),
    [
        (["read"], 200, 403, 403, 403),
        (["write"], 403, 200, 403, 403),
        (["read", "write"], 200, 200, 403, 403),
        (["admin"], 403, 403, 403, 403),
        (["read", "admin"], 200, 403, 200, 403),
        (["read", "write", "admin"], 200, 200, 200, 200),
    ],
)
def test_a_key_may_do_what_its_scopes_say(
    stack: Stack, scopes: list[str], reads: int, writes: int, watches: int, operates: int
):
    key = make(stack, tenant="scoped", scopes=scopes)["key"]
    found = [
        stack.call("GET", "/v1/models", key=key),
        stack.call("POST", "/v1/chat/completions", ASK, key=key),
        stack.call("GET", "/admin/keys", key=key),
        stack.call("POST", "/admin/keys", {"tenant": "scoped"}, key=key),
    ]
    assert [status for status, _ in found] == [reads, writes, watches, operates]
    assert {body["error"]["code"] for status, body in found if status == 403} <= {"insufficient_scope"}


def test_a_refusal_for_a_scope_speaks_the_dialect(stack: Stack):
    key = make(stack, tenant="scoped", scopes=["read"])["key"]
    status, body = stack.call("POST", "/v1/messages", ASK | {"max_tokens": 5}, key=key)
    assert (status, body["type"], body["error"]["type"]) == (403, "error", "permission_error")


def test_the_secret_of_callbacks_is_not_for_reading_keys(stack: Stack):
    key = make(stack, tenant="scoped", scopes=["read"])["key"]
    assert stack.call("GET", "/v1/webhook_callbacks", key=key)[0] == 403
    assert stack.call("GET", "/v1/webhook_callbacks/deliveries", key=key)[0] == 200


def test_a_key_is_rotated(stack: Stack):
    old = make(stack, tenant="rotating", name="ci", expires_in_days=10, scopes=["read"])
    status, kept = stack.call(
        "POST", f"/admin/keys/{old['id']}/rotate", {"keep_old_key_active_for_24_hours": True}, key=ADMIN_KEY
    )
    assert (status, kept["name"], kept["scopes"], kept["tenant"]) == (200, "ci", ["read"], "rotating")
    assert {stack.call("GET", "/v1/models", key=key)[0] for key in (old["key"], kept["key"])} == {200}
    status, new = stack.call("POST", f"/admin/keys/{kept['id']}/rotate", key=ADMIN_KEY)
    assert status == 200
    until_refused(stack, kept["key"])
    assert stack.call("GET", "/v1/models", key=new["key"])[0] == 200
    assert stack.call("POST", f"/admin/keys/{kept['id']}/rotate", key=ADMIN_KEY)[0] == 404


def test_what_a_key_cannot_be_made_of(stack: Stack):
    for body, param in (
        ({"tenant": ""}, "tenant"),
        ({"tenant": "a:b"}, "tenant"),
        ({"tier": "none such"}, "tier"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": "read"}, "scopes"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": True}, "expires_in_days"),
        ({"name": "n" * 65}, "name"),
    ):
        status, answer = stack.call("POST", "/admin/keys", body, key=ADMIN_KEY)
        assert (status, answer["error"]["param"]) == (400, param)


def test_a_second_key_leaves_the_tier_as_it_is(stack: Stack):
    """A key made in haste must not lift a tenant's limits."""
    assert make(stack, tenant="tiered", tier="small")["tier"] == "small"
    assert make(stack, tenant="tiered")["tier"] == "small"
    assert stack.call("GET", "/admin/tenants/tiered", key=ADMIN_KEY)[1]["keys"] == 2
    assert stack.call("POST", "/admin/tenants/tiered", {"tier": "pro"}, key=ADMIN_KEY)[1]["tier"] == "pro"


def test_tenants_are_made_and_listed(stack: Stack):
    status, made = stack.call("POST", "/admin/tenants", {"id": "made-first", "tier": "free"}, key=ADMIN_KEY)
    assert (status, made["tier"], made["keys"]) == (200, "free", 0)
    assert stack.call("POST", "/admin/tenants", {"id": "made-first"}, key=ADMIN_KEY)[0] == 409
    listed = stack.call("GET", "/admin/tenants?limit=1&after=made-firs", key=ADMIN_KEY)[1]
    assert [tenant["id"] for tenant in listed["data"]] == ["made-first"]
    for method, path in (
        ("GET", "/admin/tenants/none"),
        ("POST", "/admin/tenants/none"),
        ("GET", "/admin/tenants/%00"),
    ):
        assert stack.call(method, path, {"tier": "free"} if method == "POST" else None, key=ADMIN_KEY)[0] == 404
    assert stack.call("GET", "/admin/tenants", key=KEY)[0] == 403


@contextmanager
def second_api(stack: Stack, **variables: str) -> Iterator[Stack]:
    """One more API process on the same servers."""
    urls = find_running(stack.data)
    environment = {**os.environ, "PENSTOCK_ADMIN_KEY": ADMIN_KEY, **variables}
    environment |= urls.environment() if urls else {}
    port, log = free_port(), stack.data.parent / "second.log"
    command = [sys.executable, "-m", "cli.main", "api", "--config", str(stack.data.parent / "penstock.yaml")]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--data", str(stack.data), "--port", str(port)],
            cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(url, process, log)
        yield Stack(**{**stack.__dict__, "url": url, "process": process, "log": log})
    finally:
        process.terminate()
        process.wait(30)


def embedded_only(stack: Stack) -> None:
    if find_running(stack.data) is None:
        pytest.skip("a second API process is started on the embedded servers")


def test_a_revoked_key_ends_on_every_api_process(stack: Stack):
    embedded_only(stack)
    made = make(stack, tenant="everywhere")
    with second_api(stack) as other:
        for api in (stack, other):
            assert api.call("GET", "/v1/models", key=made["key"])[0] == 200
        assert stack.call("DELETE", f"/admin/keys/{made['id']}", key=ADMIN_KEY)[0] == 200
        for api in (stack, other):
            until_refused(api, made["key"])


def test_a_key_outlives_the_secret_key_that_peppered_it(stack: Stack):
    """It is kept anew under the first secret key when it is used, so the old one can be dropped."""
    embedded_only(stack)
    used, unused = make(stack, tenant="peppered"), make(stack, tenant="peppered")
    old = (stack.data / "secret_key").read_text().strip()
    new = "n" * 40
    with second_api(stack, PENSTOCK_SECRET_KEY=f"{new},{old}") as both:
        assert both.call("GET", "/v1/models", key=used["key"])[0] == 200
    with second_api(stack, PENSTOCK_SECRET_KEY=new) as alone:
        assert alone.call("GET", "/v1/models", key=used["key"])[0] == 200
        assert alone.call("GET", "/v1/models", key=unused["key"])[0] == 401
