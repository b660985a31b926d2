"""What a repair of a backup from another store has done."""

from __future__ import annotations

from cleancut.api.values import ApiValue


class Repair(ApiValue, frozen=True):
    """A backup whose objects were all read. `repaired`: paths of objects that were damaged or
    missing and have been replaced from the store `source`; `damaged`: what neither store has
    whole. `read_bytes`: of the backup's data, read once more afterwards, if anything was
    replaced."""

    id: str
    epoch: int
    source: str
    repaired: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    read_bytes: int = 0
