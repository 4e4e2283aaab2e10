"""Tenants' receivers, against a real Postgres, real sockets, and a resolver that lies."""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from penstock import http
from penstock.configuration import WebhooksConfig
from penstock.errors import InvalidRequest, NotFound
from penstock.http import make_client
from penstock.ids import new_id
from penstock.store import tenants, webhook_endpoints, webhook_leases, webhook_log
from penstock.store import webhooks as store
from penstock.store.database import Database
from penstock.store.webhook_endpoints import WebhookEndpoint
from penstock.store.webhook_leases import ManagedDelivery, Slots
from penstock.webhooks import Deliverer, ManagedReceivers, ManagedWebhooks, SecretKeys, receivers_client

if TYPE_CHECKING:
    from tests.integration.webhooks.conftest import Outbox, Receiver

KEYS = SecretKeys([SecretStr("k" * 32)])
TYPES = ["batch.completed", "batch.failed"]
LOCAL = ["127.0.0.0/8"]
PUBLIC = "93.184.215.14"


class Installation:
    """What an API process and a dispatcher have, over one database."""

    def __init__(self, database: Database, keys: SecretKeys = KEYS, **options: object) -> None:
        config = WebhooksConfig.model_validate({"timeout": 60.0, "allow_networks": LOCAL, **options})
        self.database = database
        self.webhooks = ManagedWebhooks(database, config, keys)
        self.outward = receivers_client(config)
        self._static = make_client(5.0)
        self.deliverer = Deliverer(
            database, config, self._static, ManagedReceivers(database, config, self.outward, keys)
        )

    async def endpoint(
        self, url: str, tenant: str = "default", event_types: list[str] | None = None
    ) -> tuple[WebhookEndpoint, str]:
        await tenants.ensure_tenants(self.database, {tenant: "unlimited"})
        return await self.webhooks.create(tenant, name="n", description=None, url=url, event_types=event_types or TYPES)

    async def now(self, endpoint: WebhookEndpoint) -> WebhookEndpoint:
        found = await webhook_endpoints.get(self.database, endpoint.tenant_id, endpoint.id)
        assert found is not None
        return found

    async def close(self) -> None:
        await self.outward.aclose()
        await self._static.aclose()


@pytest.fixture
async def install(database: Database) -> AsyncIterator[Callable[..., Installation]]:
    opened: list[Installation] = []

    def make(*arguments: Any, **options: object) -> Installation:
        opened.append(Installation(database, *arguments, **options))
        return opened[-1]

    yield make
    for installation in opened:
        await installation.close()


