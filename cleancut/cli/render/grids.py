"""What all tables are made of: grids, facts, sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from cleancut.api.operations import Operation

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(number: float) -> str:
    """A number of bytes with three digits or so."""
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"


def span(seconds: float) -> str:
    """A time as people say it, rounded up."""
    minutes, left = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {left} s" if minutes else f"{left} s"


def grid(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """Columns without lines, as ls and kubectl do: greppable."""
    table = Table(*titles, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*("-" if cell in (None, "") else Text(str(cell)) for cell in row))
    return table


def facts(pairs: Iterable[tuple[str, Any]]) -> Table:
    """Names and values of one thing; what is None is left out."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in pairs:
        if value is not None:
            table.add_row(Text(name, style="bold"), Text(str(value)))
    return table


def troubles(value: Operation) -> list[tuple[str, str]]:
    lines = [("warning", text) for text in value.warnings]
    if value.error is not None:
        lines.append(("error", f"{value.error.message} [{value.error.reason}]"))
        lines += [("hint", value.error.hint)] if value.error.hint else []
    return lines
