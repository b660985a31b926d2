"""What goes to stdout: one value in the format that was asked for, and nothing else."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec
import yaml
from rich.console import Console, RenderableType

from cleancut.api.agent_settings import AgentSettings
from cleancut.api.backups import Evidence
from cleancut.api.cluster import ClusterStatus, Identity
from cleancut.api.garbage import GarbageCollection
from cleancut.api.operations import Operation
from cleancut.api.rebalances import RebalancePlan
from cleancut.api.restores import RestorePlan
from cleancut.api.schedules import Schedule
from cleancut.api.values import SCHEMA, ApiValue
from cleancut.cli.render import tables
from cleancut.cli.render.grids import facts as facts_table

WIDE = 400
"""Columns of a table that no terminal bounds: pipes get whole lines."""


def emit(output: str, noun: str, value: ApiValue) -> None:
    """One thing as `noun`."""
    if output == "name":
        click.echo(name_of(value))
    elif output == "table":
        _print(tables.ONE[type(value)](value))
    else:
        document(output, {noun: msgspec.to_builtins(value)})


def emit_many(output: str, noun: str, values: Sequence[Operation | Schedule]) -> None:
    """A list as `noun`, the plural."""
    if output == "name":
        for value in values:
            click.echo(name_of(value))
    elif output == "table":
        _print(tables.MANY[noun](values))
    else:
        document(output, {noun: msgspec.to_builtins(values)})


def emit_facts(output: str, noun: str, facts: dict[str, Any]) -> None:
    """A handful of facts that are no value of the API; the first one is its name."""
    if output == "name":
        click.echo(next(iter(facts.values())))
    elif output == "table":
        _print(facts_table(facts.items()))
    else:
        document(output, {noun: facts})


def name_of(value: ApiValue) -> str:
    """What a script would pass on."""
    match value:
        case RestorePlan():
            return value.backup_id
        case RebalancePlan():
            return value.digest
        case ClusterStatus():
            return value.cluster
        case Identity():
            return value.cluster_id
        case GarbageCollection():
            return "\n".join(one.id for one in value.expired)
        case AgentSettings():
            return str(value.upload_bytes_per_s)
        case Schedule():
            return value.name
        case Evidence():
            return value.consistency
        case _:
            return str(value.id)  # type: ignore[attr-defined]


def document(output: str, content: dict[str, Any]) -> None:
    """One JSON or YAML document, with the version of the shapes in it."""
    whole = {"schema": SCHEMA, **content}
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(whole), indent=2).decode())
    else:
        click.echo(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), nl=False)


def _print(table: RenderableType) -> None:
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    console = Console(file=io.StringIO(), width=WIDE, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
