"""Strip of 30 days: for each schedule, what became of each of its times, or, where those are many,
of each day. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from markupsafe import Markup

from cleancut.api.backups import Backup
from cleancut.api.schedules import Schedule
from cleancut.api.state_words import Word, state_of
from cleancut.core.maintenance.due_times import DueTime, DueTimes
from cleancut.core.maintenance.schedule import Missed
from cleancut.core.primitives.timestamps import format_second, parse_time
from cleancut.page.svg import element, titled
from cleancut.page.words import minute, seconds_of

DAYS = 30
_DAY_S = 86400
_WIDTH, _PITCH, _HEIGHT = 596, 20, 22
_LATE_S = 300.0
_TIMES = "due times"


class Cell(StrEnum):
    """What became of a time, or of a day, the worst first."""

    DAMAGED = "damaged"
    FAILED = "failed"
    MISSED = "missed"
    LATE = "late"
    PARTIAL = "partial"
    MADE = "made"
    EXPIRED = "expired"
    NONE = "none"


_CELLS: Mapping[Word, Cell] = {
    Word.OK: Cell.MADE,
    Word.PARTIAL: Cell.PARTIAL,
    Word.DAMAGED: Cell.DAMAGED,
    Word.CORRUPT: Cell.DAMAGED,
    Word.ABORTED: Cell.FAILED,
    Word.FAILED: Cell.FAILED,
    Word.CANCELED: Cell.FAILED,
    Word.DELETING: Cell.EXPIRED,
}
_BAD = {Cell.DAMAGED, Cell.FAILED}
_UNMADE = {Cell.FAILED, Cell.EXPIRED}
_ORDER = list(Cell)
_SIGNS = {Cell.DAMAGED: "!", Cell.FAILED: "\u00d7", Cell.MISSED: "?", Cell.PARTIAL: "\u2013"}


class Box(NamedTuple):
    """One cell of a strip, and what is said of it."""

    cell: Cell
    text: str


class Strip(NamedTuple):
    """The cells of one schedule, oldest first; `name` "": backups that people asked for. `of`: what
    each cell is of, in the plural."""

    name: str
    boxes: tuple[Box, ...]
    of: str = "days"

    @property
    def summary(self) -> str:
        """The strip in words, for a reader that does not see it."""
        found = [box.cell for box in self.boxes]
        made = sum(one in {Cell.MADE, Cell.PARTIAL} for one in found)
        others = (
            ("failed or damaged", sum(one in _BAD for one in found)),
            ("missed or late", sum(one in {Cell.MISSED, Cell.LATE} for one in found)),
            ("expired since", found.count(Cell.EXPIRED)),
            ("not known", found.count(Cell.NONE) if self.of == _TIMES else 0),
        )
        rest = "".join(f", {number} {words}" for words, number in others if number)
        return f"made on {made} of {len(found)} {self.of}{rest}"


def strips(
    backups: Sequence[Backup],
    schedules: Sequence[Schedule],
    now_s: float,
    due: Mapping[str, DueTimes] | None = None,
) -> tuple[Strip, ...]:
    """One for each schedule that makes backups, and one for those that people asked for. `due`: the
    times of the schedules, as far as they are known."""
    names = [one.name for one in schedules if one.do in {"", "backup"}]
    names += sorted({one.schedule for one in backups} - {*names, ""})
    if any(not one.schedule for one in backups):
        names.append("")
    mine: dict[str, list[Backup]] = {name: [] for name in names}
    for one in backups:
        mine[one.schedule].append(one)
    times = due or {}
    return tuple(
        _by_time(name, mine[name], times[name], now_s)
        if name in times and times[name].times
        else _by_day(name, mine[name], times.get(name, DueTimes()).missed, now_s)
        for name in names
    )


def _by_time(name: str, backups: Sequence[Backup], due: DueTimes, now_s: float) -> Strip:
    """A backup is of the newest time whose start had come when it was asked for."""
    starts = [one.start_s for one in due.times]
    found: list[list[Backup]] = [[] for _ in starts]
    for one in backups:
        asked_s = seconds_of(one.created_at or one.cut_at)
        number = 0 if asked_s is None else bisect_right(starts, asked_s + 1.0)
        if number:
            found[number - 1].append(one)
    boxes = [_of_time(*both, now_s) for both in zip(due.times, found, strict=True)]
    return Strip(name, tuple(boxes), _TIMES)


def _of_time(due: DueTime, backups: Sequence[Backup], now_s: float) -> Box:
    at = minute(due.at_s)
    cells = [cell for cell in (_CELLS.get(state_of(one)) for one in backups) if cell is not None]
    if cells:
        cell = _of_all(cells)
        numbers = ", ".join(f"#{one.epoch}" for one in backups if one.epoch)
        return Box(cell, f"{at}: {cell}{f', {numbers}' if numbers else ''}")
    if backups:
        return Box(Cell.NONE, f"{at}: under way")
    if due.missed:
        return Box(Cell.MISSED, f"{at}: missed, {due.missed}")
    if due.handled:
        return Box(Cell.EXPIRED, f"{at}: made, and expired since")
    if due.waits and now_s - due.start_s > _LATE_S:
        return Box(Cell.LATE, f"{at}: late, nothing has begun yet")
    return Box(Cell.NONE, f"{at}: not known")


def _by_day(name: str, backups: Sequence[Backup], missed: Sequence[Missed], now_s: float) -> Strip:
    today = int(now_s // _DAY_S)
    cells: dict[int, list[Cell]] = {}
    for one in backups:
        at_s = seconds_of(one.cut_at or one.ended_at or one.created_at)
        cell = _CELLS.get(state_of(one))
        if at_s is not None and cell not in {None, Cell.EXPIRED}:
            cells.setdefault(int(at_s // _DAY_S), []).append(cell)
    without = {
        day
        for one in missed
        for day in range(_day_of(one.first), min(_day_of(one.last), today) + 1)
    }
    days = range(today - DAYS + 1, today + 1)
    return Strip(name, tuple(_of_day(day, cells.get(day, ()), day in without) for day in days))


def _day_of(time: str) -> int:
    return int(parse_time(time) // _DAY_S)


def _of_day(day: int, cells: Sequence[Cell], missed: bool) -> Box:
    date = format_second(day * _DAY_S)[:10]
    also = ", and times were missed" if missed else ""
    if not cells:
        return (
            Box(Cell.MISSED, f"{date}: missed")
            if missed
            else Box(Cell.NONE, f"{date}: no backup is kept")
        )
    cell = _of_all(cells)
    backups = "1 backup" if len(cells) == 1 else f"{len(cells)} backups"
    return Box(cell, f"{date}: {backups}, {cell}{also}")


def _of_all(cells: Sequence[Cell]) -> Cell:
    """A failed attempt that a good backup of the same time follows does not make it a bad one."""
    good = [cell for cell in cells if cell not in _UNMADE]
    return min(good or cells, key=_ORDER.index)


def strip_svg(strip: Strip) -> Markup:
    """A box for each cell, oldest first."""
    pitch = min(_PITCH, (_WIDTH + 4) / max(1, len(strip.boxes)))
    wide = round(pitch - (4 if pitch == _PITCH else 1), 2)
    width = _WIDTH if strip.boxes else 0
    boxes = [_box(box, round(n * pitch, 2), wide) for n, box in enumerate(strip.boxes)]
    return element(
        "svg",
        boxes,
        class_="strip",
        viewBox=f"0 0 {width} {_HEIGHT}",
        role="img",
        aria_label=f"{strip.name or 'by hand'}: {strip.summary}",
    )


def _box(box: Box, x: float, wide: float) -> Markup:
    """With a sign in it, if there is room, so that no colour has to be seen."""
    shape = element("rect", x=x, y=1, width=wide, height=_HEIGHT - 2, rx=3 if wide > 8 else 1)
    sign = _SIGNS.get(box.cell, "") if wide > 8 else ""
    text = element("text", sign, x=x + wide / 2, y=_HEIGHT - 7, text_anchor="middle")
    return element("g", [titled(box.text), shape, text], class_=f"day {box.cell}")
