"""The whole of `penstock.yaml`: one class per section, defaults included."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from penstock.catalogue import Quirks, WireFormat, bedrock_url, quirks_of
from penstock.configuration.policies import CacheConfig, GuardConfig
from penstock.configuration.routes import RouteConfig, check_routes
from penstock.configuration.section import Amount, Positive, Seconds, Section, Tag
from penstock.configuration.tenants import TIERS, KeyConfig, TenantConfig, TierConfig
from penstock.configuration.webhooks import WebhooksConfig


class Limits(Section):
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


class Timeouts(Section):
    """Seconds an upstream call may take: to connect, to the first chunk, between two chunks, and in all."""

    connect: Seconds = 5.0
    first_chunk: Seconds = 120.0
    between_chunks: Seconds = 60.0
    total: Seconds = 600.0


class AwsCredentials(Section):
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


class ProviderConfig(Section):
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


#: wire formats that have a `prompt_cache_key`
_KEYED = frozenset({"openai", "openai-responses", "azure-openai"})


class Price(Section):
    """US dollars per million tokens. Input read from the provider's cache or written to it falls back to `input`."""

    input: Amount
    output: Amount
    cached_input: Amount | None = None
    cache_write: Amount | None = None


Modality = Literal["text", "image", "document"]


class ModelConfig(Section):
    """A public model name: the provider that serves it and what it is called there."""

    provider: str
    upstream_model: str | None = None
    price: Price | None = None
    #: the share taken off every price, listed or configured: a batch discount, a negotiated one
    discount: Annotated[float, Field(ge=0, lt=1)] = 0.0
    context: Positive | None = None
    max_output: Positive | None = None
    quality: Amount | None = None
    #: what it takes beside text; left out: nothing is known, and nothing is refused
    modalities: frozenset[Modality] | None = None
    tools: bool = True
    #: the only tenants that may use it (left out: all)
    tenants: frozenset[str] | None = None
    #: the tag of where it computes, such as `eu`, for requests whose data must stay there
    residency: Tag | None = None
    limits: Limits | None = None
    #: `auto`: prompts are marked to be kept where the vendor wants marks and it pays; `key`: those with one beginning
    #: are sent under one `prompt_cache_key` (`penstock/cache/prefix.py`)
    prompt_cache: Literal["auto", "key", "off"] = "auto"
    #: whether it goes on from an answer's beginning (a last message of the assistant's), or the fields that ask for it
    continues: bool | dict[str, Any] = False


class BreakerConfig(Section):
    """When a deployment is left alone: after so many faults in a row, for so long; then so many probes decide."""

    failures: Positive = 5
    reset_seconds: Seconds = 30.0
    probes: Positive = 3


class LaneRetries(Section):
    """How often one job is called at one deployment, and for how long, before its failure stands."""

    max_attempts: Positive = 5
    max_seconds: Seconds = 24 * 3600.0


class RetriesConfig(Section):
    """Retries by lane: work in the queue has time, a waiting client has not."""

    bulk: LaneRetries = LaneRetries()
    interactive: LaneRetries = LaneRetries(max_attempts=3, max_seconds=120)


class WorkerConfig(Section):
    """How much one worker process takes on."""

    permits: Positive = 400
    slice_size: Positive = 50
    max_recoveries: Positive = 5


class BatchesConfig(Section):
    """What one batch may hold; the defaults are the vendors' documented limits."""

    max_requests: Positive = 50_000
    #: texts in all requests of a batch of embeddings together
    max_embedding_inputs: Positive = 50_000
    max_file_bytes: Positive = 200_000_000
    max_upload_bytes: Positive = 512_000_000
    #: a file that comes in parts by `/v1/uploads`
    max_parts_bytes: Positive = 8 * 1024**3
    #: Anthropic's batches, which come as one body
    max_message_requests: Positive = 100_000
    max_message_bytes: Positive = 256_000_000


