"""What `penstock.yaml` may hold. Reading it is the business of `settings`."""

from penstock.configuration.config import (
    DEFAULT_SCOPES,
    AwsCredentials,
    BatchesConfig,
    BreakerConfig,
    Config,
    HttpConfig,
    KeyConfig,
    LaneRetries,
    Limits,
    ModelConfig,
    Price,
    ProviderConfig,
    RetriesConfig,
    Scope,
    TierConfig,
    Timeouts,
    WorkerConfig,
)
from penstock.configuration.routes import AcceptConfig, RouteConfig
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
