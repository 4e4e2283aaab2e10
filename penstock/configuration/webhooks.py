"""Where events go."""

from ipaddress import IPv4Network, IPv6Network

from pydantic import SecretStr, field_validator

from penstock.configuration.section import Seconds, Section


class WebhookEndpointConfig(Section):
    """A static receiver. Being the operator's own, it may be on plain http and on this host."""

    url: str
    secret: SecretStr
    events: list[str] = []
    tenant: str | None = None

    @field_validator("secret")
    @classmethod
    def _standard_webhooks(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith("whsec_"):
            raise ValueError("must be `whsec_` and base64 of 24 to 64 bytes")
        return value


class WebhooksConfig(Section):
    """Where events go and how often a failed delivery is tried again (seconds before each retry, jittered).

    `allow_networks`, `disable_after` and `retention` are about tenants' endpoints and callback addresses, and what is
    kept of all deliveries: private networks they may be in, the seconds without a success after which an endpoint is
    disabled, and the seconds for which an event and its deliveries stay in the log.
    """

    endpoints: list[WebhookEndpointConfig] = []
    retry_schedule: list[Seconds] = [2, 10, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200]
    timeout: Seconds = 15.0
    allow_networks: list[IPv4Network | IPv6Network] = []
    disable_after: Seconds = 3 * 24 * 3600.0
    retention: Seconds = 30 * 24 * 3600.0
