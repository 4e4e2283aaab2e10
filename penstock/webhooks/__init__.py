"""Webhooks: signed events from the outbox to their receivers, at least once."""

from penstock.webhooks.delivery import Deliverer
from penstock.webhooks.endpoints import ALL_EVENT_TYPES, EVENT_TYPES, Endpoint, static_endpoints
from penstock.webhooks.managed import ManagedWebhooks
from penstock.webhooks.receivers import ManagedReceivers, receivers_client
from penstock.webhooks.secrets import SecretKeys

__all__ = [
    "ALL_EVENT_TYPES",
    "EVENT_TYPES",
    "Deliverer",
    "Endpoint",
    "ManagedReceivers",
    "ManagedWebhooks",
    "SecretKeys",
    "receivers_client",
    "static_endpoints",
]
