"""`penstock keys`: API keys are made, listed, replaced and revoked. Needs a key with the scope `admin`."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote, urlencode

import typer
from rich.console import Console
from rich.table import Table

from cli.user import KeyOption, UrlOption, reached

if TYPE_CHECKING:
    from cli.client import PenstockClient

app = typer.Typer(help="API keys; needs the admin key.", no_args_is_help=True)

_ROUTE = "/admin/keys"


@app.command("create")
def create(
    tenant: Annotated[str, typer.Option(help="Whose key it is.")] = "default",
    tier: Annotated[str | None, typer.Option(help="A tier of the configuration, or unlimited.")] = None,
    name: Annotated[str, typer.Option(help="A name to know it by.")] = "",
    scope: Annotated[
        list[str] | None, typer.Option(help="read, write or admin; may be given again (default: read and write).")
    ] = None,
    residency: Annotated[
        str | None, typer.Option(help="The tag of the only models that its requests may go to.")
    ] = None,
    days: Annotated[int | None, typer.Option("--expires-in-days", min=1, max=3650)] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make a key and print it; it is never shown again."""
    given = {"tier": tier, "scopes": scope, "residency": residency, "expires_in_days": days}
    body = {"tenant": tenant, "name": name} | {name: value for name, value in given.items() if value}
    with reached(url, key, admin=True) as penstock:
        _show(penstock.post(_ROUTE, body))


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Only keys of this tenant.")] = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show keys, without their secrets."""
    with reached(url, key, admin=True) as penstock:
        rows = list(_pages(penstock, tenant))
    table = Table("id", "tenant", "tier", "scopes", "residency", "name", "key", "created", "state", box=None)
    for row in rows:
        scopes, created = " ".join(row["scopes"]), f"{datetime.fromtimestamp(row['created_at'], UTC):%Y-%m-%d}"
        table.add_row(
            row["id"],
            row["tenant"],
            row["tier"],
            scopes,
            row["residency"] or "",
            row["name"],
            row["hint"],
            created,
            _state(row),
        )
    # ids are there to be copied: never cut to the width of a pipe
    Console(width=None if sys.stdout.isatty() else 200).print(table)


@app.command("revoke")
def revoke(key_id: str, url: UrlOption = None, key: KeyOption = None) -> None:
    """End a key; it is refused within seconds."""
    with reached(url, key, admin=True) as penstock:
        penstock.delete(_path(key_id))
    typer.echo(f"{key_id} revoked")


@app.command("rotate")
def rotate(
    key_id: str,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="The old key is good for 24 hours more.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make a key in the place of another and print it; the old one ends."""
    with reached(url, key, admin=True) as penstock:
        _show(penstock.post(f"{_path(key_id)}/rotate", {"keep_old_key_active_for_24_hours": keep_old}))


def _show(made: dict[str, Any]) -> None:
    """The key alone on standard output, what it is beside it."""
    place = f", data stays in {made['residency']}" if made["residency"] else ""
    told = f"{made['id']} for tenant {made['tenant']}, tier {made['tier']}, {' '.join(made['scopes'])}{place}"
    typer.echo(told, err=True)
    typer.echo(made["key"])


def _pages(penstock: "PenstockClient", tenant: str | None) -> Iterator[dict[str, Any]]:
    query = {"tenant": tenant} if tenant else {}
    while True:
        page = penstock.get(f"{_ROUTE}?{urlencode({**query, 'limit': '1000'})}")
        yield from page["data"]
        if not page["has_more"]:
            return
        query["after"] = page["last_id"]


def _path(key_id: str) -> str:
    return f"{_ROUTE}/{quote(key_id, safe='')}"


def _state(row: dict[str, Any]) -> str:
    if row["revoked_at"]:
        return "revoked"
    if row["expires_at"]:
        expires = datetime.fromtimestamp(row["expires_at"], UTC)
        return f"{'until' if expires > datetime.now(UTC) else 'expired'} {expires:%Y-%m-%d}"
    return "good"