class Names:
    """A resolver under the test's hand: for each name the answers it gives, one after another; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked = 0
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.answers:
            return self._real(host, port, *arguments, **options)
        self.asked += 1
        queue = self.answers[name]
        addresses = queue.pop(0) if len(queue) > 1 else queue[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port or 0)) for address in addresses]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    return made


def named(receiver: "Receiver", name: str) -> str:
    return receiver.url.replace("127.0.0.1", name)


async def test_an_event_is_signed_with_the_endpoints_own_secret(
    outbox: "Outbox", receiver: "Receiver", other: "Receiver", install: Callable[..., Installation]
) -> None:
    """Two tenants, one event each; the receivers verify with what their `create` answered."""
    here = install()
    _, receiver.secret = await here.endpoint(receiver.url, "a")
    _, other.secret = await here.endpoint(other.url, "b")
    await outbox.add("batch_1", tenant="a")
    await outbox.add("batch_2", tenant="b")
    await outbox.add("batch_3", tenant="a", type_="batch.expired")
    assert await here.deliverer.run_once() == 2
    assert [json.loads(body)["data"]["id"] for body in receiver.bodies] == ["batch_1"]
    assert [json.loads(body)["data"]["id"] for body in other.bodies] == ["batch_2"]


async def test_no_secret_is_in_a_row(install: Callable[..., Installation], database: Database) -> None:
    here = install()
    _, secret = await here.endpoint("http://127.0.0.1:9/")
    callback = (await here.webhooks.callback_secret("default")).secret
    rows = await database.fetch(
        "SELECT row_to_json(w)::text AS row FROM webhook_endpoints w UNION SELECT row_to_json(t)::text FROM tenants t"
    )
    text = "".join(row["row"] for row in rows)
    for shown in (secret, callback):
        bare = shown.removeprefix("whsec_")
        assert bare not in text


async def test_a_name_that_turns_private_after_its_check_is_refused_for_good(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], names: Names
) -> None:
    """DNS rebinding: public when the endpoint is made, this host when it is called."""
    here = install(allow_networks=[])
    names.answers["rebound.example"] = [[PUBLIC], ["127.0.0.1"]]
    await here.endpoint(named(receiver, "rebound.example"))
    await outbox.add("batch_1")
    assert await here.deliverer.run_once() == 1
    (row,) = await outbox.deliveries()
    assert receiver.bodies == []
    assert row["gave_up_at"] is not None
    assert row["last_error"] == "127.0.0.1 is loopback, and webhooks go to public addresses only"


async def test_the_address_that_was_judged_is_the_one_connected_to(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], names: Names
) -> None:
    """The resolver would answer with a refused address if it were asked a second time."""
    here = install(allow_networks=["127.0.0.1/32"])
    names.answers["pinned.example"] = [["127.0.0.1"], ["127.0.0.1"], ["127.0.0.2"]]
    _, receiver.secret = await here.endpoint(named(receiver, "pinned.example"))
    assert names.asked == 1
    await outbox.add("batch_1")
    assert await here.deliverer.run_once() == 1
    assert names.asked == 2
    assert receiver.headers[0]["host"].startswith("pinned.example:")
    (row,) = await outbox.deliveries()
    assert row["delivered_at"] is not None


async def test_every_connection_resolves_anew(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], names: Names
) -> None:
    """A judgement is not kept longer than its connection."""

    async def close(_: web.Request) -> web.StreamResponse:
        return web.Response(headers={"connection": "close"})

    here = install(allow_networks=["127.0.0.1/32"])
    names.answers["moving.example"] = [["127.0.0.1"], ["127.0.0.1"], ["10.0.0.1"]]
    _, receiver.secret = await here.endpoint(named(receiver, "moving.example"))
    receiver.answer = close
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    await outbox.add("batch_2")
    await here.deliverer.run_once()
    delivered, refused = await outbox.deliveries()
    assert delivered["delivered_at"] is not None
    assert str(refused["last_error"]).startswith("10.0.0.1 is private")
    assert len(receiver.bodies) == 1


async def test_one_private_address_among_public_ones_is_enough(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], names: Names
) -> None:
    here = install(allow_networks=["127.0.0.1/32"])
    names.answers["two.example"] = [["127.0.0.1"], ["127.0.0.1", "10.0.0.1"]]
    await here.endpoint(named(receiver, "two.example"))
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    assert receiver.bodies == []
    (row,) = await outbox.deliveries()
    assert str(row["last_error"]).startswith("10.0.0.1 is private")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "0x7f000001", "localhost"])
async def test_an_address_that_got_into_the_table_is_judged_at_delivery(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], database: Database, host: str
) -> None:
    """As when a network is taken out of `allow_networks`."""
    here = install(allow_networks=[])
    await here.endpoint("http://192.0.1.1/")
    await database.execute("UPDATE webhook_endpoints SET url = %(url)s", {"url": named(receiver, host)})
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    assert receiver.bodies == []
    (row,) = await outbox.deliveries()
    assert "is loopback" in str(row["last_error"])
    assert row["gave_up_at"] is not None


async def test_a_redirect_is_not_followed(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation]
) -> None:
    here = install()
    _, receiver.secret = await here.endpoint(receiver.url)
    receiver.statuses = [307]
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    assert receiver.redirected == 0
    (row,) = await outbox.deliveries()
    assert (row["last_status"], row["later"]) == (307, True)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
async def test_tls_is_verified_for_the_name_of_the_url(
    outbox: "Outbox",
    install: Callable[..., Installation],
    names: Names,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The certificate is for one name: the pinned address neither passes for it nor spoils it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=good.example"]
    command += ["-addext", "subjectAltName=DNS:good.example", "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    context = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr(http, "_tls", lambda: context)
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_side.load_cert_chain(certificate, key)
    taken: list[str] = []

    async def take(request: web.Request) -> web.StreamResponse:
        taken.append(request.host)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_side).start()
    port = runner.addresses[0][1]
    here = install()
    for name in ("good.example", "wrong.example"):
        names.answers[name] = [["127.0.0.1"]]
        await here.endpoint(f"https://{name}:{port}/")
    await outbox.add("batch_1")
    assert await here.deliverer.run_once() == 2
    assert taken == [f"good.example:{port}"]
    failed = [row for row in await outbox.deliveries() if row["delivered_at"] is None]
    assert [row["last_status"] for row in failed] == [None]
    assert "certificate" in str(failed[0]["last_error"]).lower()
    await runner.cleanup()


async def test_private_addresses_are_refused_when_they_are_given(install: Callable[..., Installation]) -> None:
    here = install(allow_networks=[])
    with pytest.raises(InvalidRequest, match="loopback") as caught:
        await here.endpoint("http://127.0.0.1/")
    assert caught.value.param == "url"
    with pytest.raises(InvalidRequest, match="private") as caught:
        await here.webhooks.callback_url("default", "http://10.0.0.1/")
    assert caught.value.param == "callback_url"


async def test_without_a_secret_key_nothing_is_offered(install: Callable[..., Installation]) -> None:
    here = install(SecretKeys())
    with pytest.raises(NotFound, match="PENSTOCK_SECRET_KEY"):
        await here.endpoint("http://127.0.0.1/")
    with pytest.raises(InvalidRequest, match="PENSTOCK_SECRET_KEY"):
        await here.webhooks.callback_url("default", "http://127.0.0.1/")
    assert await here.webhooks.callback_url("default", None) is None


async def test_what_cannot_be_signed_waits_for_who_can(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation]
) -> None:
    here, elsewhere = install(), install(SecretKeys([SecretStr("e" * 32)]))
    _, receiver.secret = await here.endpoint(receiver.url)
    await outbox.add("batch_1")
    assert await elsewhere.deliverer.run_once() == 0
    assert await webhook_leases.unsigned(outbox.database, ["another"]) == 1
    assert await here.deliverer.run_once() == 1
    assert len(receiver.bodies) == 1


async def test_the_limit_of_endpoints_is_the_tenants(
    install: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_endpoints, "MAX_PER_TENANT", 2)
    here = install()
    for _ in range(2):
        await here.endpoint("http://127.0.0.1/", "a")
    with pytest.raises(InvalidRequest, match="limit"):
        await here.endpoint("http://127.0.0.1/", "a")
    await here.endpoint("http://127.0.0.1/", "b")


# How endpoints fare ---------------------------------------------------------------------------------------------------


async def test_an_endpoint_that_takes_nothing_for_long_is_disabled_and_its_deliveries_end(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], database: Database
) -> None:
    here = install(retry_schedule=[1] * 9)
    endpoint, receiver.secret = await here.endpoint(receiver.url)
    receiver.statuses = [500] * 9
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    await outbox.make_due()
    await here.deliverer.run_once()
    assert (await here.now(endpoint)).failing_since is not None
    await database.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '4 days'")
    await outbox.add("batch_2")
    await database.execute("UPDATE webhook_deliveries SET next_at = now() - interval '1 s'")
    await here.deliverer.run_once()
    disabled = await here.now(endpoint)
    assert (disabled.enabled, disabled.disabled_reason) == (False, "nothing was taken for 3 days")
    first, second = await outbox.deliveries()
    for row in (first, second):
        assert row["last_error"] == "the endpoint is disabled: nothing was taken for 3 days"
        assert row["gave_up_at"] is not None
    assert second["attempts"] == 0
    await outbox.add("batch_3")
    assert await here.deliverer.run_once() == 0
    assert len(await outbox.deliveries()) == 2, "a disabled endpoint gets no deliveries"


async def test_the_first_failures_of_a_delivery_do_not_disable(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], database: Database
) -> None:
    """However long ago the last success was: there may have been nothing to take."""
    here = install()
    endpoint, receiver.secret = await here.endpoint(receiver.url)
    await database.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '9 days'")
    receiver.statuses = [500]
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    assert (await here.now(endpoint)).enabled


async def test_a_success_clears_the_record(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], database: Database
) -> None:
    here = install()
    endpoint, receiver.secret = await here.endpoint(receiver.url)
    receiver.statuses = [500]
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    assert (await here.now(endpoint)).failing_since is not None
    await outbox.make_due()
    await here.deliverer.run_once()
    assert (await here.now(endpoint)).failing_since is None


async def test_enabling_again_or_a_new_address_begins_with_a_clean_record(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation]
) -> None:
    here = install()
    endpoint, receiver.secret = await here.endpoint(receiver.url)
    receiver.statuses = [410]
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    gone = await here.now(endpoint)
    assert (gone.enabled, gone.disabled_reason) == (False, "the receiver answered 410 Gone")
    again = await here.webhooks.update(gone, enabled=False)
    assert again.disabled_reason == "the receiver answered 410 Gone", "it was disabled before"
    enabled = await here.webhooks.update(gone, enabled=True)
    assert (enabled.enabled, enabled.disabled_reason, enabled.failing_since) == (True, None, None)
    receiver.statuses = [500]
    await outbox.add("batch_2")
    await here.deliverer.run_once()
    failing = await here.now(endpoint)
    assert failing.failing_since is not None
    moved = await here.webhooks.update(failing, url=receiver.url + "?moved")
    assert moved.failing_since is None
    unchanged = await here.webhooks.update(moved, name=moved.name)
    assert unchanged.updated_at == moved.updated_at


async def test_a_deleted_endpoint_ends_what_waits(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation]
) -> None:
    here = install()
    endpoint, receiver.secret = await here.endpoint(receiver.url)
    receiver.statuses = [500]
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    await here.webhooks.delete("default", endpoint.public_id, endpoint.id)
    (row,) = await outbox.deliveries()
    assert (row["last_error"], row["gave_up_at"] is not None) == ("the endpoint was deleted", True)
    await outbox.make_due()
    assert await here.deliverer.run_once() == 0


async def test_what_waits_for_a_disabled_endpoint_is_not_leased(
    outbox: "Outbox", install: Callable[..., Installation], database: Database
) -> None:
    """Also before anybody has ended it."""
    here = install()
    await here.endpoint("http://127.0.0.1:9/")
    await outbox.add("batch_1")
    await store.fan_out(database, [], limit=10)
    await database.execute("UPDATE webhook_endpoints SET enabled = false")
    assert await lease(database, 9) == []
    await database.execute("UPDATE webhook_endpoints SET enabled = true")
    assert len(await lease(database, 9)) == 1


async def test_the_sweep_ends_what_failed_after_its_endpoint_was_disabled(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation]
) -> None:
    """The attempt was under way: disabling could not end it, and its failure put it back for a retry."""
    here = install()
    endpoint, receiver.secret = await here.endpoint(receiver.url)

    async def disable(_: web.Request) -> web.StreamResponse:
        await here.webhooks.update(endpoint, enabled=False)
        return web.Response(status=500)

    receiver.answer = disable
    await outbox.add("batch_1")
    await here.deliverer.run_once()
    await install().deliverer.run_once()
    (row,) = await outbox.deliveries()
    assert row["last_error"] == "the endpoint is disabled: by the tenant"


# Fair slots -----------------------------------------------------------------------------------------------------------


async def lease(
    database: Database, free: int, *, per_endpoint: int = 8, per_tenant: int = 64, **busy: Any
) -> list[ManagedDelivery]:
    slots = Slots(free, per_endpoint, per_tenant, busy.get("endpoints", {}), busy.get("tenants", {}))
    return await webhook_leases.lease(database, slots, KEYS.names, lease_seconds=60)


async def test_every_tenant_and_every_receiver_gets_a_slot_before_any_gets_a_second(
    outbox: "Outbox", install: Callable[..., Installation], database: Database
) -> None:
    here = install()
    for tenant in ("a", "a", "b"):
        await here.endpoint("http://127.0.0.1:9/", tenant)
    await outbox.add(*(f"batch_{number}" for number in range(20)), tenant="a")
    await outbox.add("batch_last", tenant="b")
    await store.fan_out(database, [], limit=100)
    leased = await lease(database, 3)
    assert sorted(row.tenant_id for row in leased) == ["a", "a", "b"]
    assert len({row.endpoint for row in leased}) == 3
    assert len(await lease(database, 99, per_tenant=5)) == 5
    assert len(await lease(database, 99, per_tenant=5, tenants={"a": 4})) == 1
    endpoint = leased[0].endpoint
    more = await lease(database, 99, per_endpoint=2, endpoints={endpoint: 2})
    assert endpoint not in {row.endpoint for row in more}


async def test_a_failing_receiver_has_one_slot_until_it_takes_something(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], database: Database
) -> None:
    here = install()
    await here.endpoint("http://127.0.0.1:1/", "a")
    await outbox.add(*(f"batch_{number}" for number in range(9)), tenant="a")
    await outbox.add("batch_0", tenant="a")
    assert await here.deliverer.run_once() == 8
    await outbox.make_due()
    leased = await lease(database, 99)
    assert [row.failing for row in leased] == [True]
    assert await lease(database, 99, endpoints={leased[0].endpoint: 1}) == []


async def test_a_slow_receiver_does_not_delay_another_tenants(
    outbox: "Outbox", receiver: "Receiver", other: "Receiver", install: Callable[..., Installation]
) -> None:
    release = asyncio.Event()

    async def hold(_: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    here = install()
    receiver.answer = hold
    _, receiver.secret = await here.endpoint(receiver.url, "a")
    _, other.secret = await here.endpoint(other.url, "b")
    stop, ring = asyncio.Event(), asyncio.Event()
    await outbox.add(*(f"batch_a{number}" for number in range(40)), tenant="a")
    running = asyncio.create_task(here.deliverer.run(stop, ring))
    await outbox.until(lambda: len(receiver.bodies) == 8)
    await outbox.add(*(f"batch_b{number}" for number in range(20)), tenant="b")
    ring.set()
    await outbox.until(lambda: len(other.bodies) == 20)
    assert len(receiver.bodies) == 8
    release.set()
    await outbox.until(lambda: len(receiver.bodies) == 40)
    stop.set()
    await running
    assert len(set(receiver.ids)) == 40


# Callbacks, the log, retention ----------------------------------------------------------------------------------------


async def add_with_callback(database: Database, object_id: str, url: str, tenant: str = "default") -> None:
    await database.execute(
        "INSERT INTO webhook_events (id, tenant_id, type, object_id, callback_url)"
        " VALUES (%(id)s, %(tenant)s, 'batch.completed', %(object)s, %(url)s)",
        {"id": new_id(), "tenant": tenant, "object": object_id, "url": url},
    )


async def test_a_callback_goes_to_its_own_address_beside_the_endpoints(
    outbox: "Outbox", receiver: "Receiver", other: "Receiver", install: Callable[..., Installation]
) -> None:
    here = install()
    _, other.secret = await here.endpoint(other.url)
    receiver.secret = (await here.webhooks.callback_secret("default")).secret
    url = await here.webhooks.callback_url("default", receiver.url + "?job=1")
    assert url == receiver.url + "?job=1"
    await add_with_callback(outbox.database, "batch_1", url)
    assert await here.deliverer.run_once() == 2
    assert receiver.ids == other.ids


async def test_callbacks_of_one_host_share_their_slots_and_those_of_another_do_not(
    outbox: "Outbox", install: Callable[..., Installation], database: Database
) -> None:
    here = install()
    await tenants.ensure_tenants(database, {"default": "unlimited"})
    await here.webhooks.callback_secret("default")
    for number in range(12):
        await add_with_callback(database, f"batch_{number}", f"http://127.0.0.1:1/{number}")
    await add_with_callback(database, "batch_other", "http://127.0.0.1:2/x")
    await here.deliverer.run_once()
    rows = await outbox.deliveries()
    assert len({row["endpoint"] for row in rows}) == 2
    assert sum(int(str(row["attempts"])) for row in rows) == 9


async def test_delivered_again_it_has_the_same_id_and_a_schedule_from_its_beginning(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], database: Database
) -> None:
    here = install(retry_schedule=[1])
    endpoint, receiver.secret = await here.endpoint(receiver.url)
    receiver.statuses = [500, 500, 500]
    await outbox.add("batch_1")
    for _ in range(2):
        await here.deliverer.run_once()
        await outbox.make_due()
    (row,) = await webhook_log.of_endpoint(database, endpoint.public_id, None, 10)
    assert (row.attempts, row.gave_up_at is not None) == (2, True)
    await webhook_log.redeliver(database, row.event_id, endpoint.public_id)
    assert await here.deliverer.run_once() == 1
    (row,) = await webhook_log.of_endpoint(database, endpoint.public_id, None, 10)
    assert (row.attempts, row.gave_up_at) == (3, None), "it failed again, and has a retry left"
    await outbox.make_due()
    assert await here.deliverer.run_once() == 1
    assert len(set(receiver.ids)) == 1
    assert len(receiver.ids) == 4


async def test_a_test_is_tried_once_and_leaves_no_record(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], database: Database
) -> None:
    here = install()
    endpoint, receiver.secret = await here.endpoint(receiver.url)
    receiver.statuses = [500]
    await webhook_log.insert_test(database, "default", endpoint.public_id, "batch.completed", "batch_sample")
    assert await here.deliverer.run_once() == 1
    (row,) = await webhook_log.of_endpoint(database, endpoint.public_id, None, 10)
    assert (row.test, row.last_error, row.gave_up_at is not None) == (True, "the receiver answered 500", True)
    assert (await here.now(endpoint)).failing_since is None


async def test_old_events_go_in_bounded_steps_once_their_deliveries_have_ended(
    outbox: "Outbox", receiver: "Receiver", install: Callable[..., Installation], database: Database
) -> None:
    here = install()
    _, receiver.secret = await here.endpoint(receiver.url)
    await outbox.add("batch_1", "batch_2", "batch_3")
    await here.deliverer.run_once()
    receiver.statuses = [500]
    await outbox.add("batch_waiting")
    await here.deliverer.run_once()
    await database.execute("UPDATE webhook_events SET created_at = now() - interval '40 days'")
    await outbox.add("batch_young", type_="batch.failed")
    await outbox.add("batch_new", type_="batch.failed")
    await database.execute(
        "UPDATE webhook_events SET created_at = now() - interval '40 days', fanned_out = false"
        " WHERE object_id = 'batch_new'"
    )
    day = 24 * 3600.0
    assert await webhook_log.prune(database, older_than_seconds=30 * day, limit=2) == 2
    assert await webhook_log.prune(database, older_than_seconds=30 * day, limit=2) == 1
    assert await webhook_log.prune(database, older_than_seconds=30 * day, limit=2) == 0
    left = await database.fetch("SELECT object_id FROM webhook_events ORDER BY object_id")
    assert [row["object_id"] for row in left] == ["batch_new", "batch_waiting", "batch_young"]
    assert len(await outbox.deliveries()) == 1
