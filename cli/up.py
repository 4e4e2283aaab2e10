"""`penstock up`: everything in the foreground, one supervised process per role."""

from pathlib import Path
from typing import Annotated

import typer

from cli.roles import ConfigOption, HostOption
from penstock.settings import config_path, load_config
from penstock.startup import data_folder, require_free_port, secret_keys


def up(
    config: ConfigOption = None,
    data: Annotated[Path | None, typer.Option("--data", help="Data folder.")] = None,
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the API.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Bulk worker processes.")] = 2,
    flower_port: Annotated[int, typer.Option(help="Port of Flower.")] = 5555,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Run without Flower.")] = False,
) -> None:
    """Run everything: database, Redis, API, dispatcher, workers, Flower. A server whose URL is set is used as it is."""
    path = config_path(config).resolve()
    load_config(path)
    secret_keys()
    require_free_port(host, port, "--port")
    if not no_flower:
        require_free_port(host, flower_port, "--flower-port")
    from cli.whole_stack import WholeStack

    flower = None if no_flower else flower_port
    raise typer.Exit(WholeStack(path, data_folder(data), host, port, workers, flower).run_until_stopped())
