"""What `penstock.yaml` may hold. Reading it is the business of `settings`."""

from penstock.configuration.config import (
    AwsCredentials,
    BatchesConfig,
    BreakerConfig,
    Config,
    HttpConfig,
    LaneRetries,
    Limits,
    ModelConfig,
    Price,
    ProviderConfig,
    RetriesConfig,
    Timeouts,
    WorkerConfig,
)
from penstock.configuration.routes import AcceptConfig, RouteConfig
from penstock.configuration.tenants import DEFAULT_SCOPES, KeyConfig, Scope, TierConfig
from penstock.configuration.webhooks import WebhookEndpointConfig, WebhooksConfig

__all__ = [
    "DEFAULT_SCOPES",
    "AcceptConfig",
    "AwsCredentials",
    "BatchesConfig",
    "BreakerConfig",
    "Config",
    "HttpConfig",
    "KeyConfig",
    "LaneRetries",
    "Limits",
    "ModelConfig",
    "Price",
    "ProviderConfig",
    "RetriesConfig",
    "RouteConfig",
    "Scope",
    "TierConfig",
    "Timeouts",
    "WebhookEndpointConfig",
    "WebhooksConfig",
    "WorkerConfig",
]
