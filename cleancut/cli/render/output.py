"""Stdout: one value in the requested format, and nothing else."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import yaml
from rich.console import Console, RenderableType

from cleancut.api.archive import Archive, ArchiveMark, LogPage
from cleancut.api.backups import Evidence
from cleancut.api.cluster import AgentSettings, Identity
from cleancut.api.copies import Copy
from cleancut.api.diffs import Diff
from cleancut.api.garbage import GarbageCollection
from cleancut.api.operations import Operation
from cleancut.api.rebalances import RebalancePlan
from cleancut.api.reshards import ReshardPlan
from cleancut.api.restores import RestorePlan
from cleancut.api.schedules import Schedule
from cleancut.api.searches import SearchAnswer
from cleancut.api.status import Status
from cleancut.api.values import SCHEMA, ApiValue
from cleancut.cli.render import tables
from cleancut.cli.render.grids import facts as facts_table
from cleancut.cli.render.grids import print_table
from cleancut.cli.terminal import write_out

TABLES = ("table", "wide")
"""Formats for people; the wide one drops no column, whatever the terminal's width."""
WIDE = 400
"""Width of a table that goes to a pipe or file: each row is one line."""


def emit(output: str, noun: str, value: ApiValue) -> None:
    """One thing as `noun`."""
    if output == "name":
        write_out(f"{name_of(value)}\n")
    elif output in TABLES:
        print_parts(output, tables.ONE[type(value)](value))
    else:
        document(output, {noun: msgspec.to_builtins(value)})


def emit_many(output: str, noun: str, values: Sequence[Operation | Schedule]) -> None:
    """A list as `noun`, the plural."""
    if output == "name":
        for value in values:
            write_out(f"{name_of(value)}\n")
    elif output in TABLES:
        print_parts(output, tables.MANY[noun](values))
    else:
        document(output, {noun: msgspec.to_builtins(values)})


def emit_facts(output: str, noun: str, facts: dict[str, Any]) -> None:
    """Facts without a type in the API; the first one is the name."""
    if output == "name":
        write_out(f"{next(iter(facts.values()))}\n")
    elif output in TABLES:
        print_parts(output, facts_table(facts.items()))
    else:
        document(output, {noun: facts})


_NAMES: dict[type[ApiValue], Callable[[Any], str]] = {
    RestorePlan: lambda value: str(value.backup_id),
    RebalancePlan: lambda value: str(value.digest),
    ReshardPlan: lambda value: str(value.digest),
    Status: lambda value: "protected" if value.protected else "not-protected",
    Identity: lambda value: str(value.cluster_id),
    AgentSettings: lambda value: str(value.upload_bytes_per_s),
    Schedule: lambda value: str(value.name),
    ArchiveMark: lambda value: str(value.name),
    Evidence: lambda value: str(value.consistency),
    GarbageCollection: lambda value: "\n".join(one.id for one in value.expired),
    LogPage: lambda value: "\n".join(f"{one.shard_id}:{one.index}" for one in value.operations),
    Archive: lambda value: "\n".join(f"{one.collection}/{one.shard}" for one in value.shards),
    Copy: lambda value: "\n".join(str(one.epoch) for one in value.backups if one.state == "copied"),
    SearchAnswer: lambda value: "\n".join(str(hit.id) for hit in value.hits),
    Diff: lambda value: "\n".join(str(one.id) for name in value.collections for one in name.points),
}


def name_of(value: ApiValue) -> str:
    """The name that a script passes on."""
    named = _NAMES.get(type(value))
    return str(value.id) if named is None else named(value)  # type: ignore[attr-defined]


def document(output: str, content: dict[str, Any]) -> None:
    """One JSON or YAML document, with the version of the shapes in it."""
    whole = {"schema": SCHEMA, **content}
    if output == "ndjson":
        write_out(msgspec.json.encode(whole).decode() + "\n")
    elif output == "json":
        write_out(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode() + "\n")
    else:
        write_out(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True))


def print_parts(output: str, table: RenderableType) -> None:
    """Renders first and writes then, so that whatever fails in writing fails in one place."""
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
