"""The single roles: one process each. The command becomes the role's own module, so no door imports another."""

import os
import sys
from pathlib import Path
from typing import Annotated, get_args

import typer

from penstock.embedded.watch import watch_supervisor
from penstock.settings import child_environment, config_path, load_config
from penstock.startup import data_folder, secret_key_environment, server_urls
from simulator.options import SimulatorOptions, WireFormat
from simulator.recordings import Recordings

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Configuration file (default: PENSTOCK_CONFIG).")]
DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder of the embedded stack to join.")]
HostOption = Annotated[str, typer.Option(help="Address to listen on.")]


def api(config: ConfigOption = None, data: DataOption = None, host: HostOption = "127.0.0.1", port: int = 8000) -> None:
    """Run the HTTP API."""
    _become(config, data, "api", "--host", host, "--port", str(port))


def worker(
    config: ConfigOption = None,
    data: DataOption = None,
    lane: Annotated[str, typer.Option(help="Which lane to serve: bulk or interactive.")] = "bulk",
    name: Annotated[str | None, typer.Option(help="Name shown in Flower (default: lane and process id).")] = None,
) -> None:
    """Run one worker process."""
    if lane not in ("bulk", "interactive"):
        raise typer.BadParameter("must be 'bulk' or 'interactive'", param_hint="--lane")
    _become(config, data, "workers", "worker", "--lane", lane, *(["--name", name] if name else []))


def dispatcher(config: ConfigOption = None, data: DataOption = None) -> None:
    """Run the dispatcher: fair order, windows, sweeps, webhooks. Several may run; one leads."""
    _become(config, data, "workers", "dispatcher")


def flower(
    config: ConfigOption = None, data: DataOption = None, host: HostOption = "127.0.0.1", port: int = 5555
) -> None:
    """Run Flower, the page of queues, workers and slices."""
    _become(config, data, "workers", "flower", "--host", host, "--port", str(port))


def migrate(data: DataOption = None) -> None:
    """Bring the database schema up to date."""
    from penstock.store import schema

    before, now = schema.migrate(server_urls(data).database)
    typer.echo(f"schema {now}" + (" (already up to date)" if before == now else f" (was {before or 'empty'})"))


def simulate(  # noqa: PLR0913, PLR0917 — one option per knob of the simulator
    wire_format: Annotated[str, typer.Option(help=f"One of {', '.join(get_args(WireFormat))}.")] = "openai",
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 picks a free port.")] = 9000,
    api_key: Annotated[str | None, typer.Option(help="The only key it accepts (default: any).")] = None,
    requests_per_minute: int | None = None,
    tokens_per_minute: int | None = None,
    burst_seconds: Annotated[float, typer.Option(help="Seconds of quota let through at once.")] = 60.0,
    charge: Annotated[str, typer.Option(help="Charge quota by estimate (before) or actual (after).")] = "estimate",
    latency_ms: float = 0.0,
    latency_distribution: Annotated[str, typer.Option(help="constant or lognormal.")] = "constant",
    latency_sigma: float = 0.5,
    time_to_first_token_ms: float | None = None,
    tokens_per_second: float | None = None,
    answer_tokens: int = 40,
    error_rate: float = 0.0,
    overload_rate: float = 0.0,
    hang_rate: float = 0.0,
    reset_rate: float = 0.0,
    cut_rate: float = 0.0,
    seed: int = 0,
    recorded: Annotated[Path | None, typer.Option(help="Give these recorded answers and no others.")] = None,
) -> None:
    """Run a simulated provider: real wire format, real limits, faults on request. For demos, tests and load."""
    knobs = dict(locals())
    watch_supervisor()
    try:
        options = SimulatorOptions(**knobs | {"recorded": Recordings.read(recorded) if recorded else None})
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    from simulator.server import run as run_simulator

    run_simulator(options)


def _become(config: Path | None, data: Path | None, module: str, *arguments: str) -> None:
    """Check what an operator can get wrong, then let the role take over this process."""
    path = config_path(config).resolve()
    load_config(path)
    variables = {
        **server_urls(data).environment(),
        **secret_key_environment(data_folder(data)),
        "PENSTOCK_CONFIG": str(path),
    }
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], child_environment(variables))  # noqa: S606
