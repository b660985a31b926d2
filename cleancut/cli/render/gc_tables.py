"""A gc run as a table for people."""

from __future__ import annotations

from rich.console import Group, RenderableType

from cleancut.api.garbage import GarbageCollection
from cleancut.cli.render.grids import facts, grid, size


def gc(value: GarbageCollection) -> RenderableType:
    would = "would be " if value.dry_run else ""
    head = facts(
        (
            (f"backups {would}deleted", len(value.expired)),
            (f"objects {would}deleted", _objects(value.deleted_objects, value.deleted_bytes)),
            ("objects marked for deletion", _objects(value.marked_objects, value.marked_bytes)),
            ("waits", value.waits or None),
        )
    )
    if not value.expired:
        return head
    rows = ((one.epoch, one.id, one.why) for one in value.expired)
    return Group(head, "", grid(("EPOCH", "ID", "WHY"), rows))


def _objects(number: int, size_bytes: int) -> str:
    return f"{number} ({size(size_bytes)})"