class RetentionConfig(Section):
    """For how many seconds after its end finished work is kept.

    `payloads` is for requests and answers; result files with an expiry of their own go by that. `records` is for what
    remains of single jobs after that, and for the journal of upstream calls with their cost.
    """

    payloads: Seconds = 30 * 24 * 3600.0
    records: Seconds = 90 * 24 * 3600.0

    @field_validator("records")
    @classmethod
    def _not_shorter(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("payloads", 0.0):
            raise ValueError("must not be shorter than payloads")
        return value


class HttpConfig(Section):
    """What the API takes from one request and one connection.

    A header may take `header_seconds`. A body may take `body_seconds`, and longer while it comes at
    `body_bytes_per_second` or faster on the whole. An answer of which the client reads nothing for `unread_seconds` is
    given up. `max_body_bytes` is for JSON bodies; files and batches have limits of their own (`batches`). A process
    that is told to stop goes on for `leaving_seconds` with `/readyz` saying 503, so that a balancer turns away first.
    """

    max_header_bytes: Positive = 32_768
    max_headers: Positive = 100
    max_query_parameters: Positive = 100
    max_body_bytes: Positive = 64 * 1024 * 1024
    header_seconds: Seconds = 20.0
    body_seconds: Seconds = 20.0
    body_bytes_per_second: Positive = 1000
    unread_seconds: Seconds = 120.0
    leaving_seconds: Annotated[float, Field(ge=0, le=300)] = 0.0


class Config(Section):
    """The whole of `penstock.yaml`."""

    providers: dict[str, ProviderConfig] = {}
    models: dict[str, ModelConfig] = {}
    routes: dict[str, RouteConfig] = {}
    tiers: dict[str, TierConfig] = TIERS
    tenants: dict[str, TenantConfig] = {}
    breaker: BreakerConfig = BreakerConfig()
    retries: RetriesConfig = RetriesConfig()
    keys: list[KeyConfig] = []
    webhooks: WebhooksConfig = WebhooksConfig()
    worker: WorkerConfig = WorkerConfig()
    batches: BatchesConfig = BatchesConfig()
    guard: GuardConfig = GuardConfig()
    http: HttpConfig = HttpConfig()

    retention: RetentionConfig = RetentionConfig()
    cache: CacheConfig = CacheConfig()

    def secrets(self) -> Iterator[str]:
        """Every secret in it."""
        for provider in self.providers.values():
            yield from provider.secrets()
        yield from (row.key.get_secret_value() for row in self.keys)
        yield from (endpoint.secret.get_secret_value() for endpoint in self.webhooks.endpoints)

    @field_validator("tiers")
    @classmethod
    def _with_known_tiers(cls, value: dict[str, TierConfig]) -> dict[str, TierConfig]:
        return TIERS | value

    def weight_of(self, tenant_id: str, tier: str) -> float:
        """A tenant's share of a quota that several want: its own weight, else its tier's, else 1."""
        own = self.tenants[tenant_id].weight if tenant_id in self.tenants else None
        if own is not None:
            return own
        return self.tiers[tier].weight if tier in self.tiers else 1.0

    def residency_of(self, tenant_id: str) -> str | None:
        """The tag at which the data of a tenant must stay, None where it may go anywhere."""
        own = self.tenants.get(tenant_id)
        return own.residency if own is not None else None

    @model_validator(mode="after")
    def _references(self) -> "Config":
        for name, model in self.models.items():
            if model.provider not in self.providers:
                known = ", ".join(sorted(self.providers)) or "none"
                raise ValueError(
                    f"models.{name}.provider: there is no provider `{model.provider}` (configured: {known})"
                )
            if model.prompt_cache == "key" and self.providers[model.provider].wire_format not in _KEYED:
                raise ValueError(f"models.{name}.prompt_cache: `key` is for {', '.join(sorted(_KEYED))}")
        for name in self.providers:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name):
                raise ValueError(f"providers.{name}: a provider's name is 1 to 40 letters, digits, `-` or `_`")
        for index, key in enumerate(self.keys):
            if key.tier not in self.tiers:
                raise ValueError(f"keys[{index}].tier: there is no tier `{key.tier}`")
            demanded = self.residency_of(key.tenant)
            if key.residency is not None and demanded not in (None, key.residency):
                raise ValueError(f"keys[{index}].residency: tenants.{key.tenant}.residency is `{demanded}`")
        check_routes(self.routes, {name: self.providers[m.provider].wire_format for name, m in self.models.items()})
        return self

    @model_validator(mode="after")
    def _models_of_rules(self) -> "Config":
        rules = [(f"guard.rules[{index}]", rule.models) for index, rule in enumerate(self.guard.rules)]
        rules += [(f"cache.rules[{index}]", rule.models) for index, rule in enumerate(self.cache.rules)]
        for where, models in rules:
            for name in models:
                if name not in self.models and name not in self.routes:
                    raise ValueError(f"{where}.models: there is no model or route `{name}`")
        return self

    @model_validator(mode="after")
    def _references_of_the_cache(self) -> "Config":
        semantic = self.cache.semantic
        for name in semantic.models:
            if name not in self.models and name not in self.routes:
                raise ValueError(f"cache.semantic.models: there is no model or route `{name}`")
        if semantic.embedding_model is not None and semantic.embedding_model not in self.models:
            raise ValueError(f"cache.semantic.embedding_model: there is no model `{semantic.embedding_model}`")
        if semantic.judge is not None and semantic.judge.model not in self.models:
            raise ValueError(f"cache.semantic.judge.model: there is no model `{semantic.judge.model}`")
        return self
