"""What receivers get, against a real Postgres and real sockets."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx
import pytest
from aiohttp import web

from penstock.configuration import WebhookEndpointConfig, WebhooksConfig
from penstock.store.database import Database
from penstock.webhooks import Deliverer
from penstock.webhooks import delivery as delivery_module

if TYPE_CHECKING:
    from tests.integration.webhooks.conftest import Outbox, Receiver

To = Callable[..., WebhookEndpointConfig]


async def test_an_event_is_delivered_once(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    deliverer = outbox.deliverer(to(receiver.url))
    await outbox.add("batch_1")
    await outbox.add("batch_1")  # a second terminal write
    assert await deliverer.run_once() == 1
    await outbox.make_due()
    assert await deliverer.run_once() == 0
    assert [json.loads(body)["data"] for body in receiver.bodies] == [{"id": "batch_1"}]
    (row,) = await outbox.deliveries()
    assert (row["attempts"], row["last_status"], row["last_error"]) == (1, 200, None)
    assert row["delivered_at"] is not None


async def test_failures_are_retried_with_the_same_id_and_a_fresh_signature(
    outbox: "Outbox", receiver: "Receiver", to: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = delivery_module.time.time
    deliverer = outbox.deliverer(to(receiver.url))
    receiver.statuses = [500, 503]
    await outbox.add("batch_1")
    for later in range(3):
        monkeypatch.setattr(delivery_module.time, "time", lambda later=later: clock() + later)
        assert await deliverer.run_once() == 1
        assert await deliverer.run_once() == 0, "a retry waits for its time"
        await outbox.make_due()
    assert len(set(receiver.ids)) == 1
    assert len(set(receiver.bodies)) == 1
    for header in ("webhook-timestamp", "webhook-signature"):
        assert len({headers[header] for headers in receiver.headers}) == 3
    (row,) = await outbox.deliveries()
    assert (row["attempts"], row["last_status"]) == (3, 200)
    assert row["delivered_at"] is not None


async def test_a_redirect_is_a_failure_and_not_followed(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    receiver.statuses = [302]
    await outbox.add("batch_1")
    assert await outbox.deliverer(to(receiver.url)).run_once() == 1
    assert receiver.redirected == 0
    (row,) = await outbox.deliveries()
    assert (row["delivered_at"], row["last_status"], row["later"]) == (None, 302, True)
    assert row["last_error"] == "the receiver answered 302"


async def test_the_end_of_the_schedule_gives_up_with_a_reason(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    receiver.statuses = [500, 410, 429]
    deliverer = outbox.deliverer(to(receiver.url), retry_schedule=[1, 1])
    await outbox.add("batch_1")
    for _ in range(3):
        assert await deliverer.run_once() == 1
        await outbox.make_due()
    assert await deliverer.run_once() == 0
    (row,) = await outbox.deliveries()
    assert row["gave_up_at"] is not None
    assert row["last_error"] == "gave up after 3 attempts; the last: the receiver answered 429"


async def test_only_wanted_events_are_delivered(
    outbox: "Outbox", receiver: "Receiver", other: "Receiver", to: To
) -> None:
    deliverer = outbox.deliverer(to(receiver.url, events=["batch.failed", "batch.expired"]), to(other.url, tenant="b"))
    await outbox.add("batch_1", type_="batch.completed", tenant="a")
    await outbox.add("batch_2", type_="batch.failed", tenant="a")
    await outbox.add("batch_3", type_="batch.completed", tenant="b")
    await outbox.add("batch_4", type_="batch.expired", tenant="b")
    assert await deliverer.run_once() == 4
    assert {json.loads(body)["data"]["id"] for body in receiver.bodies} == {"batch_2", "batch_4"}
    assert {json.loads(body)["data"]["id"] for body in other.bodies} == {"batch_3", "batch_4"}


async def test_a_slow_receiver_does_not_delay_another(
    outbox: "Outbox", receiver: "Receiver", other: "Receiver", to: To
) -> None:
    """The slow one holds every slot of its own; the other's events, later in line, all arrive meanwhile."""
    release = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    receiver.answer = hold
    deliverer = outbox.deliverer(to(receiver.url, tenant="a"), to(other.url, tenant="b"))
    held = delivery_module.SLOTS_PER_ENDPOINT
    stop, ring = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(deliverer.run(stop, ring))
    await outbox.add(*(f"batch_a{number}" for number in range(held - 3)), tenant="a")
    ring.set()
    await outbox.until(lambda: len(receiver.bodies) == held - 3)
    await outbox.add(*(f"batch_later{number}" for number in range(8)), tenant="a")
    ring.set()
    await outbox.until(lambda: len(receiver.bodies) == held)
    await outbox.add(*(f"batch_b{number}" for number in range(held + 5)), tenant="b")
    ring.set()
    await outbox.until(lambda: len(other.bodies) == held + 5)
    assert len(receiver.bodies) == held
    release.set()
    await outbox.until(lambda: len(receiver.bodies) == held + 5)
    stop.set()
    await running
    assert all(row["delivered_at"] for row in await outbox.deliveries())
    assert len(set(receiver.ids)) == len(receiver.ids)
    assert len(set(other.ids)) == len(other.ids)


