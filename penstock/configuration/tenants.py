"""Who may ask: keys, their tenants, and the tiers these are in."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from penstock.configuration.section import Positive, Section, Tag

#: what a key may do: see `penstock.rules.api_keys`
Scope = Literal["read", "write", "admin"]
#: of a key for which none are named
DEFAULT_SCOPES: frozenset[Scope] = frozenset({"read", "write"})


class KeyConfig(Section):
    """A static API key, for set-ups without the admin API. What its `scopes` mean: `penstock.rules.api_keys`."""

    key: SecretStr
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = "default"
    tier: str = "unlimited"
    scopes: Annotated[frozenset[Scope], Field(min_length=1)] = DEFAULT_SCOPES
    #: the tag of the models that its requests may go to (left out: any its tenant may use)
    residency: Tag | None = None

    @field_validator("key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 8:
            raise ValueError("must have at least 8 characters")
        return value


class TierConfig(Section):
    """What one tenant may use; what is left out is not limited."""

    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0


class TenantConfig(Section):
    """One tenant, whatever the tier of its keys: its share where several want the same quota (left out: its tier's).

    With a `residency` its requests go to models of that tag only.
    """

    weight: Annotated[float | None, Field(gt=0)] = None
    residency: Tag | None = None


#: tiers that are there without being configured; the limits are those of the source design
TIERS = {
    "free": TierConfig(requests_per_minute=60, tokens_per_minute=10_000),
    "pro": TierConfig(requests_per_minute=600, tokens_per_minute=100_000),
    "unlimited": TierConfig(),
}
