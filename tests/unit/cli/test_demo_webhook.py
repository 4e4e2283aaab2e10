"""The receiver verifies with the SDK what is signed with the engine's own signature."""

import base64
import time
from datetime import UTC, datetime
from uuid import UUID

import httpx
import pytest
from openai import OpenAI

from cli.demo.webhook import WebhookReceiver
from penstock.errors import PenstockError
from penstock.webhooks.signature import headers, payload

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()


@pytest.fixture
def client() -> OpenAI:
    return OpenAI(api_key="sk-1", base_url="http://127.0.0.1:1/v1")


def deliver(receiver: WebhookReceiver, event_type: str, object_id: str, key: bytes = KEY) -> int:
    body = payload(UUID(int=1), event_type, datetime.now(UTC), object_id)
    signed = headers([key], "evt_1", int(time.time()), body)
    return httpx.post(receiver.url, content=body, headers=signed, trust_env=False).status_code


def test_the_event_waited_for_is_found_among_others(client: OpenAI) -> None:
    with WebhookReceiver() as receiver:
        assert deliver(receiver, "response.completed", "resp_1") == 204
        assert deliver(receiver, "batch.completed", "batch_2") == 204
        assert deliver(receiver, "batch.completed", "batch_1") == 204
        assert receiver.wait_for(client, SECRET, "batch.completed", "batch_1", 5) == "evt_1"


def test_a_wrong_signature_is_not_accepted(client: OpenAI) -> None:
    with WebhookReceiver() as receiver:
        deliver(receiver, "batch.completed", "batch_1", key=b"x" * 32)
        with pytest.raises(PenstockError, match="signature"):
            receiver.wait_for(client, SECRET, "batch.completed", "batch_1", 5)


def test_an_event_that_does_not_come_is_named(client: OpenAI) -> None:
    with WebhookReceiver() as receiver, pytest.raises(PenstockError, match=r"batch\.completed for batch_1"):
        receiver.wait_for(client, SECRET, "batch.completed", "batch_1", 0.01)
