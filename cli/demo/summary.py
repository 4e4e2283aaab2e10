"""What came of the demo against what the quotas allow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cli.demo.batch import ModelTally
from cli.demo.plan import DemoProvider
from cli.progress import money
from penstock.errors import PenstockError

#: rounding of a sum that travelled as a JSON number
_SPEND_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Used:
    """What a provider was asked for."""

    requests: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Ideal:
    """The shortest time in which a quota allows some work, and the resource that decides it."""

    seconds: float
    resource: str


def ideal(provider: DemoProvider, used: Used) -> Ideal:
    """From a full bucket at the start: what is used beyond it comes at the provider's rate. Latency is left out."""
    times = [
        (max(0.0, amount * 60 / per_minute - provider.burst_seconds), name)
        for name, amount, per_minute in (
            ("requests", used.requests, provider.requests_per_minute),
            ("tokens", used.tokens, provider.tokens_per_minute),
        )
    ]
    return Ideal(*max(times))


def spend(provider: DemoProvider, counts: ModelTally) -> float | None:
    """Dollars for the answers of one model at its configured price; None where that is the list's."""
    if provider.price is None:
        return None
    return (counts.input_tokens * provider.price[0] + counts.output_tokens * provider.price[1]) / 1e6


def check_spend(batch: dict[str, Any], spends: Sequence[float | None]) -> None:
    """Check the batch's cost against prices times tokens.

    Raises:
        PenstockError: they differ.
    """
    known = [amount for amount in spends if amount is not None]
    if len(known) < len(spends):
        return
    if batch["cost"] is None or abs(sum(known) - batch["cost"]) > _SPEND_TOLERANCE:
        raise PenstockError(f"the batch says it cost {batch['cost']} dollars, prices times tokens are {sum(known):.6f}")


def table(
    providers: Sequence[DemoProvider], models: dict[str, ModelTally], ideals: Sequence[Ideal], batch: dict[str, Any]
) -> Table:
    """One row per model, one for all."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    shown.add_column("model", no_wrap=True)
    for name in ("rows", "succeeded", "failed", "tokens\nin", "tokens\nout", "cost", "quota\nallows"):
        shown.add_column(name, justify="right", no_wrap=True)
    total = ModelTally()
    for provider, least in zip(providers, ideals, strict=True):
        counts = models[provider.model]
        cost = spend(provider, counts)
        figures = [*_numbers(counts), "" if cost is None else money(cost), f"{least.seconds:.1f} s"]
        shown.add_row(provider.model, *figures)
        for name in ("succeeded", "failed", "input_tokens", "output_tokens"):
            setattr(total, name, getattr(total, name) + getattr(counts, name))
    shown.add_section()
    longest = max(least.seconds for least in ideals)
    shown.add_row(
        "all",
        *_numbers(total),
        "unknown" if batch["cost"] is None else money(batch["cost"]),
        f"{longest:.1f} s",
        style="bold",
    )
    return shown


def facts(console: Console, lines: dict[str, str]) -> None:
    """Print lines of `name  value`."""
    grid = Table.grid(padding=(0, 2))
    for name, value in lines.items():
        grid.add_row(f"[bold]{name}[/]", value)
    console.print(grid, highlight=False)


def _numbers(counts: ModelTally) -> list[str]:
    values = (counts.rows, counts.succeeded, counts.failed, counts.input_tokens, counts.output_tokens)
    return [f"{value:,}" for value in values]
