"""Tables of a diff between two backups."""

from __future__ import annotations

from rich.console import Group, RenderableType

from cleancut.api.diffs import CollectionDiff, Diff, DiffSide
from cleancut.cli.render.grids import facts, grid
from cleancut.cli.render.times import moment


def diff(value: Diff) -> RenderableType:
    head = facts(
        (
            ("from", _side(value.before)),
            ("to", _side(value.after)),
            ("added", f"{value.added:,}"),
            ("removed", f"{value.removed:,}"),
            ("changed", f"{value.changed:,}"),
            ("unchanged", _count(value.unchanged)),
            ("took", f"{value.took_s:.1f} s"),
            ("verdict", "equal" if value.equal else "they differ"),
        )
    )
    if not value.collections:
        return head
    titles = ("COLLECTION", "ADDED", "REMOVED", "CHANGED", "UNCHANGED", "EQUAL SHARDS", "NOTE")
    table = grid(titles, (_row(one) for one in value.collections), fold=("COLLECTION", "NOTE"))
    points = [
        (one.collection, point.shard_key, point.change, point.id)
        for one in value.collections
        for point in one.points
    ]
    listed = [""] if points else []
    more = [grid(("COLLECTION", "SHARD KEY", "CHANGE", "ID"), points)] if points else []
    return Group(head, "", table, *listed, *more)


def _side(side: DiffSide) -> str:
    return f"{f'#{side.epoch}' if side.epoch else 'live'}, {moment(side.cut_at)}"


def _row(one: CollectionDiff) -> tuple[object, ...]:
    notes = [f"the collection was {one.change}"] if one.change else []
    notes += ["its vectors are configured otherwise"] if one.config_differs else []
    if one.changed:
        notes.append(f"changed: {one.changed_vectors:,} vectors, {one.changed_payloads:,} payloads")
    equal = f"{one.equal_shards} of {one.shards}"
    counts = (f"{one.added:,}", f"{one.removed:,}", f"{one.changed:,}", _count(one.unchanged))
    return (one.collection, *counts, equal, "; ".join(notes))


def _count(number: int | None) -> str:
    return "not counted" if number is None else f"{number:,}"
