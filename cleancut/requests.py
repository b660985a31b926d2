"""What users ask for, as it stands in an operation: canonical JSON of one of these records."""

from __future__ import annotations

from cleancut.ids import Epoch, PeerId, ShardId
from cleancut.records import Record


class BackupRequest(Record, frozen=True):
    collections: tuple[str, ...] = ()
    allow_empty: bool = False
    require_proven: bool = False
    attempts: int = 3


class RestoreRequest(Record, frozen=True):
    """`backup` is a group's epoch; `collections` empty means all of the group.

    `renames`: old and new names. `replicas` 0: as in the group. `plan`: the digest of the plan that
    was agreed to; "" takes any. `shards`: only these lost shards of the one collection, in place,
    at `peer` if given.
    """

    backup: Epoch
    collections: tuple[str, ...] = ()
    from_cluster: str = ""
    renames: tuple[tuple[str, str], ...] = ()
    beside: bool = False
    replace: bool = False
    replicas: int = 0
    shards: tuple[ShardId, ...] = ()
    peer: PeerId | None = None
    plan: str = ""
