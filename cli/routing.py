"""`penstock route`: where a prompt, or each line of a file, would go."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from cli.rehearsal import rehearsed, wide_console
from cli.user import KeyOption, UrlOption, reached
from penstock.errors import AUTO

#: characters of a prompt that are shown
_SHOWN = 40


def route(
    what: Annotated[str, typer.Argument(help="A prompt, or a JSONL file of a batch.", metavar="FILE|PROMPT")],
    model: Annotated[
        str | None, typer.Option(help="The route or model to ask for (default: of a line its own, of a prompt `auto`).")
    ] = None,
    endpoint: Annotated[str, typer.Option(help="Whose bodies the lines of a file hold.")] = "/v1/chat/completions",
    explain: Annotated[bool, typer.Option("--explain", help="Say why, and what was out.")] = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Say where a prompt, or each line of a file, would go; nothing is stored and no model is asked."""
    with reached(url, key) as penstock:
        file = Path(what)
        if _is_file(file):
            found = [(line["custom_id"], told) for line, told in rehearsed(penstock, file, endpoint, model)]
        else:
            told = penstock.post("/v1/jobs/route", {"model": model or AUTO, "input": what})["data"][0]
            found = [(what if len(what) <= _SHOWN else f"{what[: _SHOWN - 1]}…", told)]
    if explain:
        wide_console().print(_explained(found))
        return
    for name, told in found:
        typer.echo(f"{name}\t{_place(told)}")


def _explained(found: list[tuple[str, dict[str, Any]]]) -> Table:
    table = Table("request", "asked for", "goes to", "policy", "US dollars", "why", "out")
    for name, told in found:
        decision = told.get("routing") or {}
        error = told["error"]
        cells = (
            name,
            told["model"] or "",
            _place(told),
            decision.get("policy", ""),
            "" if error else "unknown" if told["cost"] is None else f"{told['cost']:.6f}",
            error["message"] if error else decision.get("reason", "it was named"),
            "\n".join(f"{model}: {why}" for model, why in decision.get("excluded", {}).items()),
        )
        # as they are: what a prompt or a name has in brackets is no markup
        table.add_row(*map(Text, cells))
    return table


def _place(told: dict[str, Any]) -> str:
    return "refused" if told["error"] else " > ".join(told["order"])


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        # a prompt that is no possible name
        return False
