"""Names of answers, as `-o name` prints them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cleancut.api.archive import Archive, ArchiveMark, LogPage
from cleancut.api.backups import BackupPlan, Evidence
from cleancut.api.cluster import AgentSettings, Identity
from cleancut.api.copies import Copy
from cleancut.api.diffs import Diff
from cleancut.api.garbage import GarbageCollection
from cleancut.api.rebalances import RebalancePlan
from cleancut.api.reshards import ReshardPlan
from cleancut.api.restores import RestorePlan
from cleancut.api.schedules import Schedule
from cleancut.api.searches import SearchAnswer
from cleancut.api.status import Status
from cleancut.api.undeletes import UndeletePlan
from cleancut.api.values import ApiValue

_NAMES: dict[type[ApiValue], Callable[[Any], str]] = {
    BackupPlan: lambda value: "\n".join(value.collections),
    RestorePlan: lambda value: str(value.backup_id),
    RebalancePlan: lambda value: str(value.digest),
    ReshardPlan: lambda value: str(value.digest),
    UndeletePlan: lambda value: str(value.digest),
    Status: lambda value: "protected" if value.protected else "not-protected",
    Identity: lambda value: str(value.cluster_id),
    AgentSettings: lambda value: str(value.upload_bytes_per_s),
    Schedule: lambda value: str(value.name),
    ArchiveMark: lambda value: str(value.name),
    Evidence: lambda value: str(value.consistency),
    GarbageCollection: lambda value: "\n".join(one.id for one in value.expired),
    LogPage: lambda value: "\n".join(f"{one.shard_id}:{one.index}" for one in value.operations),
    Archive: lambda value: "\n".join(f"{one.collection}/{one.shard}" for one in value.shards),
    Copy: lambda value: "\n".join(str(one.epoch) for one in value.backups if one.state == "copied"),
    SearchAnswer: lambda value: "\n".join(str(hit.id) for hit in value.hits),
    Diff: lambda value: "\n".join(str(one.id) for name in value.collections for one in name.points),
}


def name_of(value: ApiValue) -> str:
    """The name that a script passes on."""
    named = _NAMES.get(type(value))
    return str(value.id) if named is None else named(value)  # type: ignore[attr-defined]
