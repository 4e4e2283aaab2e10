"""What the sections `guard` and `cache` of `penstock.yaml` may hold: one class per section, defaults included."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from penstock.configuration.section import Positive, Seconds, Section

#: what happens to what a check finds. What is allowed is hidden from the checks after it.
Action = Literal["allow", "flag", "redact", "block"]
OnFailure = Literal["open", "closed"]
#: where a text stands: in a message of that role, or in a field beside the messages (a tool, a schema, `user`)
Place = Literal["system", "user", "assistant", "tool", "parameter"]
PersonalDataKind = Literal["email", "iban", "card", "national_id", "phone"]
_ALL_KINDS: tuple[PersonalDataKind, ...] = ("email", "iban", "card", "national_id", "phone")


class BoundsConfig(Section):
    """How large a request may be and what it may ask for; what is left out is not bounded.

    `max_bytes` counts the UTF-8 bytes of all its text, `max_output_tokens` what all its answers together may have.
    `models` are the only names that may be asked for. `denied_parameters` are fields by the neutral names of
    `penstock.completion`, or a vendor's own. `unreadable` is what no check can read: pictures, documents that are not
    plain text, prompts given as tokens.
    """

    max_bytes: Positive | None = None
    max_input_tokens: Positive | None = None
    max_output_tokens: Positive | None = None
    max_messages: Positive | None = None
    models: list[str] | None = None
    denied_models: list[str] = []
    denied_parameters: list[str] = []
    unreadable: Literal["allow", "block"] = "allow"


class _Check(Section):
    #: the places a check of input looks at; of an answer there is only one
    places: list[Place] = ["system", "user", "assistant", "tool", "parameter"]


class SecretsCheckConfig(_Check):
    """Keys, tokens and passwords."""

    check: Literal["secrets"]
    action: Action = "block"


class PersonalDataCheckConfig(_Check):
    """Addresses and numbers of persons.

    Telephone numbers are found in their international form, and in the national forms of `phone_regions`.
    """

    check: Literal["personal_data"]
    action: Action = "redact"
    kinds: list[PersonalDataKind] = list(_ALL_KINDS)
    phone_regions: list[Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = []


class InjectionCheckConfig(_Check):
    """Attempts to talk a model out of its instructions; the weights of the signs found reach the threshold."""

    check: Literal["prompt_injection"]
    action: Action = "flag"
    threshold: Annotated[float, Field(gt=0)] = 1.0
    places: list[Place] = ["user", "tool"]


class DenyListCheckConfig(_Check):
    """Words (whole, in any case) and regular expressions of your own, under a name of your own."""

    check: Literal["deny_list"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    action: Action = "block"
    terms: list[Annotated[str, Field(min_length=1)]] = []
    patterns: list[str] = []

    @field_validator("patterns")
    @classmethod
    def _compiles(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                found = re.compile(pattern)
            except re.error as error:
                raise ValueError(f"`{pattern}` is no regular expression: {error}") from None
            if found.fullmatch(""):
                raise ValueError(f"`{pattern}` matches nothing at all, and so everywhere")
        return value


class SchemaCheckConfig(Section):
    """The answer's text must be JSON of this schema, or of the one the request asks for; else it is not checked."""

    check: Literal["json_schema"]
    action: Literal["flag", "block"] = "block"
    json_schema: dict[str, Any] | None = None


class _ForeignCheck(_Check):
    """Code of yours. Its time limit is in seconds; `on_failure` says whether the text passes when it has no verdict."""

    timeout: Seconds = 1.0
    on_failure: OnFailure = "closed"


