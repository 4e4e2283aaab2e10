"""What is sent: the body of an event and its headers, signed as Standard Webhooks says. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from standardwebhooks import Webhook

from penstock.completion.encoding import dumps
from penstock.ids import public_id

EVENT_PREFIX = "evt_"


def webhook_id(event_id: UUID) -> str:
    """The public id of an event; receivers know a repetition by it."""
    return public_id(EVENT_PREFIX, event_id)


def payload(event_id: UUID, event_type: str, created_at: datetime, object_id: str) -> bytes:
    """The body: the same bytes at every attempt, and never more of the object than its id."""
    return dumps(
        {
            "id": webhook_id(event_id),
            "object": "event",
            "type": event_type,
            "created_at": int(created_at.timestamp()),
            "data": {"id": object_id},
        }
    )


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature per key, so that a secret can be replaced without a gap.

    `keys` are the decoded secrets, `timestamp` is in Unix seconds, `body` is exactly what is sent (UTF-8).
    """
    when = datetime.fromtimestamp(timestamp, UTC)
    return " ".join(Webhook(key).sign(message_id, when, body.decode()) for key in keys)


def headers(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """All headers of one attempt; arguments as for `sign`."""
    return {
        "content-type": "application/json",
        "user-agent": "penstock-webhooks",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(keys, message_id, timestamp, body),
    }
