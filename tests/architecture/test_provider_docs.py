"""docs/providers.md tells of every wire format and vendor there is, as the rows have it."""

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import pytest

from penstock.catalogue import VENDORS, Quirks, Vendor, WireFormat

VENDOR_HEAD = "| vendor | wire format | base URL | key variable | what differs |"


@pytest.fixture(scope="module")
def page(root: Path) -> list[str]:
    return (root / "docs" / "providers.md").read_text("utf-8").splitlines()


def table(page: list[str], head: str) -> list[str]:
    """The rows of the table with this head."""
    start = page.index(head) + 2
    end = next((at for at in range(start, len(page)) if not page[at].startswith("|")), len(page))
    return page[start:end]


def test_every_wire_format_is_told_of(page: list[str]) -> None:
    rows = table(page, "| wire format | what it is | base URL, credentials |")
    assert [row.split("`")[1] for row in rows] == list(get_args(WireFormat))


def test_the_vendors_are_those_of_the_catalogue(page: list[str]) -> None:
    """When this fails, the table below is what the page should have."""
    expected = [told(VENDORS[name]) for name in sorted(VENDORS)]
    assert table(page, VENDOR_HEAD) == expected, "\n".join(["the table should be:", *expected])


def test_a_difference_is_told() -> None:
    row = VENDORS["mistral"]
    assert "calls `seed` `random_seed`" in told(row)
    assert told(row).startswith(f"| [mistral]({row.docs}) | `openai` | `{row.base_url}` | `MISTRAL_API_KEY` | no ")
    assert told(VENDORS["vllm"]).endswith("| none | |")


def told(row: Vendor) -> str:
    key = f"`{row.key_variable}`" if row.key_variable else "none"
    differs = "; ".join(differences(row.quirks))
    head = f"| [{row.name}]({row.docs}) | `{row.wire_format}` | `{row.base_url}` | {key} |"
    return f"{head} {differs} |" if differs else f"{head} |"


def differences(quirks: Quirks) -> Iterable[str]:
    default = Quirks()
    if quirks.unsupported:
        yield f"no {_listed(quirks.unsupported)}"
    if quirks.dropped:
        yield f"{_listed(quirks.dropped)} left out"
    if quirks.renamed:
        yield ", ".join(f"calls `{ours}` `{theirs}`" for ours, theirs in sorted(quirks.renamed.items()))
    if quirks.limit_field != default.limit_field:
        yield f"limit in `{quirks.limit_field}`"
    if not quirks.stream_usage:
        yield "streams tell their usage unasked"
    if quirks.required_tool_choice is None:
        yield "no tool can be demanded"
    elif quirks.required_tool_choice != default.required_tool_choice:
        yield f"a tool is demanded by `{quirks.required_tool_choice}`"
    if quirks.reasoning != default.reasoning:
        yield f"effort in `{quirks.reasoning}`"
    if quirks.reasoning_field is not None:
        yield f"earlier thoughts in `{quirks.reasoning_field}`"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
