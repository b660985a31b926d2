"""Matrix of backups and the checks of them, from the verification log. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cleancut.api.backups import Backup
from cleancut.core.protocol.states import IN_CATALOG
from cleancut.core.verification.damage import Level, LogEntry

MOST = 100
TITLES = {
    Level.PRESENCE: "Objects present",
    Level.PART: "Part of the data",
    Level.ALL: "All data",
    Level.DRILL: "Drill",
}


class Last(NamedTuple):
    """When data was last read and found right, or a drill went well; None: never."""

    title: str
    at_s: float | None
    epoch: int


class Row(NamedTuple):
    """A backup, and its newest check of each kind in the order of `TITLES`; None: there is none."""

    backup: Backup
    cells: tuple[LogEntry | None, ...]


class Matrix(NamedTuple):
    """`left`: backups that are not shown, older ones."""

    titles: tuple[str, ...]
    last: tuple[Last, ...]
    rows: tuple[Row, ...]
    left: int


def matrix_of(backups: Sequence[Backup], checks: Sequence[LogEntry]) -> Matrix:
    """`backups` and `checks`: newest first."""
    newest: dict[tuple[int, Level], LogEntry] = {}
    for one in checks:
        newest.setdefault((one.epoch, one.level), one)
    kept = [one for one in backups if one.state in IN_CATALOG]
    rows = tuple(
        Row(one, tuple(newest.get((one.epoch, level)) for level in TITLES)) for one in kept[:MOST]
    )
    read = _last("Data read", [one for one in checks if one.level in {Level.PART, Level.ALL}])
    drilled = _last("Drill", [one for one in checks if one.level is Level.DRILL])
    return Matrix(tuple(TITLES.values()), (read, drilled), rows, max(0, len(kept) - MOST))


def newest_checks(checks: Sequence[LogEntry]) -> dict[int, LogEntry]:
    """By backup, the newest check that has read data or opened shards. `checks`: newest first."""
    found: dict[int, LogEntry] = {}
    for one in checks:
        if one.level.reads:
            found.setdefault(one.epoch, one)
    return found


def _last(title: str, checks: Sequence[LogEntry]) -> Last:
    good = [one for one in checks if one.good]
    newest = max(good, key=lambda one: one.at_s, default=None)
    return Last(title, newest.at_s, newest.epoch) if newest else Last(title, None, 0)
