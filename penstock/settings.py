"""Configuration: the file `penstock.yaml` and the environment. Nothing else in the project reads the environment.

`${NAME}` anywhere in the file is replaced by the environment variable; a missing one is an error that names its key.
"""

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from penstock.errors import ConfigError

DEFAULT_CONFIG = "penstock.yaml"
DEFAULT_DATA = ".penstock"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Section):
    """A provider's quota. What is left out is not limited.

    `burst_seconds` says how many seconds of quota the provider lets through at once; `interactive_reserve` is the share
    of each bucket that bulk work leaves for calls with a client waiting.
    """

    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    burst_seconds: Seconds = 60.0
    interactive_reserve: Annotated[float, Field(ge=0, lt=1)] = 0.05


class Timeouts(_Section):
    """Seconds an upstream call may take: to connect, to the first chunk, between two chunks, and in all."""

    connect: Seconds = 5.0
    first_chunk: Seconds = 120.0
    between_chunks: Seconds = 60.0
    total: Seconds = 600.0


class ProviderConfig(_Section):
    """One upstream account: where it is, which wire format it speaks, and what it allows."""

    wire_format: Literal["openai", "anthropic"]
    base_url: str
    api_key: SecretStr | None = None
    headers: dict[str, str] = {}
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")


class Price(_Section):
    """US dollars per million tokens. Cached input falls back to the input price."""

    input: Amount
    output: Amount
    cached_input: Amount | None = None


class ModelConfig(_Section):
    """A public model name: the provider that serves it and what it is called there."""

    provider: str
    upstream_model: str | None = None
    price: Price | None = None
    context: Positive | None = None
    max_output: Positive | None = None
    quality: Amount | None = None
    limits: Limits | None = None


class KeyConfig(_Section):
    """A static API key, for set-ups without the admin API."""

    key: SecretStr
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "default"
    tier: str = "unlimited"

    @field_validator("key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 8:
            raise ValueError("must have at least 8 characters")
        return value


class WebhookEndpointConfig(_Section):
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


class WebhooksConfig(_Section):
    """Where events go and how often a failed delivery is tried again (seconds before each retry, jittered)."""

    endpoints: list[WebhookEndpointConfig] = []
    retry_schedule: list[Seconds] = [2, 10, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 43200]
    timeout: Seconds = 15.0
    allow_networks: list[IPv4Network | IPv6Network] = []


class TierConfig(_Section):
    """What one tenant may use; what is left out is not limited."""

    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0


class WorkerConfig(_Section):
    """How much one worker process takes on."""

    permits: Positive = 400
    slice_size: Positive = 50
    max_attempts: Positive = 5
    max_recoveries: Positive = 5


class BatchesConfig(_Section):
    """What one batch may hold; the defaults are OpenAI's documented limits."""

    max_requests: Positive = 50_000
    max_file_bytes: Positive = 200_000_000
    max_upload_bytes: Positive = 512_000_000


class Config(_Section):
    """The whole of `penstock.yaml`."""

    providers: dict[str, ProviderConfig] = {}
    models: dict[str, ModelConfig] = {}
    tiers: dict[str, TierConfig] = {}
    keys: list[KeyConfig] = []
    webhooks: WebhooksConfig = WebhooksConfig()
    worker: WorkerConfig = WorkerConfig()
    batches: BatchesConfig = BatchesConfig()

    @model_validator(mode="after")
    def _references(self) -> "Config":
        for name, model in self.models.items():
            if model.provider not in self.providers:
                known = ", ".join(sorted(self.providers)) or "none"
                raise ValueError(
                    f"models.{name}.provider: there is no provider `{model.provider}` (configured: {known})"
                )
        for name in self.providers:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
                raise ValueError(f"providers.{name}: a provider's name is 1 to 40 letters, digits, `-` or `_`")
        for index, key in enumerate(self.keys):
            if key.tier != "unlimited" and key.tier not in self.tiers:
                raise ValueError(f"keys[{index}].tier: there is no tier `{key.tier}`")
        return self


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a role needs to start: the file's configuration and the addresses of the servers."""

    config: Config
    database_url: str
    redis_url: str
    broker_url: str
    admin_key: SecretStr | None = None
    public_url: str | None = None


def load_config(path: Path) -> Config:
    """Read and validate a configuration file.

    Raises:
        ConfigError: the file is missing, not YAML, or wrong; the message names file and key.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf-8")) or {}
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such configuration file. Give one with --config or PENSTOCK_CONFIG; "
            "penstock.example.yaml is a start."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    return parse_config(raw, str(path))


def parse_config(raw: Any, source: str) -> Config:
    """Validate a configuration that was already read.

    Raises:
        ConfigError: see `load_config`.
    """
    if not isinstance(raw, dict):
        raise ConfigError(f"{source}: the top level must be a mapping of sections such as `providers` and `models`")
    missing: list[str] = []
    expanded = _expand(raw, "", missing)
    if missing:
        raise ConfigError(f"{source}: " + "; ".join(missing))
    try:
        return Config.model_validate(expanded)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "; ".join(_explain(problem) for problem in error.errors())) from None


def config_path(option: Path | None) -> Path:
    """The configuration file: the option, else `PENSTOCK_CONFIG`, else `penstock.yaml` here."""
    return option or Path(os.environ.get("PENSTOCK_CONFIG", DEFAULT_CONFIG))


def environment(name: str) -> str | None:
    """One `PENSTOCK_…` variable; empty counts as unset."""
    return os.environ.get(name) or None


def child_environment(changes: dict[str, str]) -> dict[str, str]:
    """The environment a role process is started with: this one, changed."""
    return {**os.environ, **changes}


def _expand(value: Any, where: str, missing: list[str]) -> Any:
    if isinstance(value, dict):
        return {key: _expand(item, f"{where}.{key}" if where else str(key), missing) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item, f"{where}[{index}]", missing) for index, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            missing.append(f"{where}: the environment variable {match[1]} is not set")
        return found or ""

    return _VARIABLE.sub(variable, value)


def _explain(problem: Any) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]).lstrip(".")
    if problem["type"] == "extra_forbidden":
        return f"{path}: there is no such key here (misspelt?)"
    if problem["type"] == "missing":
        return f"{path}: is required"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}: {message}" if path else str(message)
