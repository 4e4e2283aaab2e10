"""`penstock savings`: what caches saved. Needs a key with the scope `admin`."""

import sys

from rich.console import Console
from rich.table import Table

from cli.user import KeyOption, UrlOption, reached


def savings(url: UrlOption = None, key: KeyOption = None) -> None:
    """Show what caches saved each tenant at each model, in US dollars; needs the admin key."""
    with reached(url, key, admin=True) as penstock:
        rows = penstock.get("/admin/savings")["data"]
    table = Table("tenant", "model", "answers", "kept prompts", "keeping prompts", "total", box=None)
    for row in rows:
        amounts = (row["answers_usd"], row["kept_prompts_usd"], -row["keeping_prompts_usd"], row["total_usd"])
        table.add_row(row["tenant"], row["model"], *(f"{amount:.4f}" for amount in amounts))
    table.add_row("all", "", "", "", "", f"{sum(row['total_usd'] for row in rows):.4f}")
    Console(width=None if sys.stdout.isatty() else 200).print(table)
