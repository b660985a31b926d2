"""What all tables are made of: grids, facts, sizes, times."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cleancut.api.operations import Operation
from cleancut.core.primitives.visible import visible

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_WIDEST = 10_000
_FOLDED = 16
"""The least width of a column whose text may go over several lines."""
_NO_BREAK = "\u00a0"
_UNIT = re.compile(r"(?<=\d) (?=(?:[KMGTP]i)?B\b|ms\b|s\b|min\b|h\b|%)")
"""The space between a number and its unit, where no line ends."""


def size(number: float) -> str:
    """A number of bytes with three digits or so."""
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"


def span(seconds: float) -> str:
    """A duration, rounded up to a second: `1 h 5 min`, `40 s`."""
    minutes, left = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def some(names: Iterable[str]) -> str:
    """The first three names, and the number of the others."""
    known = list(names)
    return ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")


def grid(
    titles: Sequence[str], rows: Iterable[Sequence[Any]], *, fold: Collection[str] = ()
) -> Table:
    """Columns without lines, as ls and kubectl show them: greppable.

    Cells are never cut: those under a title in `fold` may go over several lines, the others keep
    their width, and a table that is wider than the terminal stays whole (see `print_table`).
    """
    cells = [["-" if cell in (None, "") else visible(str(cell)) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, title in enumerate(titles):
        width = max(cell_len(text) for text in (title, *(row[index] for row in cells)))
        least = min(width, max(_FOLDED, cell_len(title))) if title in fold else width
        table.add_column(title, overflow="fold", no_wrap=title not in fold, min_width=least)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return table


class Columns:
    """A grid that leaves out columns where the terminal is too narrow for all.

    `drop`: titles of those that may go, the first to go first; the others always stay.
    """

    def __init__(
        self,
        titles: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        drop: Sequence[str],
        fold: Collection[str] = (),
    ) -> None:
        self._titles, self._rows = tuple(titles), [tuple(row) for row in rows]
        self._drop, self._fold = tuple(drop), fold

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._fitting(console, options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        least = Measurement.get(console, _unbounded(options), self._without(self._drop)).minimum
        most = Measurement.get(console, _unbounded(options), self._without(())).maximum
        return Measurement(least, max(least, most))

    def _fitting(self, console: Console, options: ConsoleOptions) -> Table:
        for number in range(len(self._drop)):
            table = self._without(self._drop[:number])
            if Measurement.get(console, _unbounded(options), table).minimum <= options.max_width:
                return table
        return self._without(self._drop)

    def _without(self, titles: Sequence[str]) -> Table:
        kept = [at for at, title in enumerate(self._titles) if title not in titles]
        rows = [[row[at] for at in kept] for row in self._rows]
        return grid([self._titles[at] for at in kept], rows, fold=self._fold)


def _unbounded(options: ConsoleOptions) -> ConsoleOptions:
    """To measure what a table needs, not what it gets."""
    return options.update(width=_WIDEST)


class _Fact:
    """A value that goes over several lines where it must, but never between a number and its
    unit."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in self._text.split("\n"):
            kept = _UNIT.sub(_NO_BREAK, line)
            parts = textwrap.wrap(kept, options.max_width, break_on_hyphens=False) or [""]
            yield Text("\n".join(parts).replace(_NO_BREAK, " "), overflow="fold")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Text(self._text).__rich_measure__(console, options)


def facts(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Names and values of one thing; what is None is left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            table.add_row(Text(name, style="bold"), _Fact(visible(str(value), lines=True)))
    return table


def print_table(console: Console, table: RenderableType) -> None:
    """Prints it as wide as it needs to be: the terminal breaks a longer line, nothing is cut."""
    least = Measurement.get(console, console.options, table).minimum
    console.print(table, width=max(console.width, least), crop=False, soft_wrap=False)


def troubles(value: Operation) -> list[tuple[str, str]]:
    lines = [("warning", text) for text in value.warnings]
    if value.error is not None:
        lines.append(("error", f"{value.error.message} [{value.error.reason}]"))
        lines += [("hint", value.error.hint)] if value.error.hint else []
    return lines
