"""The rows of the catalogue of vendors."""

import re
from typing import get_args
from urllib.parse import urlsplit

import pytest

from penstock.catalogue import VENDORS, Quirks, Vendor, WireFormat, quirks_of
from penstock.catalogue.table import _BY_HOST, _ROWS
from penstock.completion import CompletionRequest
from penstock.configuration import ProviderConfig
from penstock.errors import ConfigError
from penstock.providers.openai_chat_request import build
from penstock.settings import parse_config

KEY = "key-of-a-vendor-12345"
ROWS = list(VENDORS.values())
every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def configured(row: Vendor, **more: object) -> ProviderConfig:
    return parse_config({"providers": {"river": {"vendor": row.name, **more}}}, "here").providers["river"]


def test_names_are_unique() -> None:
    assert len(_ROWS) == len(VENDORS)
    assert len([row for row in ROWS if row.wire_format == "openai"]) >= 28


@every_row
def test_a_row_is_well_formed(row: Vendor) -> None:
    """Only a server of one's own is reached without TLS, and needs no key."""
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", row.name)
    assert row.wire_format in get_args(WireFormat)
    address, docs = urlsplit(row.base_url), urlsplit(row.docs)
    assert (address.scheme, address.hostname == "127.0.0.1") == (("http", True) if row.is_local else ("https", False))
    assert row.key_variable is None if row.is_local else re.fullmatch(r"[A-Z][A-Z0-9_]+", row.key_variable or "")
    assert not row.base_url.endswith("/")
    assert (docs.scheme, bool(docs.hostname)) == ("https", True)


@every_row
def test_a_row_can_be_used(row: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    if row.key_variable is not None:
        monkeypatch.setenv(row.key_variable, KEY)
    made = configured(row)
    assert (made.wire_format, made.base_url, made.quirks) == (row.wire_format, row.base_url, row.quirks)
    assert (made.api_key.get_secret_value() if made.api_key else None) == (KEY if row.key_variable else None)


@every_row
def test_a_missing_key_names_its_variable(row: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    if row.key_variable is None:
        assert configured(row).api_key is None
        return
    monkeypatch.delenv(row.key_variable, raising=False)
    with pytest.raises(ConfigError, match=row.key_variable):
        configured(row)
    given = configured(row, api_key=KEY)
    assert given.api_key is not None
    assert given.api_key.get_secret_value() == KEY


@every_row
def test_quirks_name_fields_that_a_body_can_have(row: Vendor) -> None:
    """A misspelt one would never do anything."""
    known = set(CompletionRequest.__dataclass_fields__) | {"json_schema", "json_object", "name", "thinking"}
    known |= {"dimensions", "encoding_format"}
    named = row.quirks.unsupported | row.quirks.dropped | set(row.quirks.renamed)
    assert named - known == set()
    assert not row.quirks.unsupported & row.quirks.dropped


@pytest.mark.parametrize(
    ("wire_format", "base_url", "limit_field"),
    [
        ("openai", "https://api.openai.com/v1", "max_completion_tokens"),
        ("openai", "https://api.openai.com/v1/", "max_completion_tokens"),
        ("openai", "https://api.mistral.ai/v1", "max_tokens"),
        ("openai", "https://api.openai.com.example/v1", "max_tokens"),
        ("openai", "http://127.0.0.1:1234/v1", "max_tokens"),
        ("anthropic", "https://api.openai.com/v1", "max_tokens"),
        ("azure-openai", "https://dam.openai.azure.com/openai/v1", "max_completion_tokens"),
    ],
)
def test_an_address_without_a_vendor(wire_format: str, base_url: str, limit_field: str) -> None:
    config = ProviderConfig(wire_format=wire_format, base_url=base_url)
    assert config.quirks.limit_field == limit_field
    assert quirks_of(wire_format, base_url) == config.quirks


def test_the_vendor_at_an_address_without_a_vendor() -> None:
    config = ProviderConfig(wire_format="openai", base_url="https://api.mistral.ai/v1")
    assert config.quirks == VENDORS["mistral"].quirks
    own = ProviderConfig(wire_format="openai", base_url="https://api.mistral.ai/v1", quirks=Quirks())
    assert own.quirks == Quirks()
    assert ProviderConfig(wire_format="openai", base_url="http://127.0.0.1:1234/v1").quirks == Quirks()


def test_ones_own_host_says_nothing_of_what_runs_there() -> None:
    assert "127.0.0.1" not in {host for _, host in _BY_HOST}


def test_an_address_that_is_none_is_told_elsewhere() -> None:
    assert quirks_of("openai", "https://[::1") == Quirks()


@every_row
def test_a_plain_request_can_be_said_to_everyone(row: Vendor) -> None:
    if row.wire_format == "openai":
        body = build(CompletionRequest(model="m", messages=(), max_tokens=5), "m", stream=True, quirks=row.quirks)
        assert body[row.quirks.limit_field] == 5
