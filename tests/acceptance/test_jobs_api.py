"""Penstock's own API: durable jobs, their streams, keys of the operator."""

import json
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from acceptance.conftest import ADMIN_KEY, KEY, OTHER_KEY, Stack

ASK = {"model": "fast", "messages": [{"role": "user", "content": "[[tokens: 40]]"}], "stream": True}


def events(stack: Stack, job_id: str, last: int | None = None) -> Iterator[dict[str, Any]]:
    request = urllib.request.Request(f"{stack.url}/v1/jobs/{job_id}/stream")
    request.add_header("authorization", f"Bearer {KEY}")
    if last is not None:
        request.add_header("last-event-id", str(last))
    event: dict[str, Any] = {}
    with urllib.request.urlopen(request, timeout=30) as answer:
        for raw in answer:
            line = raw.decode().rstrip("\n")
            if not line:
                if event:
                    yield event
                event = {}
            elif not line.startswith(":"):
                name, _, value = line.partition(": ")
                event[name] = value


def test_a_job_is_accepted_streamed_and_kept(stack: Stack):
    status, job = stack.call("POST", "/v1/jobs", ASK)
    assert status == 202
    assert job["status"] in ("pending", "queued", "running")
    seen = list(events(stack, job["id"]))
    assert [int(event["id"]) for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1]["event"] == "end"
    final = json.loads(seen[-1]["data"])
    text = "".join(json.loads(e["data"])["text"] for e in seen if e["event"] == "delta")
    found = stack.call("GET", f"/v1/jobs/{job['id']}")[1]
    assert found["status"] == "succeeded"
    assert found["output"]["text"] == text
    assert final == found


def test_a_stream_goes_on_after_last_event_id(stack: Stack):
    job = stack.call("POST", "/v1/jobs", ASK)[1]
    whole = list(events(stack, job["id"]))
    for last in range(0, len(whole) + 1, 5):
        assert list(events(stack, job["id"], last)) == whole[last:]


def test_cancel(stack: Stack):
    ask = ASK | {"messages": [{"role": "user", "content": "[[delay: 60000]]"}]}
    job = stack.call("POST", "/v1/jobs", ask)[1]
    while stack.call("GET", f"/v1/jobs/{job['id']}")[1]["status"] != "running":
        time.sleep(0.05)
    assert stack.call("POST", f"/v1/jobs/{job['id']}/cancel")[1]["status"] == "cancelled"
    assert stack.call("GET", f"/v1/jobs/{job['id']}")[1]["status"] == "cancelled"


def test_jobs_of_others_do_not_exist(stack: Stack):
    job = stack.call("POST", "/v1/jobs", ASK)[1]
    for method, path in (("GET", ""), ("GET", "/stream"), ("POST", "/cancel")):
        assert stack.call(method, f"/v1/jobs/{job['id']}{path}", key=OTHER_KEY)[0] == 404


def test_a_key_is_made_used_and_revoked(stack: Stack):
    made = stack.call("POST", "/admin/keys", {"tenant": "team-c", "name": "ci"}, key=ADMIN_KEY)[1]
    assert stack.call("GET", "/v1/models", key=made["key"])[0] == 200
    listed = stack.call("GET", "/admin/keys", key=ADMIN_KEY)[1]["data"]
    assert made["key"] not in json.dumps(listed)
    assert made["id"] in [key["id"] for key in listed]
    assert stack.call("DELETE", f"/admin/keys/{made['id']}", key=ADMIN_KEY)[0] == 200
    deadline = time.monotonic() + 60
    while stack.call("GET", "/v1/models", key=made["key"])[0] != 401:
        assert time.monotonic() < deadline
        time.sleep(0.3)
    assert stack.call("POST", "/admin/keys", {}, key=KEY)[0] == 403


def test_flower_shows_workers_and_slices(stack: Stack):
    stack.call("POST", "/v1/jobs", ASK)
    deadline = time.monotonic() + 60
    while True:
        with urllib.request.urlopen(stack.flower_url + "/workers", timeout=10) as page:
            text = page.read().decode()
        if "bulk-1" in text and "interactive" in text:
            break
        assert time.monotonic() < deadline, text[:2000]
        time.sleep(0.5)
