"""Table of what was written when."""

from __future__ import annotations

from rich.console import RenderableType

from cleancut.api.archive import LoggedOperation, LogPage
from cleancut.cli.render.grids import grid, some
from cleancut.cli.render.times import exact


def log(value: LogPage) -> RenderableType:
    return grid(
        ("TIME", "ENTRY", "KIND", "POINTS", "OF"),
        (
            (
                exact(one.at_ms, one.at),
                f"{one.shard_id}:{one.index}",
                one.kind,
                one.points,
                _of(one),
            )
            for one in value.operations
        ),
        fold=("OF",),
    )


def _of(one: LoggedOperation) -> str:
    """What it chose, and what it touched."""
    parts = [some(one.ids)] if one.ids else []
    parts += [f"filter {one.filter}"] if one.filter else []
    parts += [f"keys {some(one.keys)}"] if one.keys else []
    return "; ".join([*parts, *([one.detail] if one.detail else [])])
