"""Stdout: one value in the requested format, and nothing else.

What renders a format is loaded where that format is asked for: most starts need none.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cleancut.cli.terminal import write_out

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cleancut.api.operations import Operation
    from cleancut.api.schedules import Schedule
    from cleancut.api.values import ApiValue

TABLES = ("table", "wide")
"""Formats for people; the wide one drops no column, whatever the terminal's width."""
WIDE = 400
"""Width of a table that goes to a pipe or file: each row is one line."""


def emit(output: str, noun: str, value: ApiValue) -> None:
    """One thing as `noun`."""
    if output == "name":
        _names([value])
    elif output in TABLES:
        from cleancut.cli.render import tables

        print_parts(output, tables.ONE[type(value)](value))
    else:
        document(output, {noun: _builtins(value)})


def emit_many(output: str, noun: str, values: Sequence[Operation | Schedule]) -> None:
    """A list as `noun`, the plural."""
    if output == "name":
        _names(values)
    elif output in TABLES:
        from cleancut.cli.render import tables

        print_parts(output, tables.MANY[noun](values))
    else:
        document(output, {noun: _builtins(values)})


def emit_facts(output: str, noun: str, facts: dict[str, Any]) -> None:
    """Facts without a type in the API; the first one is the name."""
    if output == "name":
        write_out(f"{next(iter(facts.values()))}\n")
    elif output in TABLES:
        from cleancut.cli.render import grids

        print_parts(output, grids.facts(_for_people(*fact) for fact in facts.items()))
    else:
        document(output, {noun: facts})


def emit_rows(output: str, noun: str, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of facts without a type in the API; the first fact of each is its name."""
    if output == "name":
        for row in rows:
            write_out(f"{next(iter(row.values()))}\n")
    elif output in TABLES:
        from cleancut.cli.render import grids

        cells = [[_for_people(*fact) for fact in row.items()] for row in rows]
        titles = [name.upper() for name, _ in (cells[0] if cells else ())]
        print_parts(output, grids.grid(titles, [[fact for _, fact in row] for row in cells]))
    else:
        document(output, {noun: list(rows)})


def _for_people(name: str, value: Any) -> tuple[str, Any]:
    """A fact as tables have it: `size_bytes` is a size."""
    from cleancut.cli.render.grids import size

    if name.endswith("_bytes") and isinstance(value, int):
        return name.removesuffix("_bytes").replace("_", " "), size(value)
    return name.replace("_", " "), value


def document(output: str, content: dict[str, Any]) -> None:
    """One JSON or YAML document, with the version of the shapes in it."""
    write_out(_text(output, content))


def line_of(noun: str, value: ApiValue) -> str:
    """One thing as `noun`, as a line of ndjson."""
    return _text("ndjson", {noun: _builtins(value)})


def _text(output: str, content: dict[str, Any]) -> str:
    from cleancut.api.values import SCHEMA

    whole = {"schema": SCHEMA, **content}
    if output in {"json", "ndjson"}:
        import msgspec

        line = msgspec.json.encode(whole)
        return (msgspec.json.format(line, indent=2) if output == "json" else line).decode() + "\n"
    import yaml

    return str(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True))


def _names(values: Iterable[ApiValue]) -> None:
    from cleancut.cli.render.names import name_of

    for value in values:
        write_out(f"{name_of(value)}\n")


def _builtins(value: Any) -> Any:
    import msgspec

    return msgspec.to_builtins(value)


def print_parts(output: str, table: RenderableType) -> None:
    """Renders first and writes then, so that whatever fails in writing fails in one place."""
    from rich.console import Console

    from cleancut.cli.render.grids import print_table

    terminal = sys.stdout is not None and sys.stdout.isatty()
    narrow = terminal and output != "wide"
    console = Console(
        file=(out := io.StringIO()),
        width=Console().width if narrow else WIDE,
        force_terminal=terminal,
        highlight=False,
    )
    print_table(console, table)
    write_out("".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines()))
