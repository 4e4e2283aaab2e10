"""A real Valkey of these tests' own, on a socket; nothing listens on a port."""

import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest
from bucket_model import nothing_spent
from valkey_server import Valkey

from penstock.limits.quota import Quota
from penstock.redis import Redis, connect


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="pen") as folder:
        server = Valkey(folder)
        server.start()
        yield server
        server.kill()


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    """For a test that kills it."""
    with tempfile.TemporaryDirectory(prefix="pen") as folder:
        server = Valkey(folder)
        server.start()
        yield server
        server.kill()


@pytest.fixture
async def redis(valkey: Valkey) -> AsyncIterator[Redis]:
    client = connect(valkey.url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def quota(redis: Redis) -> AsyncIterator[Quota]:
    one = Quota(redis, nothing_spent)
    yield one
    await one.close()
