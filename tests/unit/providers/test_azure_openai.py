"""What Azure OpenAI has of its own: where calls go, who asks, and what its filter says."""

from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from penstock.completion import CompletionRequest, Message, Text
from penstock.configuration import ProviderConfig
from penstock.errors import ConfigError, InvalidRequest, ProviderContentRefused, ProviderRejected
from penstock.providers.azure_openai import AzureOpenAI
from penstock.providers.failures import Failures
from penstock.settings import load_config, parse_config

RESOURCE = "https://dam.openai.azure.com"
TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJodHRwcyJ9.c2lnbmF0dXJl-_"


def provider(base_url: str = RESOURCE, **fields: Any) -> AzureOpenAI:
    given = {"api_version": "2024-10-21"} | fields
    config = ProviderConfig.model_validate({"wire_format": "azure-openai", "base_url": base_url, **given})
    return AzureOpenAI("river", config, httpx.AsyncClient())


@pytest.mark.parametrize(
    ("base", "version", "path"),
    [
        ("", "2024-10-21", "/openai/deployments/gpt%205/chat/completions?api-version=2024-10-21"),
        ("/openai", "2024-10-21", "/deployments/gpt%205/chat/completions?api-version=2024-10-21"),
        ("/openai/v1", None, "/chat/completions"),
        ("/openai/v1", "preview", "/chat/completions?api-version=preview"),
    ],
)
def test_where_calls_go(base: str, version: str | None, path: str) -> None:
    made = provider(RESOURCE + base, api_version=version)
    assert made._path("gpt 5", stream=True) == path
    assert made._embedding_path("gpt 5") == path.replace("chat/completions", "embeddings")


def test_a_deployment_cannot_leave_its_place() -> None:
    assert "/deployments/a%2F..%2Fb/" in provider()._path("a/../b", stream=False)


@pytest.mark.parametrize(
    ("key", "headers"),
    [
        ("0123456789abcdef0123456789abcdef", {"api-key": "0123456789abcdef0123456789abcdef"}),
        (TOKEN, {"authorization": f"Bearer {TOKEN}"}),
        ("", {}),
    ],
)
def test_a_key_and_a_token_go_into_headers_of_their_own(key: str, headers: dict[str, str]) -> None:
    assert provider()._credentials(key) == headers


def configured(**fields: Any) -> Any:
    row = {"wire_format": "azure-openai", "base_url": RESOURCE, **fields}
    return parse_config({"providers": {"azure": row}}, "here").providers["azure"]


def test_the_version_is_named_where_it_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"providers\.azure\.api_version: is required"):
        configured()
    assert configured(base_url=f"{RESOURCE}/openai/v1/").api_version is None


def test_a_version_that_yaml_took_for_a_date(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text(
        f"providers:\n  azure: {{wire_format: azure-openai, base_url: {RESOURCE}, api_version: 2024-10-21}}\n"
    )
    assert load_config(path).providers["azure"].api_version == "2024-10-21"


@pytest.mark.parametrize("version", ["2024&x=1", "", "a b"])
def test_a_version_that_is_none(version: str) -> None:
    with pytest.raises(ConfigError, match=r"providers\.azure\.api_version"):
        configured(api_version=version)


def test_a_version_is_of_no_use_elsewhere() -> None:
    with pytest.raises(ConfigError, match=r"providers\.azure\.api_version"):
        configured(wire_format="openai", api_version="2024-10-21")


def test_the_newer_name_of_the_limit_unless_told_otherwise() -> None:
    request = CompletionRequest(model="public", messages=(Message("user", (Text("Hi"),)),), max_tokens=5)
    assert provider()._body(request, "m", stream=False)["max_completion_tokens"] == 5
    older = provider(quirks={"limit_field": "max_tokens"})
    assert older._body(request, "m", stream=False)["max_tokens"] == 5
    with pytest.raises(InvalidRequest) as caught:
        provider()._body(CompletionRequest(model="public", messages=request.messages, top_k=3), "m", stream=False)
    assert caught.value.param == "top_k"


POLICY = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"code": "content_filter", "message": "filtered", "innererror": POLICY}),
        (400, {"code": "content_filter", "message": "filtered"}),
        (400, {"code": "BadRequest", "message": "filtered", "innererror": POLICY}),
        (403, {"code": None, "message": "filtered", "innererror": POLICY}),
    ],
)
def test_a_prompt_that_the_filter_refuses(status: int, error: dict[str, Any]) -> None:
    caught = refused(status, {"error": error})
    assert type(caught) is ProviderContentRefused
    assert (caught.status, caught.message) == (status, "filtered")


def test_another_refusal_is_none_of_the_filters() -> None:
    inner = {"code": "BadRequest", "message": "too long", "innererror": {"code": "Other"}}
    assert type(refused(400, {"error": inner})) is ProviderRejected
    assert type(refused(400, {"error": {"code": "BadRequest", "message": "x", "innererror": None}})) is ProviderRejected
    assert type(refused(404, {"error": {"code": "DeploymentNotFound", "message": "none"}})) is ProviderRejected


def refused(status: int, body: Any) -> Exception:
    made = provider()
    told = made._refusal(status, {}, orjson.dumps(body))
    return Failures("river", (), made.failures).refused(status, {}, told)
