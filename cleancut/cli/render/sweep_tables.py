"""A sweep as a table for people."""

from __future__ import annotations

from rich.console import Group, RenderableType

from cleancut.api.sweeps import Sweep
from cleancut.cli.render.grids import facts, grid, size


def sweep(value: Sweep) -> RenderableType:
    would = "would be " if value.dry_run else ""
    head = facts(
        (
            (f"backups {would}deleted", len(value.expired)),
            (f"objects {would}deleted", _objects(value.deleted_objects, value.deleted_bytes)),
            ("objects doomed", _objects(value.doomed_objects, value.doomed_bytes)),
            ("waits", value.waits or None),
        )
    )
    if not value.expired:
        return head
    rows = ((one.epoch, one.id, one.why) for one in value.expired)
    return Group(head, "", grid(("EPOCH", "ID", "WHY"), rows))


def _objects(number: int, size_bytes: int) -> str:
    return f"{number} ({size(size_bytes)})"
