"""Table of the plan of a backup."""

from __future__ import annotations

from rich.console import Group, RenderableType

from cleancut.api.backups import BackupPlan, PlannedCut
from cleancut.cli.render.grids import facts, grid, size


def backup_plan(value: BackupPlan) -> RenderableType:
    head = facts(
        (
            ("collections", len(value.collections)),
            ("shards", len(value.shards)),
            ("size", _known(value.size_bytes) if value.shards else None),
            ("to store", _known(value.expected_bytes) if value.shards else None),
            ("fenced aliases", ", ".join(value.fence_aliases) or None),
            ("paused writers of", ", ".join(value.fence_hooked) or None),
            *(("left out", f"{one.name}: {one.reason}") for one in value.missing),
            *(("note", text) for text in value.notes),
            *(("blocker", text) for text in value.blockers),
        )
    )
    return Group(head, "", _cuts(value)) if value.shards else head


def _cuts(value: BackupPlan) -> RenderableType:
    return grid(
        ("COLLECTION", "SHARD", "KEY", "AGENT", "SIZE", "PARENT", "TO STORE"),
        (
            (
                cut.collection,
                cut.shard_id,
                cut.shard_key,
                cut.agent,
                _known(cut.size_bytes),
                cut.parent_epoch,
                _to_store(cut),
            )
            for cut in value.shards
        ),
        fold=("COLLECTION",),
    )


def _to_store(cut: PlannedCut) -> str:
    if cut.parent_epoch is None:
        return "full"
    return "nothing" if cut.expected_bytes == 0 else _known(cut.expected_bytes)


def _known(given: int | None) -> str:
    return "unknown" if given is None else size(given)
