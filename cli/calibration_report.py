"""What a calibration found, as a table on the terminal and as a drawing of quality against cost."""

from html import escape
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from penstock.errors import InvalidRequest
from penstock.routing.lessons import Lesson

_WIDTH, _HEIGHT, _EDGE = 640, 400, 60
_POINTS = 200


def show(lesson: Lesson, console: Console) -> None:
    """The table, and in a sentence what it comes to."""
    policy, report = lesson.policy, lesson.policy.artefact.report
    table = Table(title=f"{policy.kind}: {policy.cheap} or {policy.strong}, {lesson.used} questions")
    for name in ("", "quality kept", "95 %", "cost", "95 %", "US dollars per 1,000", "strong calls"):
        table.add_column(name, justify="left" if not name else "right")
    at = report["at_threshold"]
    _row(table, lesson, "cheap only", report["cheap_only"], calls="0 %")
    _row(table, lesson, f"calibrated for {policy.artefact.target:.1%}", at, calls=f"{at['strong_calls']:.1%}")
    _row(table, lesson, "random mix of that quality", report["random_mix"])
    _row(table, lesson, "oracle", report["oracle"])
    _row(table, lesson, "strong only", report["strong_only"], calls="100 %")
    console.print(table)
    for what, count in lesson.left_out.items():
        console.print(f"{count} questions were left out: no {what}", markup=False, highlight=False)
    low, high = report["saving_interval"]
    console.print(
        f"{report['verdict']} (95 %: {low:.1%} to {high:.1%} of the strong model's cost)", markup=False, highlight=False
    )


def _row(table: Table, lesson: Lesson, name: str, found: dict[str, Any], *, calls: str = "") -> None:
    table.add_row(
        name,
        f"{found['quality']:.1%}",
        _interval(found.get("quality_interval")),
        f"{found['cost']:.1%}",
        _interval(found.get("cost_interval")),
        f"{1000 * found['cost'] * lesson.strong_cost:.4f}",
        calls,
    )


def _interval(found: list[float] | None) -> str:
    return f"{found[0]:.1%} to {found[1]:.1%}" if found else ""


def draw(lesson: Lesson, path: Path, title: str) -> None:
    """The curve as SVG.

    Raises:
        InvalidRequest: the file cannot be written.
    """
    try:
        path.write_text(drawing(lesson, title), "utf-8")
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be written: {error}") from error


def drawing(lesson: Lesson, title: str) -> str:
    """Quality by cost, from cheap only to strong only, beside a random mix; both as shares of strong only."""
    curve, report = lesson.curve, lesson.policy.artefact.report
    qualities, costs = [float(q) for q in curve.quality], [float(c) for c in curve.cost]
    lowest, highest, right = min(qualities), max(qualities), max(costs)
    tall = (highest - lowest) or 1.0

    def place(cost: float, quality: float) -> tuple[float, float]:
        x = _EDGE + cost / right * (_WIDTH - 2 * _EDGE)
        return x, _HEIGHT - _EDGE - (quality - lowest) / tall * (_HEIGHT - 2 * _EDGE)

    def line(points: list[tuple[float, float]], style: str) -> str:
        return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" {style}/>'

    def word(at: tuple[float, float], text: str, style: str = "") -> str:
        return f'<text x="{at[0]:.1f}" y="{at[1]:.1f}" {style}>{escape(text)}</text>'

    every = max(len(costs) // _POINTS, 1)
    points = [place(c, q) for c, q in zip(costs, qualities, strict=True)]
    ends = [place(report["cheap_only"]["cost"], report["cheap_only"]["quality"]), place(1.0, 1.0)]
    at = place(report["at_threshold"]["cost"], report["at_threshold"]["quality"])
    oracle = place(report["oracle"]["cost"], report["oracle"]["quality"])
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="white"/>',
        word((_EDGE, 20), title, 'font-size="13"'),
        word((_WIDTH / 2, _HEIGHT - 14), "cost, share of strong only", 'text-anchor="middle"'),
        word((14, _EDGE - 16), "quality, share of strong only"),
        *[word(place(tick / 5, lowest), f"{tick / 5:.0%}", 'dy="18" text-anchor="middle"') for tick in _ticks(right)],
        *[
            word(place(0, quality), f"{quality:.1%}", 'dx="-6" dy="4" text-anchor="end"')
            for quality in sorted({lowest, highest})
        ],
        line(ends, 'stroke="#888" stroke-dasharray="5 4"'),
        line([*points[::every], points[-1]], 'stroke="#1b6ca8" stroke-width="2"'),
        f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="5" fill="#c4501b"/>',
        word(at, "chosen", 'dx="8" dy="14" fill="#c4501b"'),
        f'<circle cx="{oracle[0]:.1f}" cy="{oracle[1]:.1f}" r="3" fill="#2e7d4f"/>',
        word(oracle, "oracle", 'dx="6" dy="-6" fill="#2e7d4f"'),
        word(ends[0], "cheap only", 'dx="4" dy="14" fill="#888"'),
    ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _ticks(right: float) -> range:
    return range(int(right * 5) + 1)
