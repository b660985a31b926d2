"""Plans of backups of the API in memory: two shards of each collection, one of them unchanged."""

from __future__ import annotations

from cleancut.api.backups import BackupPlan, PlannedCut
from cleancut.core.protocol.requests import BackupRequest


def plan_of(request: BackupRequest, blockers: tuple[str, ...]) -> BackupPlan:
    """The plan of a backup that `blockers` prevent."""
    names = request.collections or ("books",)
    shards = tuple(
        PlannedCut(
            collection=name,
            shard_id=number,
            agent=f"node-{number}",
            peer_id=7 + number,
            size_bytes=2048,
            parent_epoch=None if request.full or number else 1,
            expected_bytes=2048 if request.full or number else 0,
        )
        for name in names
        for number in range(2)
    )
    return BackupPlan(
        collections=names,
        shards=shards,
        blockers=blockers,
        notes=("waits behind backup #1 (UPLOAD)",),
        size_bytes=sum(one.size_bytes or 0 for one in shards),
        expected_bytes=sum(one.expected_bytes or 0 for one in shards),
    )
