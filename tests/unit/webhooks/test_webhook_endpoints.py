"""Endpoints of the configuration: identity, matching, refusals."""

import base64

import pytest

from penstock.configuration import Config, WebhooksConfig
from penstock.errors import ConfigError
from penstock.settings import parse_config
from penstock.store.webhooks import Subscription
from penstock.webhooks.endpoints import EVENT_TYPES, static_endpoints

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
URL = "https://user:password@hooks.example:8443/path/token?key=hidden"


def config(*endpoints: dict[str, object]) -> WebhooksConfig:
    rows = [{"url": URL, "secret": SECRET, **endpoint} for endpoint in endpoints]
    parsed: Config = parse_config({"webhooks": {"endpoints": rows}}, "test.yaml")
    return parsed.webhooks


def test_the_id_depends_on_tenant_and_url_only() -> None:
    """Deliveries under way must find their endpoint after a restart with a new secret."""
    other = "whsec_" + base64.b64encode(b"x" * 24).decode()
    (first,) = static_endpoints(config({}))
    (second,) = static_endpoints(config({"secret": other, "events": ["batch.failed"]}))
    (third,) = static_endpoints(config({"tenant": "a"}))
    (fourth,) = static_endpoints(config({"url": "https://hooks.example/2"}))
    assert first.id == second.id
    assert first.keys != second.keys
    assert len({first.id, third.id, fourth.id}) == 3


@pytest.mark.parametrize(
    ("row", "wishes"),
    [
        ({}, [(None, event) for event in sorted(EVENT_TYPES)]),
        ({"tenant": "a"}, [("a", event) for event in sorted(EVENT_TYPES)]),
        ({"events": ["job.failed"]}, [(None, "job.failed")]),
        ({"events": ["batch.failed", "batch.completed"]}, [(None, "batch.completed"), (None, "batch.failed")]),
        ({"events": ["batch.completed"], "tenant": "b"}, [("b", "batch.completed")]),
    ],
)
def test_subscriptions(row: dict[str, object], wishes: list[tuple[str | None, str | None]]) -> None:
    """No tenant means all of them; no events, all of the vendor's: its verifiers know no others."""
    (endpoint,) = static_endpoints(config(row))
    assert endpoint.subscriptions() == [Subscription(endpoint.id, *wish) for wish in wishes]


@pytest.mark.parametrize("size", [24, 64])
def test_key_sizes_at_the_limits_are_taken(size: int) -> None:
    key = bytes(size)
    (endpoint,) = static_endpoints(config({"secret": "whsec_" + base64.b64encode(key).decode()}))
    assert endpoint.keys == (key,)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(bytes(23)).decode(),
        base64.b64encode(bytes(65)).decode(),
        base64.b64encode(bytes(32)).decode().rstrip("="),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        base64.b64encode(bytes(32)).decode() + " ",
        "ü" * 32,
        "",
    ],
)
def test_a_bad_secret_is_refused_by_key_and_not_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match=r"webhooks\.endpoints\[1\]\.secret: must be `whsec_`") as caught:
        static_endpoints(config({}, {"url": "http://b.example", "secret": "whsec_" + text}))
    assert not text.strip() or text.strip() not in str(caught.value)


@pytest.mark.parametrize("url", ["ftp://host/", "hooks.example/path", "http://", "http://host:port/", "http://[::1"])
def test_a_bad_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"webhooks\.endpoints\[0\]\.url"):
        static_endpoints(config({"url": url}))


def test_a_misspelt_event_is_refused() -> None:
    """It would never match, and nobody would learn why."""
    with pytest.raises(ConfigError, match=r"webhooks\.endpoints\[0\]\.events.*batch\.canceled"):
        static_endpoints(config({"events": ["batch.canceled"]}))


def test_the_same_receiver_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"webhooks\.endpoints\[1\]\.url"):
        static_endpoints(config({}, {"events": ["batch.failed"]}))


def test_nothing_secret_is_in_the_representation() -> None:
    (endpoint,) = static_endpoints(config({}))
    assert endpoint.origin == "https://hooks.example:8443"
    for hidden in ("password", "token", "hidden", str(bytes(range(32)))):
        assert hidden not in repr(endpoint)
