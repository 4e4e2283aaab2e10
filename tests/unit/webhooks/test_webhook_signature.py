"""Bodies and signatures, checked by the verifiers that receivers use."""

import base64
import json
import time
from datetime import UTC, datetime
from uuid import UUID

import openai
import pytest
import standardwebhooks
from hypothesis import given
from hypothesis import strategies as st

from penstock.ids import new_id
from penstock.webhooks import signature

EVENT = UUID("01900000-0000-7000-8000-0000000000ab")
CREATED = datetime(2026, 11, 24, 3, 4, 5, 900_000, tzinfo=UTC)


def secret_of(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def test_the_body_is_the_contracts() -> None:
    body = signature.payload(EVENT, "batch.completed", CREATED, "batch_1")
    assert json.loads(body) == {
        "id": "evt_019000000000700080000000000000ab",
        "object": "event",
        "type": "batch.completed",
        "created_at": 1795489445,
        "data": {"id": "batch_1"},
    }


@given(st.binary(min_size=24, max_size=64))
def test_vendors_verifiers_accept(key: bytes) -> None:
    body = signature.payload(EVENT, "response.completed", CREATED, "resp_1")
    headers = signature.headers([key], signature.webhook_id(EVENT), int(time.time()), body)
    standardwebhooks.Webhook(secret_of(key)).verify(body, headers)
    client = openai.OpenAI(api_key="unused", webhook_secret=secret_of(key))
    event = client.webhooks.unwrap(body, headers)
    assert (event.type, event.data.id) == ("response.completed", "resp_1")  # type: ignore[union-attr]


def test_the_id_has_no_dot_or_space() -> None:
    assert not set(signature.webhook_id(new_id())) & set(". ")


@pytest.mark.parametrize("known", [0, 1])
def test_during_a_rotation_either_secret_verifies(known: int) -> None:
    keys = [b"o" * 24, b"n" * 32]
    headers = signature.headers(keys, "evt_1", int(time.time()), b"{}")
    standardwebhooks.Webhook(secret_of(keys[known])).verify(b"{}", headers)
    assert headers["webhook-signature"].count(" ") == 1


@pytest.mark.parametrize(
    ("message_id", "later", "body"), [("evt_2", 0, b"{}"), ("evt_1", 1, b"{}"), ("evt_1", 0, b"[]")]
)
def test_the_signature_covers_id_time_and_body(message_id: str, later: int, body: bytes) -> None:
    now = int(time.time())
    signed = signature.headers([b"k" * 24], "evt_1", now, b"{}")
    changed = {**signed, "webhook-id": message_id, "webhook-timestamp": str(now + later)}
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret_of(b"k" * 24)).verify(body, changed)
