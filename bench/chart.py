"""Lines over logarithmic axes as SVG text; as much as bench needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Line = Sequence[tuple[float, float]]
WIDTH, HEIGHT, LEFT, TOP, GAP = 300, 220, 60, 30, 90
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd")


def chart(panels: Sequence[tuple[str, Mapping[str, Line]]], below: str) -> str:
    """Panels side by side: what each one shows, and its lines by name. `below`: the other axis."""
    width = len(panels) * (WIDTH + GAP) + LEFT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{HEIGHT + 100}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{HEIGHT + 100}" fill="white"/>',
    ]
    for number, (title, lines) in enumerate(panels):
        parts += _panel(LEFT + number * (WIDTH + GAP), title, lines, below)
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: float, title: str, lines: Mapping[str, Line], below: str) -> list[str]:
    points = [point for line in lines.values() for point in line]
    across, up = _scale([x for x, _ in points], WIDTH), _scale([y for _, y in points], HEIGHT)
    base = TOP + HEIGHT
    parts = [f'<text x="{left}" y="{TOP - 12}" font-weight="bold">{title}</text>']
    parts.append(f'<path d="M{left} {TOP}V{base}H{left + WIDTH}" fill="none" stroke="#888"/>')
    for x in sorted({x for x, _ in points}):
        at = left + across(x)
        parts.append(f'<text x="{at:.0f}" y="{base + 16}" text-anchor="middle">{x:g}</text>')
    for y in _ticks([y for _, y in points]):
        at = base - up(y)
        parts.append(f'<text x="{left - 6}" y="{at + 4:.0f}" text-anchor="end">{y:g}</text>')
        parts.append(f'<path d="M{left} {at:.0f}h{WIDTH}" stroke="#eee"/>')
    middle = left + WIDTH / 2
    parts.append(f'<text x="{middle}" y="{base + 32}" text-anchor="middle">{below}</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour, row = COLOURS[number % len(COLOURS)], base + 48 + 14 * number
        way = " ".join(f"{left + across(x):.1f},{base - up(y):.1f}" for x, y in line)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{left}" y="{row}" fill="{colour}">{name}</text>')
    return parts


class _Axis:
    def __init__(self, low: float, high: float, length: float) -> None:
        self._low = math.log(low)
        self._step = length / max(math.log(high) - math.log(low), 1e-9)

    def __call__(self, value: float) -> float:
        return (math.log(value) - self._low) * self._step


def _scale(values: Sequence[float], length: float) -> _Axis:
    return _Axis(min(values) / 1.3, max(values) * 1.3, length)


def _ticks(values: Sequence[float]) -> list[float]:
    """1, 2 and 5 of each power of ten within the values, and the ends."""
    low, high = min(values), max(values)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = (digit * 10.0**power for power in powers for digit in (1, 2, 5))
    return [one for one in every if low / 1.3 <= one <= high * 1.3]