async def test_a_receiver_that_is_gone_is_retried(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    """Nothing listens at port 1; the row says what happened, without what may be secret in the URL."""
    deliverer = outbox.deliverer(to("http://user:hidden@127.0.0.1:1/hidden?hidden"), to(receiver.url))
    await outbox.add("batch_1")
    assert await deliverer.run_once() == 2
    assert len(receiver.ids) == 1
    (row,) = [row for row in await outbox.deliveries() if row["delivered_at"] is None]
    assert (row["last_status"], row["later"], row["attempts"]) == (None, True, 1)
    assert str(row["last_error"]).startswith("ClientConnectorError: Cannot connect to host 127.0.0.1:1")
    assert "hidden" not in str(row["last_error"])


async def test_user_and_password_of_the_url_are_sent_as_basic_auth(
    outbox: "Outbox", receiver: "Receiver", to: To
) -> None:
    await outbox.add("batch_1")
    await outbox.deliverer(to(receiver.url.replace("//", "//me:p%40ss@"))).run_once()
    (headers,) = receiver.headers
    assert headers["authorization"] == "Basic " + base64.b64encode(b"me:p@ss").decode()


async def test_silence_ends_at_the_configured_timeout(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    async def hold(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    receiver.answer = hold
    await outbox.add("batch_1")
    assert await outbox.deliverer(to(receiver.url), timeout=0.2).run_once() == 1
    (row,) = await outbox.deliveries()
    assert (row["last_status"], row["last_error"], row["later"]) == (None, "Timeout: no answer within 0.2 s", True)


async def test_the_configured_timeout_counts_and_not_the_clients(
    outbox: "Outbox", receiver: "Receiver", to: To, client: httpx.AsyncClient
) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.8)
        return web.Response()

    assert client.timeout.read == 0.5
    receiver.answer = slow
    await outbox.add("batch_1")
    await outbox.deliverer(to(receiver.url)).run_once()
    (row,) = await outbox.deliveries()
    assert row["last_status"] == 200


async def test_a_200_counts_even_when_its_body_never_ends(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"more")
            await asyncio.sleep(0.01)

    receiver.answer = endless
    await outbox.add("batch_1")
    assert await outbox.deliverer(to(receiver.url), timeout=0.3).run_once() == 1
    (row,) = await outbox.deliveries()
    assert row["delivered_at"] is not None


async def test_a_receiver_that_does_not_speak_http_is_not_quoted(outbox: "Outbox", to: To) -> None:
    """What a stranger sends must not reach our tables or logs."""

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00poison poison\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await outbox.add("batch_1")
        assert await outbox.deliverer(to(f"http://127.0.0.1:{port}/")).run_once() == 1
    (row,) = await outbox.deliveries()
    assert row["later"]
    assert "not HTTP" in str(row["last_error"])
    assert "poison" not in str(row["last_error"])


async def test_many_deliverers_at_once_deliver_once(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    deliverers = [outbox.deliverer(to(receiver.url)) for _ in range(4)]
    await outbox.add(*(f"batch_{number}" for number in range(60)))
    while sum(await asyncio.gather(*(deliverer.run_once() for deliverer in deliverers))):
        pass
    assert len(receiver.ids) == 60
    assert len(set(receiver.ids)) == 60
    assert {row["attempts"] for row in await outbox.deliveries()} == {1}


async def test_a_death_before_the_recording_delivers_again_with_the_same_id(
    outbox: "Outbox", receiver: "Receiver", to: To
) -> None:
    """At least once: the receiver has the event, the sender died before it could write that down."""
    arrived = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await asyncio.sleep(60)
        return web.Response()

    receiver.answer = hold
    await outbox.add("batch_1")
    dying = asyncio.create_task(outbox.deliverer(to(receiver.url)).run_once())
    await arrived.wait()
    dying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await dying
    receiver.answer = None
    restarted = outbox.deliverer(to(receiver.url))
    assert await restarted.run_once() == 0, "the lease holds"
    await outbox.make_due()
    assert await restarted.run_once() == 1
    assert len(receiver.ids) == 2
    assert len(set(receiver.ids)) == 1
    assert (await outbox.deliveries())[0]["delivered_at"] is not None


async def test_retries_resume_after_a_restart(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    receiver.statuses = [500]
    await outbox.add("batch_1")
    await outbox.deliverer(to(receiver.url)).run_once()
    await outbox.make_due()
    stop = asyncio.Event()
    running = asyncio.create_task(outbox.deliverer(to(receiver.url)).run(stop))
    await outbox.until(lambda: len(receiver.ids) == 2)
    stop.set()
    await running
    (row,) = await outbox.deliveries()
    assert (row["attempts"], row["last_status"]) == (2, 200)


async def test_a_stop_lets_attempts_under_way_end(outbox: "Outbox", receiver: "Receiver", to: To) -> None:
    release = asyncio.Event()

    async def hold(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return web.Response()

    receiver.answer = hold
    await outbox.add("batch_1")
    stop = asyncio.Event()
    running = asyncio.create_task(outbox.deliverer(to(receiver.url)).run(stop))
    await outbox.until(lambda: len(receiver.ids) == 1)
    stop.set()
    release.set()
    await running
    assert (await outbox.deliveries())[0]["delivered_at"] is not None


async def test_an_endpoint_taken_out_of_the_configuration_ends_its_deliveries(
    outbox: "Outbox", receiver: "Receiver", other: "Receiver", to: To
) -> None:
    """Only those nobody took for long: another process may know the endpoint."""
    receiver.statuses = [500, 500]
    await outbox.add("batch_1", "batch_2")
    await outbox.deliverer(to(receiver.url)).run_once()
    await outbox.make_due()
    await outbox.database.execute(
        "UPDATE webhook_deliveries SET next_at = now() - interval '1 hour'"
        " FROM webhook_events e WHERE e.id = event_id AND e.object_id = 'batch_1'"
    )
    assert await outbox.deliverer(to(other.url)).run_once() == 0
    ended, waiting = await outbox.deliveries()
    assert ended["gave_up_at"] is not None
    assert ended["last_error"] == "the endpoint is no longer configured"
    assert waiting["gave_up_at"] is None


async def test_connections_lost_while_an_attempt_is_under_way_do_not_repeat_it(
    outbox: "Outbox", receiver: "Receiver", to: To, client: httpx.AsyncClient
) -> None:
    """The outcome is recorded by a connection made anew, and the loop goes on."""

    async def cut(request: web.Request) -> web.StreamResponse:
        gone = await outbox.database.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'penstock-cut'"
        )
        assert gone
        return web.Response()

    receiver.answer = cut
    database = Database(outbox.database.url, size=2, name="cut")
    await database.open()
    stop, ring = asyncio.Event(), asyncio.Event()
    await outbox.add("batch_1")
    deliverer = Deliverer(database, WebhooksConfig(endpoints=[to(receiver.url)]), client)
    running = asyncio.create_task(deliverer.run(stop, ring))
    await outbox.until_delivered(1)
    receiver.answer = None
    await outbox.add("batch_2")
    ring.set()
    await outbox.until_delivered(2)
    stop.set()
    await running
    await database.close()
    assert len(set(receiver.ids)) == len(receiver.ids) == 2
