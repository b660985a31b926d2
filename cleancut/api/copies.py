"""What a copy to another store has done."""

from __future__ import annotations

from cleancut.api.values import ApiValue


class CopiedBackup(ApiValue, frozen=True):
    """One backup of a copy. `state`: copied | unchanged (all of it was there) | left out | failed;
    `why` for the last two. `objects` and `size_bytes` were put. `verified`: what was looked at in
    the copy afterwards, as in a verdict; "" if nothing was. `damaged`: what that found."""

    epoch: int
    id: str = ""
    state: str = "copied"
    why: str = ""
    objects: int = 0
    size_bytes: int = 0
    verified: str = ""
    damaged: tuple[str, ...] = ()


class Copy(ApiValue, frozen=True):
    """A copy of backups to the store `to`. `warnings`: what an operator should know of it.
    `problems`: of backups that are not in the copy, or not whole, and should be."""

    to: str
    backups: tuple[CopiedBackup, ...] = ()
    objects: int = 0
    size_bytes: int = 0
    took_s: float = 0.0
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
