"""Everything in the foreground, one supervised process per role: what `penstock up` runs."""

import asyncio
import sys
import urllib.error
import urllib.request
from pathlib import Path

import typer

from penstock.embedded.child import Child, StopOrder
from penstock.embedded.stack import EmbeddedStack
from penstock.embedded.supervisor import StopRequested, Supervisor
from penstock.embedded.urls import Urls
from penstock.settings import child_environment, environment
from penstock.startup import SECRET_KEY_FILE, kept_key
from penstock.store import schema
from penstock.store.database import POOL_SIZE

#: connections left for migrations and people
_SPARE_CONNECTIONS = 20
_READY_SECONDS = 30.0
#: longer than a worker's own drain
_STOP_SECONDS = 30.0


class WholeStack:
    """One run of the whole stack."""

    def __init__(self, config: Path, data: Path, host: str, port: int, workers: int, flower_port: int | None) -> None:
        self._config = config
        self._data = data
        self._host = host
        self._port = port
        self._workers = workers
        self._flower_port = flower_port

    def run_until_stopped(self) -> int:
        """Start everything and wait for a signal, or for a child that will not live; returns the exit code (0 or 1)."""
        try:
            return asyncio.run(self._run())
        except StopRequested:
            return 0

    async def _run(self) -> int:
        """Start in order, print where everything listens, wait for the end."""
        connections = (
            POOL_SIZE["api"] + POOL_SIZE["dispatcher"] + (POOL_SIZE["worker"] + 1) * (self._workers + 1)
        ) + _SPARE_CONNECTIONS
        with EmbeddedStack(
            self._data,
            database_url=environment("PENSTOCK_DATABASE_URL"),
            redis_url=environment("PENSTOCK_REDIS_URL"),
            broker_url=environment("PENSTOCK_BROKER_URL"),
            max_connections=connections,
        ) as stack:
            async with Supervisor(self._data) as supervisor:
                urls = await stack.start(supervisor)
                before, now = await asyncio.to_thread(schema.migrate, urls.database)
                if before != now:
                    typer.echo(f"Database schema: {before or 'none'} → {now}")
                for child in self._children(urls):
                    await supervisor.start(child)
                await self._wait_until_ready()
                self._announce()
                return await supervisor.run_until_stopped()

    def _children(self, urls: Urls) -> list[Child]:
        changes = {
            **urls.environment(),
            "PENSTOCK_CONFIG": str(self._config),
            "PENSTOCK_ADMIN_KEY": self._admin_key(),
            "PENSTOCK_SECRET_KEY": environment("PENSTOCK_SECRET_KEY") or kept_key(self._data / SECRET_KEY_FILE),
        }
        variables = child_environment(changes)

        def role(name: str, order: StopOrder, *arguments: str) -> Child:
            command = [sys.executable, "-m", *arguments]
            return Child(name, command, order, environment=variables, stop_timeout=_STOP_SECONDS)

        def worker(name: str, lane: str) -> Child:
            return role(name, StopOrder.WORKER, "workers", "worker", "--lane", lane, "--name", name)

        children = [role("dispatcher", StopOrder.DISPATCHER, "workers", "dispatcher")]
        children += [worker(f"bulk-{number}", "bulk") for number in range(1, self._workers + 1)]
        children.append(worker("interactive", "interactive"))
        children.append(role("api", StopOrder.API, "api", "--host", self._host, "--port", str(self._port)))
        if self._flower_port is not None:
            address = ("--host", self._host, "--port", str(self._flower_port))
            children.append(role("flower", StopOrder.FLOWER, "workers", "flower", *address))
        return children

    def _admin_key(self) -> str:
        """The operator's key, else one of our own making, kept in the data folder."""
        return environment("PENSTOCK_ADMIN_KEY") or kept_key(self._data / "admin_key", "sk-penstock-admin-")

    async def _wait_until_ready(self) -> None:
        deadline = asyncio.get_running_loop().time() + _READY_SECONDS
        while not await asyncio.to_thread(_is_ready, f"http://{_reachable(self._host)}:{self._port}/readyz"):
            if asyncio.get_running_loop().time() > deadline:
                typer.echo(f"Not every part is ready yet; see /readyz and the logs in {self._data / 'logs'}", err=True)
                return
            await asyncio.sleep(0.1)

    def _announce(self) -> None:
        typer.echo(f"Penstock is ready.\n  API      http://{self._host}:{self._port}/v1   (OpenAI base URL)")
        if self._flower_port is not None:
            typer.echo(f"  Flower   http://{self._host}:{self._flower_port}")
        typer.echo(f"  Data     {self._data}   (logs in {self._data / 'logs'})")
        if environment("PENSTOCK_ADMIN_KEY") is None:
            typer.echo(f"  Admin key in {self._data / 'admin_key'}")
        typer.echo("Ctrl-C stops everything.")
        sys.stdout.flush()


def _reachable(host: str) -> str:
    return "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 — compared, not bound


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 — our own address
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