class HookCheckConfig(_ForeignCheck):
    """A check over HTTP (docs/guard.md): it is posted the texts and answers with a verdict."""

    check: Literal["hook"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")] = "hook"
    url: Annotated[str, Field(pattern=r"^https?://")]
    headers: dict[str, SecretStr] = {}


class PluginCheckConfig(_ForeignCheck):
    """A check installed beside Penstock: the entry point of this name in the group `penstock.guard`."""

    check: Literal["plugin"]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
    options: dict[str, Any] = {}


TextCheckConfig = SecretsCheckConfig | PersonalDataCheckConfig | InjectionCheckConfig | DenyListCheckConfig
ForeignCheckConfig = HookCheckConfig | PluginCheckConfig
InputCheckConfig = Annotated[TextCheckConfig | ForeignCheckConfig, Field(discriminator="check")]
OutputCheckConfig = Annotated[TextCheckConfig | ForeignCheckConfig | SchemaCheckConfig, Field(discriminator="check")]


class GuardPolicyConfig(Section):
    """What is asked of a request before a provider sees it, and of the answer; checks run in this order."""

    bounds: BoundsConfig = BoundsConfig()
    input: list[InputCheckConfig] = []
    output: list[OutputCheckConfig] = []


class GuardRuleConfig(Section):
    """Which policy holds for a tenant that asks for a model or route; without tenants or models, for all of them."""

    policy: str
    tenants: list[str] = []
    models: list[str] = []


class GuardConfig(Section):
    """Policies by name, and where they hold: the first rule that fits decides; where none fits nothing is checked."""

    policies: dict[str, GuardPolicyConfig] = {}
    rules: list[GuardRuleConfig] = []

    @model_validator(mode="after")
    def _known_policies(self) -> "GuardConfig":
        for index, rule in enumerate(self.rules):
            if rule.policy not in self.policies:
                raise ValueError(f"rules[{index}].policy: there is no policy `{rule.policy}`")
        return self


CacheMode = Literal["off", "read", "write", "on"]


class CacheRuleConfig(Section):
    """How answers are cached for a tenant that asks for a model or route; without tenants or models, for all of them.

    With temperatures `zero`, answers to requests with temperature 0 alone: at any other the model is asked for variety.
    `max_age` is the age in seconds up to which an entry is used.
    """

    tenants: list[str] = []
    models: list[str] = []
    mode: CacheMode = "on"
    temperatures: Literal["zero", "any"] = "zero"
    max_age: Seconds | None = None

    @field_validator("mode", mode="before")
    @classmethod
    def _as_written(cls, value: Any) -> Any:
        """YAML takes `on` and `off` for truth values."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


class SemanticJudgeConfig(Section):
    """A configured model that is asked, last of all, whether one answer serves both questions.

    What does not answer in time says no.
    """

    model: str
    timeout_seconds: Seconds = 5.0


class SemanticConfig(Section):
    """Answers served for other questions of the same meaning, for the models and routes named in `models` only.

    `serve` gives out stored answers; `shadow` asks the provider all the same and notes what would have been served.
    Vectors come from a local sentence encoder (`encoder_folder`) or from a configured model (`embedding_model`), and
    the thresholds from `calibration`, a file of `penstock calibrate-cache`; all-MiniLM-L6-v2 has one built in.

    The oldest beyond `max_answers` of a tenant are removed; notes of shadows after `shadow_seconds`, and the oldest
    beyond `max_shadows` of a tenant and model.
    """

    models: dict[str, Literal["serve", "shadow"]] = {}
    encoder_folder: Path | None = None
    embedding_model: str | None = None
    calibration: Path | None = None
    level: str = "safe"
    ttl_seconds: Seconds = 24 * 3600.0
    judge: SemanticJudgeConfig | None = None
    max_answers: Positive = 100_000
    shadow_seconds: Seconds = 30 * 24 * 3600.0
    max_shadows: Positive = 100_000

    @model_validator(mode="after")
    def _one_source(self) -> "SemanticConfig":
        if self.models and (self.encoder_folder is None) is (self.embedding_model is None):
            raise ValueError("needs one of `encoder_folder` and `embedding_model`")
        if self.embedding_model is not None and self.calibration is None:
            raise ValueError("`embedding_model` needs a `calibration`: a threshold holds for one encoder only")
        return self


class CacheConfig(Section):
    """The exact cache: its size in each worker process and in Redis, in bytes (0: none), and how long entries live.

    `coalesce`: of identical requests under way one makes the call. Where no rule fits, the defaults of a rule hold.
    """

    memory_bytes: Annotated[int, Field(ge=0)] = 32_000_000
    redis_bytes: Annotated[int, Field(ge=0)] = 256_000_000
    ttl: Seconds = 24 * 3600.0
    max_entry_bytes: Positive = 1_000_000
    coalesce: bool = True
    rules: list[CacheRuleConfig] = []
    semantic: SemanticConfig = SemanticConfig()
