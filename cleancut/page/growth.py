"""Growth of a store by its backups: totals, forecast, and a chart as SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from cleancut.api.backups import Backup
from cleancut.core.protocol.states import IN_CATALOG
from cleancut.page.svg import element, number
from cleancut.page.words import minute, seconds_of, size

WINDOW_S = 30 * 86400.0
AHEAD_DAYS = 90
_LEAST_S = 86400.0
_MOST_LISTED = 10
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 1000, 260, 72, 24, 8


class Point(NamedTuple):
    """After one backup: `stored_bytes` are those of all up to it."""

    at_s: float
    epoch: int
    protected_bytes: int
    stored_bytes: int


class Growth(NamedTuple):
    """Bytes. `ratio`: of all that is protected to what is stored; None while nothing is.
    `per_day`: added over the last 30 days, or over all there is; None of less than two backups."""

    points: tuple[Point, ...]
    protected: int
    protected_all: int
    stored: int
    ratio: float | None
    per_day: float | None
    forecast: float | None
    most: tuple[Backup, ...]


def growth_of(backups: Sequence[Backup]) -> Growth:
    """Of the backups that the catalog holds."""
    kept = [
        one for one in backups if one.state in IN_CATALOG and seconds_of(one.cut_at) is not None
    ]
    kept.sort(key=lambda one: seconds_of(one.cut_at) or 0.0)
    points, stored = [], 0
    for one in kept:
        stored += one.bytes.stored
        at_s = seconds_of(one.cut_at) or 0.0
        points.append(Point(at_s, one.epoch, one.bytes.protected, stored))
    protected_all = sum(point.protected_bytes for point in points)
    per_day = _per_day(points)
    return Growth(
        points=tuple(points),
        protected=points[-1].protected_bytes if points else 0,
        protected_all=protected_all,
        stored=stored,
        ratio=protected_all / stored if stored else None,
        per_day=per_day,
        forecast=None if per_day is None else stored + AHEAD_DAYS * per_day,
        most=tuple(sorted(kept, key=lambda one: -one.bytes.stored)[:_MOST_LISTED]),
    )


def _per_day(points: Sequence[Point]) -> float | None:
    """The first backup of all is the base and no growth."""
    if len(points) < 2:
        return None
    end = points[-1]
    since = [point for point in points if end.at_s - point.at_s <= WINDOW_S]
    first = since[0] if len(since) > 1 else points[-2]
    days = max(end.at_s - first.at_s, _LEAST_S) / 86400
    return (end.stored_bytes - first.stored_bytes) / days


def chart(growth: Growth) -> Markup:
    """Two lines over time, with the values of the axes."""
    points = thinned(growth.points)
    top = max(max(p.protected_bytes, p.stored_bytes) for p in points) or 1
    first_s, last_s = points[0].at_s, points[-1].at_s
    scale_x = (_WIDTH - _LEFT - 8) / max(last_s - first_s, 1.0)
    scale_y = (_HEIGHT - _BOTTOM - _TOP) / top

    def place(at_s: float, value: float) -> str:
        x = _LEFT + (at_s - first_s) * scale_x
        return f"{number(x)},{number(_HEIGHT - _BOTTOM - value * scale_y)}"

    parts = list(_axes(top, minute(first_s), minute(last_s)))
    for name in ("protected", "stored"):
        line = " ".join(place(p.at_s, getattr(p, f"{name}_bytes")) for p in points)
        parts.append(element("polyline", class_=f"l-{name}", points=line))
        x, _, y = place(points[-1].at_s, getattr(points[-1], f"{name}_bytes")).partition(",")
        parts.append(element("circle", class_=f"l-{name}", cx=x, cy=y, r=3))
    label = f"{size(growth.stored)} stored by {len(growth.points)} backups"
    box = f"0 0 {_WIDTH} {_HEIGHT}"
    return element("svg", parts, class_="lines", viewBox=box, role="img", aria_label=label)


def _axes(top: float, first: str, last: str) -> Iterable[Markup]:
    for share in (0.0, 0.5, 1.0):
        y = _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)
        yield element("line", class_="axis", x1=_LEFT, x2=_WIDTH - 8, y1=y, y2=y)
        yield element("text", size(top * share), x=_LEFT - 8, y=y + 4, text_anchor="end")
    yield element("text", first, x=_LEFT, y=_HEIGHT - 6)
    if last != first:
        yield element("text", last, x=_WIDTH - 8, y=_HEIGHT - 6, text_anchor="end")


def thinned(points: Sequence[Point], most: int = 500) -> Sequence[Point]:
    """Of many points every n-th, and the last one."""
    every = -(-len(points) // most)
    return points if every <= 1 else (*points[: len(points) - 1 : every], points[-1])
