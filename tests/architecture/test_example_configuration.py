"""penstock.example.yaml is the reference of the configuration: it must be valid, and complete."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from penstock.catalogue import Quirks
from penstock.configuration import Config, RouteConfig
from penstock.settings import load_config

VARIABLES = {
    "OPENAI_API_KEY": "sk-example-openai",
    "ANTHROPIC_API_KEY": "sk-example-anthropic",
    "AZURE_OPENAI_API_KEY": "0123456789abcdef",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "an-example-of-a-secret-access-key",
    "AWS_SESSION_TOKEN": "an-example-of-a-session-token",
    "PENSTOCK_GUARD_TOKEN": "an-example-of-a-token",
    "PENSTOCK_KEY_EVALS": "sk-example-evals",
    "PENSTOCK_WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
}


@pytest.fixture
def example(root: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return load_config(root / "penstock.example.yaml")


def test_the_example_can_be_used(example: Config) -> None:
    assert example.models["house-model"].provider == "local"
    key = example.providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == VARIABLES["OPENAI_API_KEY"]


def test_the_example_shows_every_key(root: Path) -> None:
    """A setting nobody can read about does not exist."""
    shown = set(_written_keys(yaml.safe_load((root / "penstock.example.yaml").read_text("utf-8"))))
    assert sorted(set(_keys(Config)) - shown) == []


def test_what_the_example_calls_a_default_is_one(example: Config) -> None:
    assert example.worker == Config().worker
    assert example.breaker == Config().breaker
    assert example.retries == Config().retries
    assert example.routes["answers"].fallback_on == RouteConfig(steps=["m"]).fallback_on
    shown_quirks = Quirks(unsupported=["logit_bias"], dropped=["user"], renamed={"seed": "random_seed"})
    assert example.providers["local"].quirks == shown_quirks
    assert example.batches == Config().batches
    assert example.webhooks.retry_schedule == Config().webhooks.retry_schedule
    assert example.webhooks.timeout == Config().webhooks.timeout
    assert example.providers["openai"].timeouts == example.providers["local"].timeouts
    shown, default = example.providers["openai"].limits, example.providers["local"].limits
    for name in ("interactive_reserve", "count_cached_input"):
        assert getattr(shown, name) == getattr(default, name)


def _keys(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield name
        for inner in _sections(field.annotation):
            yield from _keys(inner)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)


def _written_keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _written_keys(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _written_keys(inner)
