"""A fresh database per test, and receivers that check what they get."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import openai
import pytest
import standardwebhooks
from aiohttp import web
from servers import Servers

from penstock.configuration import WebhookEndpointConfig, WebhooksConfig
from penstock.http import make_client
from penstock.store.database import Database
from penstock.store.webhooks import NewEvent, insert_events
from penstock.webhooks import Deliverer

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def database(embedded_servers: Servers) -> AsyncIterator[Database]:
    """An empty database with all tables: what is tested here is nobody's server."""
    url = embedded_servers.new_database()
    opened = Database(url, size=6, name="test")
    await opened.open()
    yield opened
    await opened.close()
    embedded_servers.drop_database(url)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """A client with short defaults, as one is made in earnest."""
    async with make_client(0.5) as opened:
        yield opened


class Receiver:
    """A receiver that verifies each request with both vendors' verifiers and answers as it is told.

    `statuses` are used up first; then it answers 200. `bodies` and `headers` keep what arrived, in order.
    """

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.problems: list[str] = []
        self.answer: Answer | None = None
        self.redirected = 0
        self.secret = SECRET

    @property
    def ids(self) -> list[str]:
        """The `webhook-id` of each request."""
        return [headers["webhook-id"] for headers in self.headers]

    async def take(self, request: web.Request) -> web.StreamResponse:
        """The handler."""
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.bodies.append(body)
        self.headers.append(headers)
        try:
            event = openai.OpenAI(api_key="unused", webhook_secret=self.secret).webhooks.unwrap(body, headers)
            standardwebhooks.Webhook(self.secret).verify(body, headers)
            if event.id != headers["webhook-id"] or headers["content-type"] != "application/json":
                self.problems.append(f"{event.id} {headers}")
        except (openai.InvalidWebhookSignatureError, standardwebhooks.WebhookVerificationError) as error:
            self.problems.append(repr(error))
        if self.answer:
            return await self.answer(request)
        status = self.statuses.pop(0) if self.statuses else 200
        return web.Response(status=status, text="thanks", headers={"location": f"{self.url}/elsewhere"})

    async def elsewhere(self, _: web.Request) -> web.StreamResponse:
        """Where a redirect points."""
        self.redirected += 1
        return web.Response()


@asynccontextmanager
async def listening() -> AsyncIterator[Receiver]:
    """A receiver on a free port of this host."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    app.router.add_route("*", "/hook/elsewhere", receiver.elsewhere)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()
    assert receiver.problems == []


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver; the test fails when a request did not verify."""
    async with listening() as opened:
        yield opened


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    """A second receiver."""
    async with listening() as opened:
        yield opened


class Outbox:
    """What a test does with the outbox: add events, make retries due now, look."""

    def __init__(self, database: Database, client: httpx.AsyncClient) -> None:
        self.database = database
        self._client = client

    def deliverer(self, *endpoints: WebhookEndpointConfig, **options: object) -> Deliverer:
        """A deliverer, as another process would make one."""
        config = WebhooksConfig.model_validate({"endpoints": endpoints, "timeout": 60.0, **options})
        return Deliverer(self.database, config, self._client)

    async def add(self, *objects: str, type_: str = "batch.completed", tenant: str = "default") -> None:
        """Events, as a terminal transaction inserts them."""
        async with self.database.transaction() as connection:
            await insert_events(connection, [NewEvent(object_id, type_, tenant) for object_id in objects])

    async def make_due(self) -> None:
        """Let the time pass until every delivery is due."""
        await self.database.execute("UPDATE webhook_deliveries SET next_at = now()")

    async def deliveries(self) -> list[dict[str, object]]:
        """All deliveries, with their object, oldest event first."""
        return await self.database.fetch(
            "SELECT d.*, e.object_id, d.next_at > now() AS later FROM webhook_deliveries d"
            " JOIN webhook_events e ON e.id = d.event_id ORDER BY e.id, d.endpoint"
        )

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that another task is about to do."""
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.01)

    async def until_delivered(self, count: int) -> None:
        """Wait until so many deliveries are recorded as done."""
        async with asyncio.timeout(60):
            while len([row for row in await self.deliveries() if row["delivered_at"]]) < count:
                await asyncio.sleep(0.05)


@pytest.fixture
def outbox(database: Database, client: httpx.AsyncClient) -> Outbox:
    """The outbox of this test's database."""
    return Outbox(database, client)


def endpoint(url: str, **fields: object) -> WebhookEndpointConfig:
    """One endpoint of the configuration."""
    return WebhookEndpointConfig.model_validate({"url": url, "secret": SECRET, **fields})


@pytest.fixture
def to() -> Callable[..., WebhookEndpointConfig]:
    """Makes an endpoint: `to(url, events=…, tenant=…)`."""
    return endpoint
