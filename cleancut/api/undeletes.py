"""What an undeletion found, and put back."""

from __future__ import annotations

from cleancut.api.values import ApiValue


class Undelete(ApiValue, frozen=True):
    """Points of a backup that were selected, and what was found of them in the live collection
    `into`: `present` (as in the backup, or not compared), `differing` (None: not compared) and
    `missing`. `restored`: those that were sent, of which one that a client had written by then
    stayed as it was; None, if it was only planned. `absent`: those that are still not there
    afterwards."""

    id: str
    epoch: int
    collection: str
    into: str
    selected: int
    present: int
    missing: int
    differing: int | None = None
    restored: int | None = None
    absent: int = 0
    took_s: float = 0.0
