"""What `penstock.yaml` may hold: one class per section, defaults included. Reading it is the business of `settings`."""

import re
from datetime import date
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from penstock.catalogue import Quirks, WireFormat, bedrock_url, quirks_of

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Limits(_Section):
    """A provider's quota. What is left out is not limited.

    `tokens_per_minute` counts input and output together, the others each alone; `concurrency` is calls at one moment.
    `count_cached_input` says whether prompt tokens that the provider reads from its cache count. `burst_seconds` is how
    many seconds of quota it lets through at once: left out, up to 60 are learnt from its own rate-limit headers, and 5
    assumed before that. `interactive_reserve` is the share of each bucket that bulk work leaves for calls with a client
    waiting, while there are such calls.
    """

    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    input_tokens_per_minute: Positive | None = None
    output_tokens_per_minute: Positive | None = None
    concurrency: Positive | None = None
    count_cached_input: bool = True
    burst_seconds: Seconds | None = None
    interactive_reserve: Annotated[float, Field(ge=0, lt=1)] = 0.05


class Timeouts(_Section):
    """Seconds an upstream call may take: to connect, to the first chunk, between two chunks, and in all."""

    connect: Seconds = 5.0
    first_chunk: Seconds = 120.0
    between_chunks: Seconds = 60.0
    total: Seconds = 600.0


