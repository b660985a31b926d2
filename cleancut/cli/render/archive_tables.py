"""Tables of the archive: what of each shard's log is stored, and marks."""

from __future__ import annotations

from rich.console import Group, RenderableType

from cleancut.api.archive import Archive, ArchivedShard, ArchiveMark
from cleancut.cli.render.grids import facts, grid, size
from cleancut.cli.render.times import exact, moment

_MAX_ROWS = 24


def archive(value: Archive) -> RenderableType:
    behind = max((one.lag_s for one in value.shards), default=0.0)
    head = facts(
        (
            ("collections", ", ".join(value.collections) or "none: nothing is archived"),
            ("shards", len(value.shards)),
            ("may be lost", f"{behind:.0f} s" if behind else "nothing that was read"),
            ("last mark", moment(value.last_mark) or "none"),
            ("archived", f"{size(value.raw_bytes)}, stored as {size(value.stored_bytes)}"),
        )
    )
    doubtful = sorted(value.shards, key=lambda one: (not one.problem, -one.lag_s))
    rows = grid(
        ("COLLECTION", "SHARD", "AGENT", "STORED", "READ", "LAG", "BASE", "PROBLEM"),
        (_row(one) for one in doubtful[:_MAX_ROWS]),
    )
    left = len(doubtful) - _MAX_ROWS
    more = (f"and {left} more: -o json lists all",) if left > 0 else ()
    return Group(head, "", rows, *more)


def _row(one: ArchivedShard) -> tuple[object, ...]:
    return (
        one.collection,
        one.shard,
        one.agent or None,
        one.stored_entry,
        one.read_entry,
        f"{one.lag_s:.0f} s" if one.lag_s else None,
        f"#{one.base}" if one.base else None,
        one.problem,
    )


def mark(value: ArchiveMark) -> RenderableType:
    return facts(
        (("mark", value.name), ("at", exact(value.at_ms, value.at)), ("shards", value.shards))
    )
