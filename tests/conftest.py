"""Servers for every test that wants real ones: the embedded set always, the external set by its own mark."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest
import servers as test_servers
import structlog
from servers import Servers
from xdist.scheduler import LoadScopeScheduling

from penstock.redis import Redis, connect
from penstock.store.database import Database

# how long an example takes is the machine's business
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# as the product has it: drawing every variable of every frame takes seconds for each error a test provokes
_plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _plain])


class _ByFile(LoadScopeScheduling):
    """A file's tests run in one process, in order, since they share stacks; those against external servers all in one.

    An external server is one for everybody: two stacks on it would answer each other's rings and empty each other's
    Redis. The longest come first, so that all processes end at about the same time.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        return "external" if "external" in test.partition("[")[2] else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    config.option.loadscopereorder = False  # by number of tests; ours is by how long they take
    return _ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first: the external set, then whatever starts processes; within these as collected."""
    items.sort(key=lambda item: (item.get_closest_marker("external") is None, "acceptance" not in item.path.parts))


@pytest.fixture(scope="session")
def embedded_servers() -> Iterator[Servers]:
    """One Postgres and one Redis, embedded, for all tests of this process."""
    with test_servers.embedded() as found:
        yield found


@pytest.fixture(scope="session", params=["embedded", pytest.param("external", marks=pytest.mark.external)])
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """A real Postgres and a real Redis."""
    if request.param == "embedded":
        yield request.getfixturevalue("embedded_servers")
        return
    with test_servers.external() as found:
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
