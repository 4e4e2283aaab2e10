"""Curves of hits against wrong answers, as an SVG picture."""

from collections.abc import Mapping, Sequence

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 640, 420, 60, 50
#: shares at the right and upper edge
_MOST_HITS, _MOST_WRONG = 0.8, 0.05
_COLOURS = ("#0b6e4f", "#9aa0a6", "#c77d0a", "#7a3e9d", "#1f5fbf")
_TARGETS = ((0.32, 0.007), (0.50, 0.019))


def draw(curves: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """One line a curve; the project's targets are crosses, and a curve should pass below and right of them."""
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
    ]
    for step in range(9):
        share = step / 10
        x, y = _place(share, 0)
        out.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{share * 100:.0f} %</text>')
        out.append(f'<line x1="{x}" y1="{y}" x2="{x}" y2="20" stroke="#eee"/>')
    for step in range(6):
        share = step / 100
        x, y = _place(0, share)
        out.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{share * 100:.0f} %</text>')
        out.append(f'<line x1="{x}" y1="{y}" x2="{_WIDTH - 20}" y2="{y}" stroke="#eee"/>')
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [_place(row["hits"], row["wrong"]) for row in curve if row["wrong"] <= _MOST_WRONG]
        path = " ".join(f"{x},{y}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out.append(f'<text x="{_LEFT + 12}" y="{34 + 16 * number}" fill="{colour}">{name}</text>')
    for hits, wrong in _TARGETS:
        x, y = _place(hits, wrong)
        out.append(f'<path d="M{x - 5},{y - 5} l10,10 m0,-10 l-10,10" stroke="black" stroke-width="2"/>')
    out.append(f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 12}" text-anchor="middle">hits, of all queries</text>')
    turned = f'transform="translate(16 {_HEIGHT / 2}) rotate(-90)"'
    out.append(f'<text {turned} text-anchor="middle">wrong answers, of all queries</text></svg>')
    return "\n".join(out) + "\n"


def _place(hits: float, wrong: float) -> tuple[float, float]:
    x = _LEFT + hits / _MOST_HITS * (_WIDTH - _LEFT - 20)
    y = _HEIGHT - _BOTTOM - wrong / _MOST_WRONG * (_HEIGHT - _BOTTOM - 20)
    return round(x, 1), round(y, 1)
