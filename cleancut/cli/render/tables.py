"""Which table shows which value. Layout may change at any time; scripts use `-o json`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import RenderableType

from cleancut.api.archive import Archive, ArchiveMark, LogPage
from cleancut.api.backups import Backup, BackupPlan, Evidence
from cleancut.api.checks import Drill, Verdict
from cleancut.api.cluster import AgentSettings, Identity
from cleancut.api.copies import Copy
from cleancut.api.diffs import Diff
from cleancut.api.garbage import GarbageCollection
from cleancut.api.rebalances import Rebalance, RebalancePlan
from cleancut.api.repairs import Repair
from cleancut.api.reshards import Reshard, ReshardPlan
from cleancut.api.restores import Restore, RestorePlan
from cleancut.api.schedules import Schedule
from cleancut.api.searches import SearchAnswer
from cleancut.api.undeletes import Undelete, UndeletePlan
from cleancut.cli.render import (
    archive_tables,
    backup_tables,
    cluster_tables,
    copy_tables,
    diff_tables,
    log_tables,
    plan_tables,
    rebalance_tables,
    reshard_tables,
    restore_tables,
    schedule_tables,
    search_tables,
    undelete_tables,
)

ONE: dict[type[Any], Callable[[Any], RenderableType]] = {
    Backup: backup_tables.backup,
    BackupPlan: plan_tables.backup_plan,
    Evidence: backup_tables.evidence,
    Verdict: backup_tables.verdict,
    Drill: backup_tables.drill,
    Copy: copy_tables.copy,
    Repair: copy_tables.repair,
    Diff: diff_tables.diff,
    SearchAnswer: search_tables.answer,
    GarbageCollection: backup_tables.gc,
    Restore: restore_tables.restore,
    RestorePlan: restore_tables.plan,
    Rebalance: rebalance_tables.rebalance,
    RebalancePlan: rebalance_tables.rebalance_plan,
    Reshard: reshard_tables.reshard,
    ReshardPlan: reshard_tables.reshard_plan,
    Undelete: undelete_tables.undelete,
    UndeletePlan: undelete_tables.undelete_plan,
    Schedule: schedule_tables.schedule,
    Identity: cluster_tables.identity,
    AgentSettings: cluster_tables.settings,
    LogPage: log_tables.log,
    Archive: archive_tables.archive,
    ArchiveMark: archive_tables.mark,
}
MANY: dict[str, Callable[[Any], RenderableType]] = {
    "backups": backup_tables.backup_list,
    "restores": restore_tables.restore_list,
    "rebalances": rebalance_tables.rebalance_list,
    "reshards": reshard_tables.reshard_list,
    "undeletes": undelete_tables.undelete_list,
    "schedules": schedule_tables.schedule_list,
}
