"""A provider of each wire format in front of a server that answers with exact bytes."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from conformance.upstream import KEY, Upstream
from conformance.wires import WIRES
from conformance.wires.wire import Wire
from pydantic import SecretStr

from penstock.configuration import ProviderConfig, Timeouts
from penstock.http import make_client
from penstock.providers.base import Provider


@pytest.fixture(params=WIRES, ids=lambda wire: wire.format)
def wire(request: pytest.FixtureRequest) -> Wire:
    return request.param


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    served = Upstream()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    yield served
    server.close()


@pytest.fixture
async def connect(wire: Wire, upstream: Upstream) -> AsyncIterator[Callable[..., Provider]]:
    """Makes a provider; its keywords are time limits in seconds, and `base_url` and `headers` of the configuration."""
    made: list[Provider] = []

    def connect(base_url: str | None = None, headers: dict[str, str] | None = None, **limits: float) -> Provider:
        config = ProviderConfig(
            wire_format=wire.format,
            base_url=base_url or upstream.url + wire.base,
            api_key=SecretStr(KEY),
            headers=headers or {},
            **wire.config,
            timeouts=Timeouts(**limits),
        )
        made.append(wire.adapter("river", config, make_client(connections=10)))
        return made[-1]

    yield connect
    for provider in made:
        await provider.close()


@pytest.fixture
def provider(connect: Callable[..., Provider]) -> Provider:
    return connect()
