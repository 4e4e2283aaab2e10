"""The user's side: submit a file, watch it, fetch its results. Talks to a running Penstock and to nothing else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from cli import live_results
from cli.progress import TERMINAL, BatchProgress, expectation
from cli.rehearsal import rehearse
from penstock.errors import Conflict, InvalidRequest, PenstockError, Unavailable

if TYPE_CHECKING:
    from cli.client import PenstockClient

#: seconds between two looks at a batch
_POLL_SECONDS = 1.0
#: seconds for which a watch puts up with a server that is away: it may be restarting
_PATIENCE_SECONDS = 60.0
#: for how long `submit` waits to hear when the batch will be done, and how often it asks
_EXPECTATION_SECONDS, _EXPECTATION_POLL_SECONDS = 6.0, 0.5
_ERRORS_SHOWN = 10

UrlOption = Annotated[
    str | None, typer.Option("--url", help="Where Penstock is (default: PENSTOCK_URL, else http://127.0.0.1:8000).")
]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="API key (default: PENSTOCK_API_KEY, else PENSTOCK_ADMIN_KEY).")
]


def submit(
    file: Annotated[Path, typer.Argument(help="JSONL, one request a line.", exists=True, dir_okay=False)],
    endpoint: Annotated[str, typer.Option(help="What every line asks for.")] = "/v1/chat/completions",
    window: Annotated[str, typer.Option(help="Hours in which it must be done; the rest then expires.")] = "24h",
    priority: Annotated[int, typer.Option(help="Its place among your own work: the lowest goes first.")] = 0,
    watch_it: Annotated[bool, typer.Option("--watch", help="Stay and show the progress.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Submit nothing: say what each model would get, and what it would cost.")
    ] = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Submit a file of requests as a batch; prints the batch's id, and when it is expected to be done."""
    with reached(url, key) as penstock:
        if dry_run:
            rehearse(penstock, file, endpoint)
            return
        uploaded = penstock.upload(file)
        body = {"input_file_id": uploaded["id"], "endpoint": endpoint, "completion_window": window}
        batch = penstock.post("/v1/batches", body | ({"priority": priority} if priority else {}))
        typer.echo(batch["id"])
        if watch_it:
            _follow(penstock, batch["id"])
        else:
            _tell_expectation(penstock, batch)


def watch(batch_id: str, url: UrlOption = None, key: KeyOption = None) -> None:
    """Show a batch until it ends; exit status 1 unless it completed."""
    with reached(url, key) as penstock:
        _follow(penstock, batch_id)


def results(
    batch_id: str,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write answers here, and errors beside it (default: all to stdout)."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Do not wait for the end: write lines, numbered, as they finish.")
    ] = False,
    after: Annotated[
        int, typer.Option(min=0, help="With --follow: go on after this line's number; -o is then appended to.")
    ] = 0,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Fetch the results of a batch that has ended, or follow one that runs."""
    with reached(url, key) as penstock:
        if after and not follow:
            raise InvalidRequest("--after goes with --follow")
        if follow:
            live_results.write(penstock, batch_id, output, after)
        batch = penstock.get(_path(batch_id))
        if batch["status"] not in TERMINAL:
            raise Conflict(f"{batch_id} is {batch['status']}: results come when it has ended (`penstock watch`)")
        if batch["status"] == "failed":
            raise InvalidRequest(f"{batch_id} was refused: {_first_error(batch)}")
        if follow:
            return
        files = [(batch["output_file_id"], output)]
        if batch["error_file_id"]:
            files.append((batch["error_file_id"], output and output.with_suffix(f".errors{output.suffix}")))
        for file_id, path in files:
            if file_id:
                _save(penstock, file_id, path)


def cancel(batch_id: str, url: UrlOption = None, key: KeyOption = None) -> None:
    """End a batch early; what was answered is kept."""
    with reached(url, key) as penstock:
        typer.echo(penstock.post(f"{_path(batch_id)}/cancel")["status"])


@contextmanager
def reached(url: str | None, key: str | None, *, admin: bool = False) -> Iterator["PenstockClient"]:
    """A client; what goes wrong with it ends the command with one line and exit status 1."""
    from cli.client import connect

    try:
        with connect(url, key, admin=admin) as client:
            yield client
    except (PenstockError, OSError) as error:
        message = error.message if isinstance(error, PenstockError) else str(error)
        typer.echo(f"penstock: {message}", err=True)
        raise typer.Exit(1) from None


def until_ended(penstock: "PenstockClient", batch_id: str) -> dict[str, Any]:
    """The batch when it has ended, with a progress bar until then."""
    batch = penstock.get(_path(batch_id))
    with BatchProgress(Console(stderr=True)) as progress:
        progress.update(batch)
        while batch["status"] not in TERMINAL:
            time.sleep(_POLL_SECONDS)
            batch = _look(penstock, batch_id)
            progress.update(batch)
    return batch


def _follow(penstock: "PenstockClient", batch_id: str) -> None:
    batch = until_ended(penstock, batch_id)
    if batch["status"] == "failed":
        for error in ((batch["errors"] or {}).get("data") or [])[:_ERRORS_SHOWN]:
            Console(stderr=True).print(f"  {_error_line(error)}", markup=False, highlight=False)
        raise InvalidRequest(f"{batch_id} was refused: {_first_error(batch)}")
    if batch["status"] != "completed":
        raise Conflict(f"{batch_id} is {batch['status']}; what was answered can be had with `penstock results`")


def _tell_expectation(penstock: "PenstockClient", batch: dict[str, Any]) -> None:
    """Say when a new batch will be done, as soon as its file was read; after some seconds nobody knows yet."""
    deadline = time.monotonic() + _EXPECTATION_SECONDS
    while "estimated_completion_at" in batch and batch["status"] not in TERMINAL and time.monotonic() < deadline:
        if batch["estimated_completion_at"] is not None:
            typer.echo(expectation(batch), err=True)
            if batch["warning"]:
                typer.echo(f"warning: {batch['warning']}", err=True)
            return
        time.sleep(_EXPECTATION_POLL_SECONDS)
        batch = _look(penstock, batch["id"])


def _look(penstock: "PenstockClient", batch_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return penstock.get(_path(batch_id))
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)


def _path(batch_id: str) -> str:
    return f"/v1/batches/{quote(batch_id, safe='')}"


def _save(penstock: "PenstockClient", file_id: str, path: Path | None) -> None:
    if path is None:
        for piece in penstock.download(file_id):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    # whole or not at all: a file that is there is never half a result
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            for piece in penstock.download(file_id):
                file.write(piece)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    typer.echo(str(path), err=True)


def _first_error(batch: dict[str, Any]) -> str:
    errors = (batch["errors"] or {}).get("data") or []
    return _error_line(errors[0]) if errors else "no reason was given"


def _error_line(error: dict[str, Any]) -> str:
    return (f"line {error['line']}: " if error.get("line") else "") + str(error.get("message"))
