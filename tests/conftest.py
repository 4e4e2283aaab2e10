"""Servers for every test that wants real ones: the embedded set always, the external set by its own mark."""

from collections.abc import AsyncIterator, Iterator

import pytest
import servers as test_servers
from servers import Servers

from penstock.redis import Redis, connect
from penstock.store.database import Database


@pytest.fixture(scope="session", params=["embedded", pytest.param("external", marks=pytest.mark.external)])
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """A real Postgres and a real Redis."""
    make = test_servers.embedded if request.param == "embedded" else test_servers.external
    with make() as found:
        yield found


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """An empty database with all tables, dropped afterwards."""
    url = servers.new_database()
    yield url
    servers.drop_database(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, size=10, name="test")
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def redis(servers: Servers) -> AsyncIterator[Redis]:
    """An empty Redis."""
    servers.empty_redis()
    client = connect(servers.redis, size=50)
    yield client
    await client.aclose()
