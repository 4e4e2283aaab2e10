"""What a routing bench found: a table on the terminal, rows for JSON, and cost-quality curves as drawings."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from load.routing_engine import Replay
from load.routing_measure import Measured
from penstock.routing.calibration import Goal
from penstock.routing.curve import Curve

_WIDTH, _HEIGHT, _EDGE = 640, 400, 56
_COLOURS = ("#1b6ca8", "#c4501b", "#2e7d4f", "#7a4fa3", "#a07800")
#: points drawn of a curve
_POINTS = 200


def show(found: list[Measured], goal: Goal) -> None:
    """The table, and what the pairs of agreement have in common."""
    table = Table(title=f"Routing on questions not learnt from (target {goal.target:.1%} + {goal.margin:.1%} margin)")
    for name in ("pair", "policy", "n", "APGR", "AUC", "95 %: cost / calls", "99 %: cost / calls", "random 99 %",
                 "decided: quality", "cost", "saves"):  # fmt: skip
        table.add_column(name, overflow="fold")
    for measured in found:
        table.add_row(*_cells(measured))
    Console(width=200).print(table)
    for line in _together(found):
        Console(width=200).print(line)


def show_replays(replays: list[Replay]) -> None:
    """What the engine did beside what was computed, and the first differences."""
    if not replays:
        return
    table = Table(title="The same through `penstock up`, recorded answers replayed over HTTP")
    for name in ("pair", "decides", "n", "strong calls", "US dollars paid", "computed", "decisions and costs"):
        table.add_column(name, overflow="fold")
    for one in replays:
        equal = "equal" if not one.differences else f"{len(one.differences)} differ"
        paid, computed = f"{one.cost:.6f}", f"{one.cost_computed:.6f}"
        table.add_row(one.pair, one.decides, str(one.questions), str(one.strong_calls), paid, computed, equal)
    console = Console(width=200)
    console.print(table)
    for one in replays:
        for difference in one.differences[:3]:
            console.print(f"{one.pair}: {difference}")


def replay_row(one: Replay) -> dict[str, Any]:
    """As JSON holds it."""
    return {**asdict(one), "policy": "replayed through the engine", "equal": not one.differences}


def row(measured: Measured) -> dict[str, Any]:
    """As JSON holds it."""
    return {
        "pair": measured.pair,
        "policy": measured.policy,
        "questions": measured.questions,
        **measured.figures,
        "curve": _thinned(measured.curve) if measured.curve is not None else None,
    }


def draw(found: list[Measured], folder: Path) -> list[Path]:
    """One drawing per pair that has curves."""
    folder.mkdir(exist_ok=True)
    by_pair: dict[str, list[Measured]] = defaultdict(list)
    for measured in found:
        if measured.curve is not None:
            by_pair[measured.pair].append(measured)
    paths = []
    for pair, several in by_pair.items():
        path = folder / f"{''.join(sign if sign.isalnum() or sign in '-.' else '_' for sign in pair)}.svg"
        path.write_text(_drawing(pair, several), "utf-8")
        paths.append(path)
    return paths


def _cells(measured: Measured) -> list[str]:
    figures = measured.figures
    decided = figures.get("as_decided")
    at = [figures["read_off_curve"][target] for target in ("95%", "99%")]
    interval = figures.get("apgr_interval", (0, 0))
    return [
        measured.pair,
        measured.policy,
        str(measured.questions),
        f"{figures['apgr']:.3f} ({interval[0]:.2f} to {interval[1]:.2f})" if "apgr" in figures else "no gap",
        f"{figures['auc_cheap_right']:.3f}" if "auc_cheap_right" in figures else "",
        *[f"{point['cost']:.1%} / {point['strong_calls']:.1%}" for point in at],
        f"{at[1]['random_mix_cost']:.1%}",
        f"{decided['quality']:.2%}" if decided else "",
        f"{decided['cost']:.1%}" if decided else "",
        f"{figures['saves_in_parts']} of {len(figures['verdicts'])}" if "verdicts" in figures else "",
    ]


def _together(found: list[Measured]) -> Iterator[str]:
    """What the pairs of agreement have in common: all of them, and those that a user would choose."""
    pairs = [measured for measured in found if measured.policy == "agreement"]
    chosen = [measured for measured in pairs if not measured.figures["beaten"]]
    for name, some in (("all pairs", pairs), ("pairs without a model that a cheaper one beats", chosen)):
        rows = [measured.figures["as_decided"] for measured in some]
        if rows:
            qualities, costs, calls = ([each[key] for each in rows] for key in ("quality", "cost", "strong_calls"))
            yield (
                f"agreement, {name}: {len(rows)}, quality {np.mean(qualities):.2%} (least {min(qualities):.2%}), "
                f"cost {np.mean(costs):.1%}, strong calls {np.mean(calls):.1%}"
            )


def _thinned(drawn: Curve) -> dict[str, list[float]]:
    places = np.unique(np.linspace(0, len(drawn.cost) - 1, _POINTS).astype(int))
    return {
        name: [round(float(value), 5) for value in getattr(drawn, name)[places]]
        for name in ("calls", "cost", "quality")
    }


def _drawing(pair: str, several: list[Measured]) -> str:
    lowest = min(float(measured.curve.quality.min()) for measured in several if measured.curve is not None)
    highest = max(float(measured.curve.quality.max()) for measured in several if measured.curve is not None)
    right = max(float(measured.curve.cost.max()) for measured in several if measured.curve is not None)
    cheap = several[0].figures["cheap_only"]

    def place(cost: float, quality: float) -> str:
        x = _EDGE + cost / right * (_WIDTH - 2 * _EDGE)
        y = _HEIGHT - _EDGE - (quality - lowest) / (highest - lowest) * (_HEIGHT - 2 * _EDGE)
        return f"{x:.1f},{y:.1f}"

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_EDGE}" y="20" font-size="13">{escape(pair)}</text>',
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 12}" text-anchor="middle">cost, share of strong only</text>',
        f'<text x="14" y="{_EDGE - 14}">quality, share of strong only</text>',
    ]
    for step in np.arange(0, right + 0.01, 0.2):
        x, y = place(float(step), lowest).split(",")
        lines.append(f'<text x="{x}" y="{float(y) + 18:.1f}" text-anchor="middle">{step:.0%}</text>')
    for quality in (lowest, 0.95, 0.99, 1.0):
        if lowest <= quality <= highest:
            left, end = place(0, quality), place(right, quality)
            x, y = left.split(",")
            lines.append(f'<polyline points="{left} {end}" stroke="#ddd" fill="none"/>')
            lines.append(f'<text x="{float(x) - 6:.1f}" y="{float(y) + 4:.1f}" text-anchor="end">{quality:.0%}</text>')
    ends = f"{place(cheap['cost'], cheap['quality'])} {place(1, 1)}"
    lines.append(f'<polyline points="{ends}" stroke="#888" stroke-dasharray="5 4" fill="none"/>')
    legend = [("random mix", "#888")]
    for measured, colour in zip(several, _COLOURS, strict=False):
        assert measured.curve is not None
        thin = _thinned(measured.curve)
        points = " ".join(place(*point) for point in zip(thin["cost"], thin["quality"], strict=True))
        lines.append(f'<polyline points="{points}" stroke="{colour}" stroke-width="2" fill="none"/>')
        legend.append((measured.policy, colour))
    for number, (name, colour) in enumerate(legend):
        y = _HEIGHT - _EDGE - 14 - 16 * number
        lines.append(f'<text x="{_WIDTH - _EDGE}" y="{y}" text-anchor="end" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
