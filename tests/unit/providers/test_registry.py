"""From a configuration to its providers."""

from typing import get_args

import pytest

from penstock.configuration import Config, ProviderConfig
from penstock.errors import ConfigError
from penstock.providers.anthropic_messages import AnthropicMessages
from penstock.providers.openai_chat import OpenAIChat
from penstock.providers.registry import ADAPTERS, make_providers
from penstock.settings import parse_config


def configured(base_url: str = "http://127.0.0.1:9") -> Config:
    return parse_config(
        {
            "providers": {
                "a": {"wire_format": "openai", "base_url": base_url},
                "b": {"wire_format": "anthropic", "base_url": base_url, "api_key": "key-of-b-12345"},
            },
            "models": {
                "m": {"provider": "b", "upstream_model": "served", "max_output": 64_000},
                "n": {"provider": "b"},
            },
        },
        "here",
    )


async def test_each_provider_speaks_its_format() -> None:
    providers = make_providers(configured())
    assert {name: (type(made), made.name) for name, made in providers.items()} == {
        "a": (OpenAIChat, "a"),
        "b": (AnthropicMessages, "b"),
    }
    for provider in providers.values():
        await provider.close()


def test_every_wire_format_has_an_adapter() -> None:
    assert set(get_args(ProviderConfig.model_fields["wire_format"].annotation)) == set(ADAPTERS)


def test_a_base_url_that_is_none_is_named() -> None:
    with pytest.raises(ConfigError, match=r"providers\.a\.base_url"):
        make_providers(configured("http://[::1"))