class AwsCredentials(_Section):
    """Who signs calls to AWS, and for which region. A session token belongs to temporary credentials."""

    region: Annotated[str, Field(pattern=r"^[a-z]{2,8}(-[a-z]+)+-\d+$")]
    access_key_id: Annotated[str | None, Field(min_length=1)] = None
    secret_access_key: Annotated[SecretStr | None, Field(min_length=1, validate_default=True)] = None
    session_token: Annotated[SecretStr | None, Field(min_length=1)] = None

    @field_validator("secret_access_key")
    @classmethod
    def _pair(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (value is None) is not (info.data.get("access_key_id") is None):
            raise ValueError("goes with access_key_id: give both or neither")
        return value

    @field_validator("session_token")
    @classmethod
    def _with_a_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is not None and info.data.get("secret_access_key") is None:
            raise ValueError("needs access_key_id and secret_access_key")
        return value


class ProviderConfig(_Section):
    """One upstream account: where it is, which wire format it speaks, and what it allows.

    With a `vendor` of the catalogue, `wire_format`, `base_url`, `quirks` and the key's variable come from its row;
    without one, `quirks` are those of the vendor at this address, if the catalogue knows it. `api_version` is for
    Azure's dated API only. `aws` is for Bedrock: its region says where the models are if `base_url` is left out, and
    calls are signed with its keys unless there is an `api_key`.
    """

    vendor: str | None = None
    wire_format: WireFormat
    base_url: str
    api_version: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9.-]+$", validate_default=True)] = None
    api_key: SecretStr | None = None
    aws: AwsCredentials | None = None
    quirks: Quirks = Quirks()
    headers: dict[str, str] = {}
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()

    def secrets(self) -> tuple[str, ...]:
        """What must not be told: the credentials, and the operator's own headers, which may hold some."""
        aws = self.aws
        hidden = (self.api_key, aws.secret_access_key, aws.session_token) if aws is not None else (self.api_key,)
        return (*(value.get_secret_value() for value in hidden if value is not None), *self.headers.values())

    @model_validator(mode="before")
    @classmethod
    def _known_quirks(cls, given: Any) -> Any:
        if not isinstance(given, dict) or "quirks" in given:
            return given
        return {**given, "quirks": quirks_of(str(given.get("wire_format")), str(given.get("base_url")))}

    @model_validator(mode="before")
    @classmethod
    def _address_of_bedrock(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("wire_format") != "bedrock" or given.get("base_url") is not None:
            return given
        aws = given.get("aws")
        region = aws.region if isinstance(aws, AwsCredentials) else aws.get("region") if isinstance(aws, dict) else None
        if region is None:
            raise ValueError("aws.region is required for wire format bedrock, unless there is a base_url")
        return {**given, "base_url": bedrock_url(str(region))}

    @field_validator("aws")
    @classmethod
    def _of_bedrock(cls, value: AwsCredentials | None, info: ValidationInfo) -> AwsCredentials | None:
        if value is not None and info.data.get("wire_format") not in {None, "bedrock"}:
            raise ValueError("is for wire format bedrock only")
        if value is not None and value.access_key_id is not None and info.data.get("api_key") is not None:
            raise ValueError("has an access_key_id beside the api_key: calls carry one or the other")
        return value

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value.rstrip("/")

    @field_validator("api_version", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        """YAML takes `2024-10-21` for a date."""
        return value.isoformat() if isinstance(value, date) else value

    @field_validator("api_version")
    @classmethod
    def _azure(cls, value: str | None, info: ValidationInfo) -> str | None:
        wire_format, base_url = info.data.get("wire_format"), info.data.get("base_url", "")
        if value is None and wire_format == "azure-openai" and not base_url.endswith("/openai/v1"):
            raise ValueError("is required for azure-openai, such as 2024-10-21, unless base_url ends in /openai/v1")
        if value is not None and wire_format not in {None, "azure-openai"}:
            raise ValueError("is for wire format azure-openai only")
        return value


class Price(_Section):
    """US dollars per million tokens. Input read from the provider's cache or written to it falls back to `input`."""

    input: Amount
    output: Amount
    cached_input: Amount | None = None
    cache_write: Amount | None = None


class ModelConfig(_Section):
    """A public model name: the provider that serves it and what it is called there."""

    provider: str
    upstream_model: str | None = None
    price: Price | None = None
    #: the share taken off every price, listed or configured: a batch discount, a negotiated one
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.0
    context: Positive | None = None
    max_output: Positive | None = None
    quality: Amount | None = None
    limits: Limits | None = None
    #: whether prompts are marked to be kept where the vendor wants marks and it pays (`penstock/cache/prefix.py`)
    prompt_cache: Literal["auto", "off"] = "auto"


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


class TierConfig(_Section):
    """What one tenant may use; what is left out is not limited."""

    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0


#: tiers that are there without being configured; the limits are those of the source design
_TIERS = {
    "free": TierConfig(requests_per_minute=60, tokens_per_minute=10_000),
    "pro": TierConfig(requests_per_minute=600, tokens_per_minute=100_000),
    "unlimited": TierConfig(),
}

FallbackReason = Literal["unavailable", "rate_limited", "unauthorized", "content_policy", "invalid_request"]


class RouteConfig(_Section):
    """A name that stands for several models, in the order in which they are tried.

    `fallback_on` says after which failures the next one is: `unavailable` (5xx, timeouts, broken connections, an open
    breaker), `rate_limited` (a call with a client waiting finds no quota in time), `unauthorized` (our key there is
    refused), `content_policy`, `invalid_request`.
    """

    strategy: Literal["fallback"] = "fallback"
    steps: Annotated[list[str], Field(min_length=1)]
    fallback_on: frozenset[FallbackReason] = frozenset({"unavailable", "rate_limited", "unauthorized"})


class BreakerConfig(_Section):
    """When a deployment is left alone: after so many faults in a row, for so long; then so many probes decide."""

    failures: Positive = 5
    reset_seconds: Seconds = 30.0
    probes: Positive = 3


class LaneRetries(_Section):
    """How often one job is called at one deployment, and for how long, before its failure stands."""

    max_attempts: Positive = 5
    max_seconds: Seconds = 24 * 3600.0


class RetriesConfig(_Section):
    """Retries by lane: work in the queue has time, a waiting client has not."""

    bulk: LaneRetries = LaneRetries()
    interactive: LaneRetries = LaneRetries(max_attempts=3, max_seconds=120)


class SemanticConfig(_Section):
    """Answers served for other questions of the same meaning, for the models and routes named in `models` only.

    `serve` gives out stored answers; `shadow` asks the provider all the same and notes what would have been served.
    Vectors come from a local sentence encoder (`encoder_folder`) or from a configured model (`embedding_model`), and
    the thresholds from `calibration`, a file of `penstock calibrate-cache`; all-MiniLM-L6-v2 has one built in.
    """

    models: dict[str, Literal["serve", "shadow"]] = {}
    encoder_folder: Path | None = None
    embedding_model: str | None = None
    calibration: Path | None = None
    level: str = "safe"
    ttl_seconds: Seconds = 24 * 3600.0

    @model_validator(mode="after")
    def _one_source(self) -> "SemanticConfig":
        if self.models and (self.encoder_folder is None) is (self.embedding_model is None):
            raise ValueError("needs one of `encoder_folder` and `embedding_model`")
        if self.embedding_model is not None and self.calibration is None:
            raise ValueError("`embedding_model` needs a `calibration`: a threshold holds for one encoder only")
        return self


class CacheConfig(_Section):
    """What is kept so that it need not be paid for again."""

    semantic: SemanticConfig = SemanticConfig()


class WorkerConfig(_Section):
    """How much one worker process takes on."""

    permits: Positive = 400
    slice_size: Positive = 50
    max_recoveries: Positive = 5


class BatchesConfig(_Section):
    """What one batch may hold; the defaults are the vendors' documented limits."""

    max_requests: Positive = 50_000
    max_file_bytes: Positive = 200_000_000
    max_upload_bytes: Positive = 512_000_000
    #: Anthropic's batches, which come as one body
    max_message_requests: Positive = 100_000
    max_message_bytes: Positive = 256_000_000


class Config(_Section):
    """The whole of `penstock.yaml`."""

    providers: dict[str, ProviderConfig] = {}
    models: dict[str, ModelConfig] = {}
    routes: dict[str, RouteConfig] = {}
    tiers: dict[str, TierConfig] = _TIERS
    breaker: BreakerConfig = BreakerConfig()
    retries: RetriesConfig = RetriesConfig()
    keys: list[KeyConfig] = []
    webhooks: WebhooksConfig = WebhooksConfig()
    cache: CacheConfig = CacheConfig()
    worker: WorkerConfig = WorkerConfig()
    batches: BatchesConfig = BatchesConfig()

    @field_validator("tiers")
    @classmethod
    def _with_known_tiers(cls, value: dict[str, TierConfig]) -> dict[str, TierConfig]:
        return _TIERS | value

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
            if key.tier not in self.tiers:
                raise ValueError(f"keys[{index}].tier: there is no tier `{key.tier}`")
        for name, route in self.routes.items():
            if name in self.models:
                raise ValueError(f"routes.{name}: a model has this name already")
            for index, step in enumerate(route.steps):
                if step not in self.models:
                    raise ValueError(f"routes.{name}.steps[{index}]: there is no model `{step}`")
        return self

    @model_validator(mode="after")
    def _references_of_the_cache(self) -> "Config":
        semantic = self.cache.semantic
        for name in semantic.models:
            if name not in self.models and name not in self.routes:
                raise ValueError(f"cache.semantic.models: there is no model or route `{name}`")
        if semantic.embedding_model is not None and semantic.embedding_model not in self.models:
            raise ValueError(f"cache.semantic.embedding_model: there is no model `{semantic.embedding_model}`")
        return self
