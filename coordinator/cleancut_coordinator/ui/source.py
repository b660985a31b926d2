"""Source of the status page: what it reads of the cluster, of etcd and of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from cleancut.api.backups import Backup
from cleancut.api.cluster import ClusterStatus, DoctorFinding
from cleancut.api.ended_work import EndedWork
from cleancut.api.from_story import backup_of, shown_stories, work_of
from cleancut.api.interface import Api, PageRequest
from cleancut.api.operations import Operation
from cleancut.api.protection import Protection
from cleancut.api.rebalances import Rebalance
from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore
from cleancut.api.schedules import Schedule
from cleancut.api.undeletes import Undelete
from cleancut.core.format.story import WORK
from cleancut.core.format.timeline import Timeline, timeline_of
from cleancut.core.maintenance.due_times import DueTimes, due_times
from cleancut.core.maintenance.schedule import CronTimes, Do, ScheduleRule
from cleancut.core.primitives.ids import Epoch
from cleancut.core.primitives.numbers import whole_number
from cleancut.core.protocol.etcd_records import Operation as Recorded
from cleancut.core.protocol.states import (
    BACKUP_KINDS,
    FINAL_STATES,
    IN_CATALOG,
    OperationKind,
    State,
)
from cleancut.core.verification.damage import LogEntry
from cleancut.page.seen import MOST_WORK
from cleancut.page.views import Placement
from cleancut.repository.catalog import load_group, read_manifest
from cleancut.repository.shown_catalog import ShownCatalog, newest_first
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.api.history import BackupHistory
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader import requests
from cleancut_coordinator.maintenance.scheduler import read_state
from cleancut_coordinator.ui.audit_file import newest_lines
from cleancut_coordinator.ui.placement import read_placement

_ALL = PageRequest(size=200)
_FAILED = PageRequest(size=1000, all=True)
_AT_ONCE = 8


class Source(Protocol):
    """Each part is read by itself, so that one that fails does not hide the others."""

    async def running(self) -> tuple[tuple[Operation, ...], Mapping[str, Timeline]]:
        """Operations that are not over, and the timelines of all that are recorded."""
        ...

    async def status(self) -> ClusterStatus: ...

    async def findings(self) -> tuple[DoctorFinding, ...]: ...

    async def protection(self) -> Protection: ...

    async def schedules(self) -> tuple[Schedule, ...]: ...

    async def due(self) -> Mapping[str, DueTimes]:
        """Of each schedule that makes backups, by its name."""
        ...

    async def backups(self) -> tuple[tuple[Backup, ...], bool]:
        """Newest first, and whether these are all."""
        ...

    async def restores(self) -> tuple[Restore, ...]: ...

    async def rebalances(self) -> tuple[Rebalance, ...]: ...

    async def reshards(self) -> tuple[Reshard, ...]: ...

    async def undeletes(self) -> tuple[Undelete, ...]: ...

    async def work(self) -> tuple[EndedWork, ...]:
        """The newest of what takes no turn, newest first."""
        ...

    def checks(self) -> tuple[LogEntry, ...]:
        """As the last reading of the backups has found them."""
        ...

    async def backup(self, name: str) -> Backup:
        """With the evidence of its shards. Raises: NotFound."""
        ...

    async def manifest(self, name: str) -> tuple[Epoch, bytes]:
        """The number of a backup, and its manifest as the store holds it. Raises: NotFound; what
        the store does."""
        ...

    async def timeline(self, backup: Backup) -> Timeline:
        """Of one that etcd has forgotten. Raises: NotFound."""
        ...

    async def placement(self) -> Placement:
        """Raises: what Qdrant does."""
        ...

    async def audit(self) -> list[dict[str, Any]] | None:
        """Newest first; None: no file is kept."""
        ...


class ClusterSource:
    """Of the cluster of a coordinator."""

    def __init__(
        self, context: CoordinatorContext, api: Api, audit_file: Path | None = None
    ) -> None:
        self._context, self._api, self._audit_file = context, api, audit_file
        self._catalog = ShownCatalog(context.store, context.paths)
        self._history = BackupHistory(context)

    async def running(self) -> tuple[tuple[Operation, ...], Mapping[str, Timeline]]:
        recorded = await requests.load_all(self._context, *OperationKind)
        now_s = self._context.clock.wall_s()
        timelines = {str(one.id): timeline_of(one, now_s) for one in recorded if one.traces}
        unfinished = [one for one in recorded if one.state not in FINAL_STATES]
        shown = await run_all([partial(self._shown, one) for one in unfinished], _AT_ONCE)
        return tuple(shown), timelines

    async def status(self) -> ClusterStatus:
        return await self._api.cluster.cluster_status()

    async def findings(self) -> tuple[DoctorFinding, ...]:
        return (await self._api.cluster.diagnose()).findings

    async def protection(self) -> Protection:
        return await self._api.cluster.protection()

    async def schedules(self) -> tuple[Schedule, ...]:
        return (await self._api.schedules.list_schedules()).schedules

    async def due(self) -> Mapping[str, DueTimes]:
        context, found = self._context, dict[str, DueTimes]()
        for one in await self.schedules():
            if one.do == Do.BACKUP:
                rule = ScheduleRule(cron=one.cron, time_zone=one.time_zone, jitter_s=one.jitter_s)
                clockwork = CronTimes(context.keys.cluster, one.name, rule)
                state = await read_state(context, one.name)
                found[one.name] = due_times(clockwork, state, context.clock.wall_s())
        return found

    async def backups(self) -> tuple[tuple[Backup, ...], bool]:
        await self._catalog.read()
        recorded = await requests.load_all(self._context, *BACKUP_KINDS)
        others = [one for one in recorded if one.state is not State.COMMITTED]
        shown: Sequence[Operation] = await run_all(
            [partial(self._shown, one) for one in others], _AT_ONCE
        )
        attempts = [one for one in shown if isinstance(one, Backup)]
        epochs = {Epoch(one.epoch) for one in self._catalog.backups}
        older = await self._history.older(recorded, epochs, _FAILED, *BACKUP_KINDS)
        ended = [backup_of(one.story) for one in older]
        found = [*self._catalog.backups, *attempts, *(one for one in ended if one is not None)]
        return newest_first(found), self._catalog.complete

    async def restores(self) -> tuple[Restore, ...]:
        return (await self._api.restores.list_restores(_ALL)).restores

    async def rebalances(self) -> tuple[Rebalance, ...]:
        return (await self._api.rebalances.list_rebalances(_ALL)).rebalances

    async def reshards(self) -> tuple[Reshard, ...]:
        return (await self._api.reshards.list_reshards(_ALL)).reshards

    async def undeletes(self) -> tuple[Undelete, ...]:
        return (await self._api.undeletes.list_undeletes(_ALL)).undeletes

    async def work(self) -> tuple[EndedWork, ...]:
        history = self._context.history
        found = await history.read((await history.entries(WORK))[:MOST_WORK])
        return tuple(shown_stories(found, work_of))

    def checks(self) -> tuple[LogEntry, ...]:
        return self._catalog.checks

    async def backup(self, name: str) -> Backup:
        return await self._api.backups.get_backup(name)

    async def manifest(self, name: str) -> tuple[Epoch, bytes]:
        number = whole_number(name)
        epoch = Epoch((await self.backup(name)).epoch if number is None else number)
        return epoch, await read_manifest(self._context.store, self._context.paths, epoch)

    async def timeline(self, backup: Backup) -> Timeline:
        context = self._context
        if backup.state in IN_CATALOG:
            found = await load_group(context.store, context.paths, Epoch(backup.epoch))
            return timeline_of(found)
        story = await context.history.read_whole(backup.id, BACKUP_KINDS)
        return Timeline() if story is None else timeline_of(story)

    async def placement(self) -> Placement:
        return await read_placement(self._context)

    async def audit(self) -> list[dict[str, Any]] | None:
        if self._audit_file is None:
            return None
        return await asyncio.to_thread(newest_lines, self._audit_file)

    async def _shown(self, one: Recorded) -> Operation:
        match one.kind:
            case OperationKind.RESTORE:
                return await self._api.restores.get_restore(one.id)
            case OperationKind.REBALANCE:
                return await self._api.rebalances.get_rebalance(one.id)
            case OperationKind.RESHARD:
                return await self._api.reshards.get_reshard(one.id)
            case OperationKind.UNDELETE:
                return await self._api.undeletes.get_undelete(one.id)
            case _:
                return await self._api.backups.get_backup(one.id)
