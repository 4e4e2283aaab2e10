"""Credentials and addresses of Bedrock in a configuration."""

from typing import Any

import pytest

from penstock.configuration import ProviderConfig
from penstock.errors import ConfigError
from penstock.settings import parse_config

SIGNED = {"region": "eu-central-1", "access_key_id": "AKIAEXAMPLE", "secret_access_key": "a-secret-access-key"}


def provider(**fields: Any) -> ProviderConfig:
    return parse_config({"providers": {"b": {"wire_format": "bedrock", **fields}}}, "here").providers["b"]


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-central-1", "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("us-gov-west-1", "https://bedrock-runtime.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        ("eusc-de-east-1", "https://bedrock-runtime.eusc-de-east-1.amazonaws.eu"),
        ("us-isob-east-1", "https://bedrock-runtime.us-isob-east-1.sc2s.sgov.gov"),
    ],
)
def test_the_address_follows_from_the_region(region: str, address: str) -> None:
    assert provider(aws={"region": region}, api_key="a-bearer-key").base_url == address


def test_an_address_that_is_given_is_kept() -> None:
    """Such as that of an endpoint in one's own network."""
    assert provider(aws=SIGNED, base_url="https://vpce-1.example/").base_url == "https://vpce-1.example"
    assert provider(api_key="a-bearer-key", base_url="http://127.0.0.1:9").aws is None


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"api_key": "k"}, r"providers\.b: aws\.region is required"),
        ({"aws": {"access_key_id": "A", "secret_access_key": "s"}}, r"providers\.b: aws\.region is required"),
        ({"aws": {"region": "Frankfurt"}}, r"providers\.b\.aws\.region: "),
        ({"aws": SIGNED | {"region": "eu-central-1.evil.example"}}, r"providers\.b\.aws\.region: "),
        ({"aws": {"region": "us-east-1", "access_key_id": "A"}}, r"b\.aws\.secret_access_key: goes with access_key_id"),
        ({"aws": {"region": "us-east-1", "secret_access_key": "s"}}, r"b\.aws\.secret_access_key: goes with"),
        ({"aws": {"region": "us-east-1", "session_token": "t"}}, r"b\.aws\.session_token: needs access_key_id"),
        ({"aws": SIGNED | {"secret_access_key": ""}}, r"b\.aws\.secret_access_key: "),
        ({"aws": SIGNED | {"profile": "p"}}, r"b\.aws\.profile: there is no such key"),
        ({"aws": SIGNED, "api_key": "k"}, r"b\.aws: has an access_key_id beside the api_key"),
        ({"aws": SIGNED, "wire_format": "openai", "base_url": "http://a"}, r"b\.aws: is for wire format bedrock only"),
    ],
)
def test_what_cannot_be_used_is_named(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        provider(**fields)
    assert "a-secret-access-key" not in str(caught.value)


def test_credentials_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "out-of-the-environment")
    aws = provider(aws=SIGNED | {"secret_access_key": "${AWS_SECRET_ACCESS_KEY}"}).aws
    assert aws is not None
    assert aws.secret_access_key is not None
    assert aws.secret_access_key.get_secret_value() == "out-of-the-environment"


def test_secrets_are_hidden_and_known_as_such() -> None:
    config = provider(aws=SIGNED | {"session_token": "a-session-token"}, headers={"x-team": "dam"})
    assert "a-secret-access-key" not in repr(config)
    assert "a-session-token" not in repr(config)
    assert set(config.secrets()) == {"a-secret-access-key", "a-session-token", "dam"}
