"""`penstock invalidate-cache`: cached answers that are served no more. Talks to a running Penstock."""

from typing import Annotated, Any

import typer

from cli.user import KeyOption, UrlOption, reached
from penstock.errors import InvalidRequest


def invalidate_cache(
    tag: Annotated[str | None, typer.Option(help="Only answers to requests with this tag.")] = None,
    model: Annotated[str | None, typer.Option(help="Only answers of this model or route.")] = None,
    older_than: Annotated[float | None, typer.Option(min=0, help="Only answers so many seconds old, or older.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All answers; where nothing else is named.")] = False,
    tenant: Annotated[
        str | None, typer.Option(help="Of this tenant (default: the key's own); needs the admin key.")
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant; needs the admin key.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Serve cached answers no more, by tag, model and age: those that match all that is named."""
    if tenant is not None and all_tenants:
        raise InvalidRequest("--tenant and --all-tenants exclude each other.")
    operator = tenant is not None or all_tenants
    given: dict[str, Any] = {"tag": tag, "model": model, "older_than_seconds": older_than, "tenant": tenant}
    body = {name: value for name, value in given.items() if value is not None} | ({"all": True} if everything else {})
    with reached(url, key, admin=operator) as penstock:
        done = penstock.post("/admin/cache/invalidate" if operator else "/v1/cache/invalidate", body)
    typer.echo(
        "The exact cache serves nothing of it within two seconds; "
        f"{done['semantic_removed']} answers left the semantic cache."
    )
