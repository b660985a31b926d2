"""Strip of days: for each schedule, what became of each of the last 30 days. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from markupsafe import Markup

from cleancut.api.backups import Backup
from cleancut.api.schedules import Schedule
from cleancut.api.state_words import Word, state_of
from cleancut.core.primitives.timestamps import format_second
from cleancut.page.svg import element, titled
from cleancut.page.words import seconds_of

DAYS = 30
_DAY_S = 86400
_CELL, _GAP, _HEIGHT = 16, 4, 22


class Cell(StrEnum):
    """What became of a day, the worst first."""

    DAMAGED = "damaged"
    FAILED = "failed"
    PARTIAL = "partial"
    MADE = "made"
    NONE = "none"


_CELLS: Mapping[Word, Cell] = {
    Word.OK: Cell.MADE,
    Word.PARTIAL: Cell.PARTIAL,
    Word.DAMAGED: Cell.DAMAGED,
    Word.CORRUPT: Cell.DAMAGED,
    Word.ABORTED: Cell.FAILED,
    Word.FAILED: Cell.FAILED,
}
_ORDER = list(Cell)
_SIGNS = {
    Cell.DAMAGED: "!",
    Cell.FAILED: "\u00d7",
    Cell.PARTIAL: "\u2013",
    Cell.MADE: "",
    Cell.NONE: "",
}


class Day(NamedTuple):
    """`date`: in UTC. `count`: backups of that day, failed ones among them."""

    date: str
    cell: Cell
    backups: int

    @property
    def text(self) -> str:
        """The day in words."""
        if self.cell is Cell.NONE:
            return f"{self.date}: no backup is kept"
        backups = "1 backup" if self.backups == 1 else f"{self.backups} backups"
        return f"{self.date}: {backups}, {self.cell}"


class Strip(NamedTuple):
    """The days of one schedule, oldest first; `name` "": backups that people asked for."""

    name: str
    days: tuple[Day, ...]

    @property
    def summary(self) -> str:
        """The strip in words, for a reader that does not see it."""
        made = sum(day.cell in {Cell.MADE, Cell.PARTIAL} for day in self.days)
        bad = sum(day.cell in {Cell.FAILED, Cell.DAMAGED} for day in self.days)
        wrong = f", failed or damaged on {bad}" if bad else ""
        return f"backups on {made} of {len(self.days)} days{wrong}"


def strips(
    backups: Sequence[Backup], schedules: Sequence[Schedule], now_s: float
) -> tuple[Strip, ...]:
    """One for each schedule that makes backups, and one for those that people asked for."""
    names = [one.name for one in schedules if one.do in {"", "backup"}]
    names += sorted({one.schedule for one in backups} - {*names, ""})
    if any(not one.schedule for one in backups):
        names.append("")
    today = int(now_s // _DAY_S)
    cells: dict[tuple[str, int], list[Cell]] = {}
    for one in backups:
        at_s = seconds_of(one.cut_at or one.ended_at or one.created_at)
        cell = _CELLS.get(state_of(one))
        if at_s is not None and cell is not None:
            cells.setdefault((one.schedule, int(at_s // _DAY_S)), []).append(cell)
    days = range(today - DAYS + 1, today + 1)
    return tuple(
        Strip(name, tuple(_day(day, cells.get((name, day), ())) for day in days)) for name in names
    )


def _day(day: int, cells: Sequence[Cell]) -> Day:
    """A failed attempt that a good backup of the day follows does not make the day a bad one."""
    date = format_second(day * _DAY_S)[:10]
    good: Sequence[Cell] = [cell for cell in cells if cell is not Cell.FAILED]
    return Day(date, min(good or cells, key=_ORDER.index, default=Cell.NONE), len(cells))


def strip_svg(strip: Strip) -> Markup:
    """A cell a day, oldest first."""
    width = len(strip.days) * (_CELL + _GAP) - _GAP
    cells = [_cell(day, number * (_CELL + _GAP)) for number, day in enumerate(strip.days)]
    return element(
        "svg",
        cells,
        class_="strip",
        viewBox=f"0 0 {width} {_HEIGHT}",
        role="img",
        aria_label=f"{strip.name or 'by hand'}: {strip.summary}",
    )


def _cell(day: Day, x: float) -> Markup:
    """A box with a sign in it, so that no colour has to be seen."""
    box = element("rect", x=x, y=1, width=_CELL, height=_HEIGHT - 2, rx=3)
    sign = element("text", _SIGNS[day.cell], x=x + _CELL / 2, y=_HEIGHT - 7, text_anchor="middle")
    return element("g", [titled(day.text), box, sign], class_=f"day {day.cell}")
