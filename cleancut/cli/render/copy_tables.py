"""Tables of copies to another store."""

from __future__ import annotations

from rich.console import Group, RenderableType

from cleancut.api.copies import CopiedBackup, Copy
from cleancut.api.repairs import Repair
from cleancut.cli.render.grids import facts, grid, size


def copy(value: Copy) -> RenderableType:
    head = facts(
        (
            ("copied to", value.to),
            ("objects", value.objects),
            ("data", size(value.size_bytes)),
            ("took", f"{value.took_s:.1f} s"),
        )
    )
    if not value.backups:
        return Group(head, "", "all backups are there")
    rows = [
        (one.epoch, one.state, one.objects, size(one.size_bytes), _verified(one), _remark(one))
        for one in value.backups
    ]
    titles = ("BACKUP", "STATE", "OBJECTS", "DATA", "VERIFIED", "REMARK")
    return Group(head, "", grid(titles, rows, fold=("REMARK",)))


def repair(value: Repair) -> RenderableType:
    return facts(
        (
            ("backup", value.epoch),
            ("id", value.id),
            ("from", value.source),
            *(("replaced", path) for path in value.repaired),
            *(("damaged", text) for text in value.damaged),
            ("read again", size(value.read_bytes) if value.read_bytes else None),
            ("verdict", "damaged" if value.damaged else "intact"),
        )
    )


def _verified(one: CopiedBackup) -> str:
    return "damaged" if one.damaged else one.verified


def _remark(one: CopiedBackup) -> str:
    return one.why or "; ".join(one.damaged[:3])
