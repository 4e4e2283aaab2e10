"""Webhooks: signed events from the outbox to their receivers, at least once."""

from penstock.webhooks.delivery import Deliverer
from penstock.webhooks.endpoints import EVENT_TYPES, Endpoint, static_endpoints

__all__ = ["EVENT_TYPES", "Deliverer", "Endpoint", "static_endpoints"]
