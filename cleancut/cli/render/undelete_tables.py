"""Tables of an undeletion."""

from __future__ import annotations

from rich.console import RenderableType

from cleancut.api.undeletes import Undelete
from cleancut.cli.render.grids import facts


def undelete(value: Undelete) -> RenderableType:
    into = value.into if value.into != value.collection else None
    return facts(
        (
            ("backup", value.epoch),
            ("collection", value.collection),
            ("into", into),
            ("selected", f"{value.selected:,}"),
            ("already there", f"{value.present:,}"),
            ("differ", None if value.differing is None else f"{value.differing:,}"),
            ("missing", f"{value.missing:,}"),
            ("put back", "nothing yet" if value.restored is None else f"{value.restored:,}"),
            ("still missing", f"{value.absent:,}" if value.absent else None),
            ("took", f"{value.took_s:.1f} s"),
        )
    )
