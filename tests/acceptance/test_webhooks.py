"""Tenants' own webhook endpoints and callback addresses, by the SDK's own calls and both vendors' verifiers."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
import standardwebhooks
from acceptance.conftest import KEY, OTHER_KEY, SECRET, Receiver, Stack, receiving
from acceptance.test_batches import chat_line, jsonl, submit
from openai.types.webhooks import WebhookEndpointWithSecret

Row = dict[str, Any]
TYPES = ["response.completed", "batch.completed", "response.cancelled"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


@pytest.fixture
def endpoint(client: openai.OpenAI, receiver: Receiver) -> Iterator[WebhookEndpointWithSecret]:
    made = client.webhooks.create(name="mine", url=receiver.url, event_types=TYPES)
    yield made
    client.webhooks.delete(made.id)


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def verified(stack: Stack, delivery: tuple[dict[str, str], bytes], secret: str) -> Any:
    """The event, as both verifiers agree on it."""
    headers, body = delivery
    standardwebhooks.Webhook(secret).verify(body, headers)
    event = stack.client(webhook_secret=secret).webhooks.unwrap(body, headers)
    assert event.id == headers["webhook-id"]
    return event


def is_signed_with(stack: Stack, delivery: tuple[dict[str, str], bytes], secret: str) -> bool:
    try:
        verified(stack, delivery, secret)
    except (openai.InvalidWebhookSignatureError, standardwebhooks.WebhookVerificationError):
        return False
    return True


def answered(client: openai.OpenAI, text: str = "hello", **extra: Any) -> str:
    return client.responses.create(model="fast", input=text, background=True, extra_body=extra or None).id


def deliveries(stack: Stack, endpoint_id: str) -> list[Row]:
    return list(stack.call("GET", f"/v1/webhook_endpoints/{endpoint_id}/deliveries")[1]["data"])


def delivery_of(stack: Stack, endpoint_id: str, object_id: str, status: str) -> Row | None:
    return next(
        (d for d in deliveries(stack, endpoint_id) if d["object_id"] == object_id and d["status"] == status), None
    )


def test_an_endpoint_gets_its_tenants_events_of_its_types_and_no_others(
    client: openai.OpenAI, stack: Stack, receiver: Receiver, endpoint: WebhookEndpointWithSecret
):
    other = answered(stack.client(OTHER_KEY))
    unwanted = stack.call("POST", "/v1/jobs", {"model": "fast", "input": "hi"})[1]["id"]
    batch = submit(client, jsonl([chat_line("a", "hi")]))
    response = answered(client)
    for object_id, event_type in ((batch.id, "batch.completed"), (response, "response.completed")):
        assert verified(stack, receiver.wait_for(object_id), endpoint.signing_secret).type == event_type
    stack.webhooks.wait_for(other)
    until(lambda: stack.call("GET", f"/v1/jobs/{unwanted}")[1]["status"] == "succeeded")
    time.sleep(1.5)  # longer than an event takes to be fanned out
    # the tenant's events of earlier tests may arrive here too
    heard = {json.loads(body)["data"]["id"] for _, body in receiver.deliveries}
    assert {batch.id, response} <= heard
    assert not {other, unwanted} & heard
    kept = {d["object_id"]: d["status"] for d in deliveries(stack, endpoint.id)}
    assert (kept[batch.id], kept[response]) == ("delivered", "delivered")
    assert not {other, unwanted} & set(kept)


def test_the_object_and_the_lists_are_the_sdks(client: openai.OpenAI, receiver: Receiver, stack: Stack):
    made = [client.webhooks.create(name=f"n{n}", url=receiver.url, event_types=["batch.failed"]) for n in range(5)]
    first = client.webhooks.retrieve(made[0].id)
    assert (first.name, first.url, first.event_types, first.object) == (
        "n0", receiver.url, ["batch.failed"], "webhook_endpoint",
    )  # fmt: skip
    assert made[0].signing_secret.endswith(str(first.signing_secret_hint).rpartition("…")[2])
    assert "signing_secret" not in stack.call("GET", f"/v1/webhook_endpoints/{first.id}")[1]
    mine = {row.id for row in made}
    listed = [row.id for row in client.webhooks.list(limit=2) if row.id in mine]
    assert listed == [row.id for row in reversed(made)]
    assert not any(row.id in mine for row in stack.client(OTHER_KEY).webhooks.list())
    for call in (
        lambda other: other.webhooks.retrieve(first.id),
        lambda other: other.webhooks.delete(first.id),
        lambda other: other.webhooks.rotate_secret(first.id),
        lambda other: other.webhooks.test(first.id, event_type="batch.failed"),
    ):
        with pytest.raises(openai.NotFoundError):
            call(stack.client(OTHER_KEY))
    types = ["response.failed", "batch.completed", "response.failed"]
    changed = client.webhooks.update(first.id, name="new", event_types=types)
    assert (changed.name, changed.event_types, changed.url) == ("new", types[:2], receiver.url)
    for row in made:
        assert client.webhooks.delete(row.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.webhooks.retrieve(first.id)
    known = client.webhooks.event_types.list().data
    assert {"batch.completed", "response.incomplete", "job.succeeded"} <= set(known)


def test_after_a_rotation_both_secrets_verify_or_only_the_new_one(
    client: openai.OpenAI, stack: Stack, receiver: Receiver, endpoint: WebhookEndpointWithSecret
):
    rotated = client.webhooks.rotate_secret(endpoint.id, keep_old_secret_active_for_24_hours=True)
    assert rotated.signing_secret != endpoint.signing_secret
    delivery = receiver.wait_for(answered(client))
    for secret in (endpoint.signing_secret, rotated.signing_secret):
        assert verified(stack, delivery, secret).type == "response.completed"
    last = client.webhooks.rotate_secret(endpoint.id)
    delivery = receiver.wait_for(answered(client))
    assert is_signed_with(stack, delivery, last.signing_secret)
    assert not is_signed_with(stack, delivery, rotated.signing_secret)
    assert not is_signed_with(stack, delivery, endpoint.signing_secret)


def test_a_test_event_tells_what_the_receiver_answered(
    client: openai.OpenAI, stack: Stack, receiver: Receiver, endpoint: WebhookEndpointWithSecret
):
    result = client.webhooks.test(endpoint.id, event_type="batch.completed")
    assert (result.status_code, result.success, result.webhook_endpoint_id) == (204, True, endpoint.id)
    assert verified(stack, receiver.deliveries[0], endpoint.signing_secret).type == "batch.completed"
    receiver.status = 500
    assert client.webhooks.test(endpoint.id, event_type="response.completed").status_code == 500
    failed, delivered = deliveries(stack, endpoint.id)
    assert (failed["status"], failed["last_status_code"], failed["test"], failed["attempts"]) == (
        "failed",
        500,
        True,
        1,
    )
    assert delivered["status"] == "delivered"
    with pytest.raises(openai.BadRequestError, match="gets only"):
        client.webhooks.test(endpoint.id, event_type="batch.failed")
    client.webhooks.update(endpoint.id, url="http://127.0.0.1:1/nobody")
    with pytest.raises(openai.BadRequestError, match="Cannot connect"):
        client.webhooks.test(endpoint.id, event_type="batch.completed")


def test_a_delivery_that_failed_is_logged_and_made_again_on_request(
    client: openai.OpenAI, stack: Stack, receiver: Receiver, endpoint: WebhookEndpointWithSecret
):
    receiver.status = 503
    response = answered(client)
    failed = until(lambda: delivery_of(stack, endpoint.id, response, "failed"))
    assert (failed["attempts"], failed["last_status_code"], failed["next_attempt_at"]) == (4, 503, None)
    assert failed["last_error"] == "gave up after 4 attempts; the last: the receiver answered 503"
    receiver.status = 204
    again = f"/v1/webhook_endpoints/{endpoint.id}/deliveries/{failed['id']}/redeliver"
    assert stack.call("POST", again, key=OTHER_KEY)[0] == 404
    assert stack.call("POST", again)[1]["status"] == "pending"
    until(lambda: delivery_of(stack, endpoint.id, response, "delivered"))
    assert len({headers["webhook-id"] for headers, _ in receiver.deliveries}) == 1
    stack.call("POST", again)
    until(lambda: len(receiver.deliveries) == 6)


def test_the_log_pages(client: openai.OpenAI, stack: Stack, receiver: Receiver, endpoint: WebhookEndpointWithSecret):
    made = [answered(client) for _ in range(5)]
    until(lambda: len(deliveries(stack, endpoint.id)) == 5)
    seen: list[str] = []
    path = f"/v1/webhook_endpoints/{endpoint.id}/deliveries?limit=2"
    page = stack.call("GET", path)[1]
    while True:
        seen += [row["object_id"] for row in page["data"]]
        if not page["has_more"]:
            break
        page = stack.call("GET", f"{path}&after={page['last_id']}")[1]
    assert sorted(seen) == sorted(made)
    assert stack.call("GET", f"{path}&after=evt_nothing")[0] == 404
    assert stack.call("GET", path, key=OTHER_KEY)[0] == 404


def test_disabling_ends_what_waits_and_enabling_begins_anew(
    client: openai.OpenAI, stack: Stack, receiver: Receiver, endpoint: WebhookEndpointWithSecret
):
    receiver.status = 500
    waiting = answered(client)
    until(lambda: receiver.deliveries)
    path = f"/v1/webhook_endpoints/{endpoint.id}"
    disabled = stack.call("POST", path, {"enabled": False})[1]
    assert (disabled["enabled"], disabled["disabled_reason"]) == (False, "by the tenant")
    assert until(lambda: delivery_of(stack, endpoint.id, waiting, "failed"))["last_error"] in {
        "the endpoint is disabled: by the tenant",
        "gave up after 4 attempts; the last: the receiver answered 500",
    }
    with pytest.raises(openai.BadRequestError, match="disabled: by the tenant"):
        client.webhooks.test(endpoint.id, event_type="batch.completed")
    missed = answered(client)
    stack.webhooks.wait_for(missed)
    receiver.status = 204
    enabled = stack.call("POST", path, {"enabled": True})[1]
    assert (enabled["enabled"], enabled["disabled_reason"], enabled["failing_since"]) == (True, None, None)
    receiver.wait_for(answered(client))
    assert missed not in {json.loads(body)["data"]["id"] for _, body in receiver.deliveries}


def test_gone_disables_an_endpoint(
    client: openai.OpenAI, stack: Stack, receiver: Receiver, endpoint: WebhookEndpointWithSecret
):
    receiver.status = 410
    response = answered(client)
    failed = until(lambda: delivery_of(stack, endpoint.id, response, "failed"))
    assert failed["last_error"] == "the endpoint is disabled: the receiver answered 410 Gone"
    shown = stack.call("GET", f"/v1/webhook_endpoints/{endpoint.id}")[1]
    assert (shown["enabled"], shown["disabled_reason"]) == (False, "the receiver answered 410 Gone")
    assert len(receiver.deliveries) == 1


def test_nothing_comes_after_a_deletion(client: openai.OpenAI, stack: Stack, receiver: Receiver):
    endpoint = client.webhooks.create(name="short", url=receiver.url, event_types=["response.completed"])
    receiver.wait_for(answered(client))
    client.webhooks.delete(endpoint.id)
    later = answered(client)
    stack.webhooks.wait_for(later)
    time.sleep(1.5)
    assert later not in {json.loads(body)["data"]["id"] for _, body in receiver.deliveries}


def test_callbacks_of_a_job_a_response_and_a_batch(client: openai.OpenAI, stack: Stack, receiver: Receiver):
    signer = stack.call("GET", "/v1/webhook_callbacks")[1]["signing_secret"]
    job = stack.call("POST", "/v1/jobs", {"model": "fast", "input": "hi", "callback_url": receiver.url})[1]
    assert job["callback_url"] == receiver.url
    response = answered(client, callback_url=receiver.url + "?which=response")
    file = client.files.create(file=("in.jsonl", jsonl([chat_line("a", "hi")])), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
        extra_body={"callback_url": receiver.url},
    )  # fmt: skip
    for object_id, event_type in ((response, "response.completed"), (batch.id, "batch.completed")):
        assert verified(stack, receiver.wait_for(object_id), signer).type == event_type
    headers, body = receiver.wait_for(job["id"])
    standardwebhooks.Webhook(signer).verify(body, headers)
    event = json.loads(body)
    assert (event["type"], event["data"]) == ("job.succeeded", {"id": job["id"]})
    assert len(receiver.deliveries) == 3
    # The operator's endpoint named no types: it gets the vendor's only.
    stack.webhooks.wait_for(response)
    assert job["id"] not in {json.loads(b)["data"]["id"] for _, b in stack.webhooks.deliveries}
    log = stack.call("GET", f"/v1/webhook_callbacks/deliveries?object_id={response}")[1]["data"]
    assert [(row["object_id"], row["status"], row["url"]) for row in log] == [
        (response, "delivered", receiver.url + "?which=response")
    ]
    assert stack.call("GET", "/v1/webhook_callbacks/deliveries", key=OTHER_KEY)[1]["data"] == []
    redelivery = f"/v1/webhook_callbacks/deliveries/{log[0]['id']}/redeliver"
    assert stack.call("POST", redelivery, key=OTHER_KEY)[0] == 404
    assert stack.call("POST", redelivery)[0] == 200
    until(lambda: len(receiver.deliveries) == 4)


def test_the_end_of_every_kind_of_job_is_called_back(stack: Stack, receiver: Receiver):
    long = {"model": "fast", "input": "[[tokens: 400]] go on", "callback_url": receiver.url}
    cancelled = stack.call("POST", "/v1/jobs", long)[1]["id"]
    stack.call("POST", f"/v1/jobs/{cancelled}/cancel")
    failing = {"model": "fast", "input": "[[error: 400]] no", "callback_url": receiver.url}
    failed = stack.call("POST", "/v1/jobs", failing)[1]["id"]
    assert json.loads(receiver.wait_for(cancelled)[1])["type"] == "job.cancelled"
    assert json.loads(receiver.wait_for(failed)[1])["type"] == "job.failed"


def test_the_callback_secret_is_the_tenants_own_and_rotates(client: openai.OpenAI, stack: Stack, receiver: Receiver):
    path = "/v1/webhook_callbacks"
    before = stack.call("GET", path)[1]["signing_secret"]
    assert before != stack.call("GET", path, key=OTHER_KEY)[1]["signing_secret"]
    rotated = stack.call("POST", f"{path}/rotate_secret", {"keep_old_secret_active_for_24_hours": True})[1]
    assert rotated["previous_secret_until"] > time.time() + 80_000
    after = rotated["signing_secret"]
    assert stack.call("GET", path)[1]["signing_secret"] == after != before
    delivery = receiver.wait_for(answered(client, callback_url=receiver.url))
    assert verified(stack, delivery, before)
    assert verified(stack, delivery, after)
    last = stack.call("POST", f"{path}/rotate_secret")[1]
    assert last["previous_secret_until"] is None
    delivery = receiver.wait_for(answered(client, callback_url=receiver.url))
    assert is_signed_with(stack, delivery, last["signing_secret"])
    assert not is_signed_with(stack, delivery, after)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"url": None}, "url"),
        ({"url": 7}, "url"),
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://user:pass@example.com/"}, "url"),
        ({"url": "https://exa mple.com/"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "http://[::ffff:169.254.169.254]/latest"}, "url"),
        ({"url": "http://0x0a000001/"}, "url"),
        ({"url": "http://127.1/"}, "url"),
        ({"url": "https://[fe80::1]/"}, "url"),
        ({"url": "https://example.com/" + "x" * 3000}, "url"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": "nul \0"}, "name"),
        ({"event_types": None}, "event_types"),
        ({"event_types": []}, "event_types"),
        ({"event_types": "batch.completed"}, "event_types"),
        ({"event_types": [1]}, "event_types[0]"),
        ({"event_types": ["batch.done"]}, "event_types"),
        ({"description": 1}, "description"),
    ],
)
def test_what_cannot_be_an_endpoint_is_refused(stack: Stack, fields: Row, param: str):
    good = {"name": "n", "url": "http://127.0.0.1:9/", "event_types": ["batch.completed"]}
    status, body = stack.call("POST", "/v1/webhook_endpoints", {**good, **fields})
    assert (status, body["error"]["param"]) == (400, param)


@pytest.mark.parametrize("value", ["http://192.168.1.1/", 5, "nonsense", "http://[::]/"])
def test_what_cannot_be_called_back_is_refused_before_anything_is_stored(
    client: openai.OpenAI, stack: Stack, value: object
):
    for path, body in (
        ("/v1/jobs", {"model": "fast", "input": "hi"}),
        ("/v1/responses", {"model": "fast", "input": "hi", "background": True}),
    ):
        status, answer = stack.call("POST", path, {**body, "callback_url": value})
        assert (status, answer["error"]["param"]) == (400, "callback_url")
    file = client.files.create(file=("in.jsonl", jsonl([chat_line("a", "hi")])), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="callback_url"):
        client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
            extra_body={"callback_url": value},
        )  # fmt: skip
    status, answer = stack.call(
        "POST", "/v1/responses", {"model": "fast", "input": "hi", "callback_url": "https://example.com/"}
    )
    assert (status, answer["error"]["param"]) == (400, "callback_url")


def test_no_secret_is_in_the_logs_or_the_tables(
    client: openai.OpenAI, stack: Stack, receiver: Receiver, endpoint: WebhookEndpointWithSecret
):
    receiver.wait_for(answered(client))
    bare = endpoint.signing_secret.removeprefix("whsec_")
    text = "".join(file.read_text(errors="replace") for file in (stack.data / "logs").glob("*"))
    assert "penstock" in text
    assert bare not in text
    assert (stack.data / "secret_key").stat().st_mode & 0o077 == 0
    assert bare not in json.dumps(stack.call("GET", f"/v1/webhook_endpoints/{endpoint.id}", key=KEY)[1])
    assert SECRET not in text
