"""What a route may say of escalation: an error names the key."""

from typing import Any

import pytest

from penstock.errors import ConfigError
from penstock.execution.accept import escalations
from penstock.routing.learnt import LearntPolicies
from penstock.settings import parse_config


def config(**route: Any) -> dict[str, Any]:
    return {
        "providers": {"p": {"wire_format": "openai", "base_url": "http://127.0.0.1/v1"}},
        "models": {"cheap": {"provider": "p"}, "strong": {"provider": "p"}},
        "routes": {"smart": {"strategy": "escalation", "steps": ["cheap", "strong"], **route}},
    }


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ({"parallel": 3}, ["smart", "parallel", "2 steps"]),
        ({"parallel": 0}, ["parallel"]),
        ({"accept": {"judge": {"model": "wise"}}}, ["routes.smart.accept.judge.model", "`wise`"]),
        ({"accept": {"samples": {"count": 9, "rule": "numeric"}}}, ["samples", "count"]),
        ({"accept": {"samples": {"count": 1}}}, ["samples", "rule"]),
        ({"accept": {"require": "most"}}, ["require"]),
        ({"accept": {"agreement": "embedding"}}, ["routes.smart.accept", "similarity"]),
        ({"accept": {"agreement": "text", "similarity": {"model": "cheap"}}}, ["routes.smart.accept", "similarity"]),
        (
            {"accept": {"samples": {"rule": "embedding"}, "similarity": {"model": "vec"}}},
            ["routes.smart.accept.similarity.model", "`vec`"],
        ),
        ({"accept": {"hook": {"url": "ftp://checks"}}}, ["routes.smart.accept.hook.url"]),
        ({"accept": {"code": "cobol"}}, ["routes.smart.accept.code", "python"]),
        ({"stream": "both"}, ["stream"]),
        ({"shadow": 1.5}, ["shadow"]),
        ({"shadow": 0.1, "steps": ["cheap"]}, ["smart", "shadow", "one step"]),
        ({"strategy": "fallback", "shadow": 0.1}, ["smart", "shadow", "belongs to"]),
        ({"strategy": "fallback", "parallel": 2}, ["smart", "parallel", "belongs to"]),
        ({"strategy": "fallback", "accept": {"verifier": True}}, ["smart", "accept", "belongs to"]),
    ],
)
def test_what_cannot_be_is_named(route: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(config(**route), "test")
    assert [word for word in words if word not in refused.value.message] == []


def test_a_key_cannot_demand_another_place_than_its_tenant() -> None:
    keys = [{"key": "sk-somebody", "tenant": "t", "residency": "eu"}]
    assert parse_config(config() | {"keys": keys}, "test").keys[0].residency == "eu"
    with pytest.raises(ConfigError, match=r"keys\[0\]\.residency: tenants\.t\.residency is `us`"):
        parse_config(config() | {"keys": keys, "tenants": {"t": {"residency": "us"}}}, "test")


def test_a_schema_that_cannot_be_used_is_an_error_of_its_route() -> None:
    accept = {"json_schema": {"type": "no such type"}}
    with pytest.raises(ConfigError, match=r"routes\.smart\.accept\.json_schema"):
        escalations(parse_config(config(accept=accept), "test"), LearntPolicies.given({}, {}))


def test_everything_at_once_can_be_said() -> None:
    accept = {
        "agreement": "embedding", "similarity": {"model": "cheap", "min": 0.8}, "verifier": True,
        "samples": {"rule": "numeric"}, "judge": {"model": "strong"}, "require": "all", "code": "python",
        "json_schema": {"type": "object"}, "hook": {"url": "http://127.0.0.1/tests", "headers": {"x-key": "k"}},
    }  # fmt: skip
    route = parse_config(config(accept=accept, parallel=2, stream="generations", shadow=0.02), "test").routes["smart"]
    assert (route.accept.samples.count, route.accept.judge.min, route.shadow) == (2, 0.7, 0.02)
