"""Values of the API: gc runs: what retention lets go, and what of the store is garbage."""

from __future__ import annotations

from cleancut.api.values import ApiValue


class ExpiredBackup(ApiValue, frozen=True):
    """A backup that retention deletes. `why`: for people."""

    epoch: int
    id: str
    why: str = ""


class KeptBackup(ApiValue, frozen=True):
    """A backup that stays. `why`: the rule that keeps it."""

    epoch: int
    id: str
    why: str = ""


class GarbageCollection(ApiValue, frozen=True):
    """One gc run. `expired`: backups that were deleted, or would be with `dry_run`. `marked`: what
    nothing names, to be deleted by a later gc run; `deleted`: by this one, or would be. `waits`:
    why no more was done, "" if all was. `kept`: backups that stay. `warnings`: for an operator."""

    dry_run: bool = False
    expired: tuple[ExpiredBackup, ...] = ()
    marked_objects: int = 0
    marked_bytes: int = 0
    deleted_objects: int = 0
    deleted_bytes: int = 0
    waits: str = ""
    kept: tuple[KeptBackup, ...] = ()
    warnings: tuple[str, ...] = ()
