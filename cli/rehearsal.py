"""Where the lines of a file would go, and what that is expected to come to. Nothing is submitted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.expected import Expected, spanned
from penstock.errors import InvalidRequest

if TYPE_CHECKING:
    from cli.client import PenstockClient

#: requests of one call to the API, and bytes of the lines that they may have
_PAGE, _PAGE_BYTES = 500, 8_000_000


def rehearse(penstock: "PenstockClient", file: Path, endpoint: str) -> None:
    """Print what a file is expected to come to: its mix of models, tokens and cost."""
    expected = Expected()
    for _, told in rehearsed(penstock, file, endpoint, None):
        expected.add(told)
    console = wide_console()
    table = Table("model", "requests", "tokens", "US dollars")
    for row in expected.rows():
        table.add_row(*map(Text, row))
    console.print(table)
    console.print(f"{expected.requests:,} requests, expected to cost {spanned(expected.cost, '${:,.4f}')} in all.")
    for name, share in expected.models.items():
        if share.unpriced:
            console.print(f"{share.unpriced:,} of them at {name}, whose price is unknown: not counted.", markup=False)
    for name, known in expected.escalating.items():
        how = "goes on as often as it lately did" if known else "has no history: how often it goes on is not known"
        console.print(f"{name} asks further models while an answer is not trusted; it {how}.", markup=False)
    for message, count in expected.refused.items():
        console.print(f"{count:,} would be refused: {message}", markup=False)
    console.print("Tokens are estimated; nothing was submitted.")


def rehearsed(
    penstock: "PenstockClient", file: Path, endpoint: str, model: str | None
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each line of a file, and what the API says of it."""
    page: list[dict[str, Any]] = []
    size = 0
    for number, text in _texts(file):
        line = _line(number, text, model)
        page.append(line)
        size += len(text)
        if len(page) == _PAGE or size > _PAGE_BYTES:
            yield from _asked(penstock, page, endpoint)
            page, size = [], 0
    if page:
        yield from _asked(penstock, page, endpoint)


def _asked(
    penstock: "PenstockClient", page: list[dict[str, Any]], endpoint: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    body = {"endpoint": endpoint, "requests": [line["body"] for line in page]}
    yield from zip(page, penstock.post("/v1/jobs/route", body)["data"], strict=True)


def _texts(file: Path) -> Iterator[tuple[int, bytes]]:
    with file.open("rb") as lines:
        for number, text in enumerate(lines, 1):
            if text.strip():
                yield number, text


def _line(number: int, text: bytes, model: str | None) -> dict[str, Any]:
    """A line with a `custom_id` and a body.

    Raises:
        InvalidRequest: it has none.
    """
    try:
        line = json.loads(text.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise InvalidRequest(f"line {number} is not JSON") from None
    body = line.get("body") if isinstance(line, dict) else None
    if not isinstance(body, dict) or not isinstance(line.get("custom_id"), str):
        raise InvalidRequest(f"line {number} has no `custom_id` and `body`")
    return {**line, "body": body if model is None else {**body, "model": model}}


def wide_console() -> Console:
    """As wide as the terminal; a pipe gets whole lines."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)
