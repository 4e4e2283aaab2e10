"""Which providers and models the demo uses, and the configuration that says so."""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from penstock.errors import ConfigError
from penstock.settings import environment

#: the tenants: the batch belongs to one, the streamed response to the other
EVALS, PRODUCT = "evals", "product"


@dataclass(frozen=True, slots=True)
class DemoProvider:
    """One provider with its quota and the one model asked of it.

    `price` is in dollars per million tokens, input and output; None: the public list price. `base_url` is empty until
    a simulated provider listens; `api_key` is as the configuration file has it.
    """

    name: str
    wire_format: Literal["openai", "anthropic"]
    model: str
    requests_per_minute: int
    tokens_per_minute: int
    burst_seconds: float
    price: tuple[float, float] | None = None
    base_url: str = ""
    api_key: str | None = None

    @property
    def simulated(self) -> bool:
        """Whether this one is of our own making."""
        return self.api_key is None

    def at(self, address: str) -> "DemoProvider":
        """The same, now that it listens at `http://host:port`."""
        return replace(self, base_url=f"{address}/v1" if self.wire_format == "openai" else address)


#: The quota is what limits 600 rows: requests at the first, tokens at the second, about 35 seconds for both.
SIMULATED = (
    DemoProvider("openai-sim", "openai", "sim-gpt", 450, 120_000, 5.0, price=(0.15, 0.60)),
    DemoProvider("anthropic-sim", "anthropic", "sim-claude", 900, 48_000, 5.0, price=(1.00, 5.00)),
)


def live(openai_model: str, anthropic_model: str) -> tuple[DemoProvider, ...]:
    """The real providers for which there is a key; their prices are the public list prices.

    Raises:
        ConfigError: there is a key for none.
    """
    known = (
        ("OPENAI", DemoProvider("openai", "openai", openai_model, 120, 100_000, 10.0), "https://api.openai.com/v1"),
        (
            "ANTHROPIC",
            DemoProvider("anthropic", "anthropic", anthropic_model, 45, 40_000, 10.0),
            "https://api.anthropic.com",
        ),
    )
    found = tuple(
        replace(
            provider,
            base_url=environment(f"{vendor}_BASE_URL") or usual,
            # by name: a key does not go into a file
            api_key=f"${{{vendor}_API_KEY}}",
        )
        for vendor, provider, usual in known
        if environment(f"{vendor}_API_KEY")
    )
    if not found:
        raise ConfigError("--live asks real providers: set OPENAI_API_KEY or ANTHROPIC_API_KEY (or both)")
    return found


@dataclass(frozen=True, slots=True)
class Secrets:
    """Made for one run: a key for each tenant and the webhooks' signing secret."""

    evals_key: str
    product_key: str
    webhook_secret: str

    @classmethod
    def new(cls) -> "Secrets":
        """Fresh ones."""
        signing = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        return cls(f"sk-{EVALS}-{secrets.token_hex(16)}", f"sk-{PRODUCT}-{secrets.token_hex(16)}", signing)


def configuration(providers: Sequence[DemoProvider], keys: Secrets, webhook_url: str) -> dict[str, Any]:
    """The contents of penstock.yaml."""
    return {
        "providers": {provider.name: _provider(provider) for provider in providers},
        "models": {provider.model: _model(provider) for provider in providers},
        "keys": [
            {"key": keys.evals_key, "tenant": EVALS},
            {"key": keys.product_key, "tenant": PRODUCT},
        ],
        "webhooks": {"endpoints": [{"url": webhook_url, "secret": keys.webhook_secret}]},
    }


def _provider(provider: DemoProvider) -> dict[str, Any]:
    limits = {
        "requests_per_minute": provider.requests_per_minute,
        "tokens_per_minute": provider.tokens_per_minute,
        "burst_seconds": provider.burst_seconds,
    }
    row: dict[str, Any] = {"wire_format": provider.wire_format, "base_url": provider.base_url, "limits": limits}
    return row | ({"api_key": provider.api_key} if provider.api_key else {})


def _model(provider: DemoProvider) -> dict[str, Any]:
    row: dict[str, Any] = {"provider": provider.name}
    if provider.price:
        row["price"] = {"input": provider.price[0], "output": provider.price[1]}
    return row
