"""Interface of the coordinator to the API server: one protocol for each kind of request.

Implementations own idempotency: the same request id and request give the same operation for 48 h;
the same id with another request is Invalid. All of them answer within the caller's deadline.
Raises: NotFound for what does not exist; Refused for what a precondition forbids; Unavailable on a
    standby that is asked to write, and while etcd or the store does not answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from cleancut.api.archive import Archive, ArchiveMark, LogPage, LogQuery
from cleancut.api.backups import Backup, BackupPage, BackupPlan
from cleancut.api.checks import Drill, Verdict
from cleancut.api.cluster import AgentSettings, ClusterStatus, Diagnosis, ForgottenPeer, Identity
from cleancut.api.garbage import GarbageCollection
from cleancut.api.protection import Protection
from cleancut.api.rebalances import Rebalance, RebalanceOptions, RebalancePage, RebalancePlan
from cleancut.api.repairs import Repair
from cleancut.api.reshards import Reshard, ReshardOptions, ReshardPage, ReshardPlan
from cleancut.api.restores import Restore, RestoreOptions, RestorePage, RestorePlan
from cleancut.api.schedules import Schedule, ScheduleList
from cleancut.api.undeletes import Undelete, UndeleteOptions, UndeletePage, UndeletePlan
from cleancut.core.protocol.requests import BackupRequest, ImportRequest, SeedRequest


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Part of a list: at most `size` entries, after the page that gave `token`. `all`: of backups,
    also those of the store's history, which were not committed."""

    size: int
    token: str = ""
    all: bool = False


class BackupApi(Protocol):
    """Backups, seeds and garbage. Backups are named by operation id or epoch."""

    async def plan_backup(self, request: BackupRequest) -> BackupPlan: ...

    async def create_backup(self, request: BackupRequest, request_id: str) -> Backup:
        """Leader only. Returns once the operation is recorded, not when it is done."""
        ...

    async def seed_backup(self, request: SeedRequest, request_id: str) -> Backup:
        """Leader only. As `create_backup`."""
        ...

    async def import_backup(self, request: ImportRequest, request_id: str) -> Backup:
        """Leader only. As `create_backup`, of what a command has stored of snapshots."""
        ...

    async def get_backup(self, name: str) -> Backup: ...

    async def list_backups(self, page: PageRequest) -> BackupPage:
        """Newest first: unfinished and failed operations as well as the catalog."""
        ...

    def watch_backup(self, name: str) -> AsyncIterator[Backup]:
        """The backup now, then after each change; ends after a final state."""
        ...

    async def cancel_backup(self, name: str) -> Backup:
        """Leader only. Repeatable; Refused if it is over in another way."""
        ...

    async def delete_backup(self, name: str) -> Backup:
        """Leader only. As it was; Refused while a restore needs it, here or elsewhere. A second
        time it is NotFound."""
        ...

    async def hold_backup(self, name: str, reason: str, for_s: float) -> Backup:
        """Leader only. As it is now; repeatable. For ever, if `for_s` is 0."""
        ...

    async def release_backup(self, name: str, reason: str) -> Backup:
        """Leader only. NotFound, if it is not held by this reason."""
        ...

    async def read_log(self, query: LogQuery) -> LogPage:
        """Of what is archived. NotFound, if no log of that collection is."""
        ...

    async def collect_garbage(self, *, dry_run: bool, confirmed: bool) -> GarbageCollection:
        """Leader only. What was done, or would be."""
        ...

    async def repair_backup(self, name: str, from_store: str) -> Repair:
        """Leader only. What was replaced from the configured store of that name."""
        ...

    async def verify_backup(
        self, name: str, *, quick: bool, read_percent: int, within_s: float
    ) -> Verdict:
        """Leader only. Refused, while another check is under way. `read_percent` 0: all."""
        ...

    async def drill_backup(self, name: str, *, collections: tuple[str, ...], shards: int) -> Drill:
        """Leader only. As `verify_backup`. `shards` 0: all."""
        ...


class ScheduleApi(Protocol):
    """Schedules of the coordinators' settings file, and those that calls define."""

    async def list_schedules(self) -> ScheduleList: ...

    async def trigger_schedule(self, name: str, request_id: str) -> Backup:
        """Leader only. As `create_backup`; Refused while its last one is under way."""
        ...

    async def pause_schedule(self, name: str, *, paused: bool) -> Schedule:
        """Leader only. Paused, or resumed; repeatable."""
        ...

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        """Leader only. As it is now; Refused, unless `revision` and `owner` are those of the one
        that it replaces, or if the file has the name."""
        ...

    async def delete_schedule(self, name: str, *, revision: int, owner: str) -> None:
        """Leader only. Refused as `put_schedule`."""
        ...


class RestoreApi(Protocol):
    """Restores."""

    async def plan_restore(
        self, backup: str, options: RestoreOptions, *, deep: bool = False
    ) -> RestorePlan: ...

    async def start_restore(
        self, backup: str, options: RestoreOptions, *, request_id: str, plan_digest: str
    ) -> Restore:
        """Leader only. Returns once the operation is recorded."""
        ...

    async def get_restore(self, name: str) -> Restore: ...

    async def list_restores(self, page: PageRequest) -> RestorePage: ...

    def watch_restore(self, name: str) -> AsyncIterator[Restore]:
        """As `watch_backup`; ROLLING_BACK is not final, NEEDS_OPERATOR is."""
        ...

    async def cancel_restore(self, name: str) -> Restore:
        """Leader only. Asks for a rollback."""
        ...

    async def clean_restore(self, name: str) -> Restore:
        """Leader only. Repeatable; Refused while anything points to the old data."""
        ...


class RebalanceApi(Protocol):
    """Rebalances."""

    async def plan_rebalance(self, options: RebalanceOptions) -> RebalancePlan: ...

    async def start_rebalance(
        self, options: RebalanceOptions, *, request_id: str, plan_digest: str
    ) -> Rebalance:
        """Leader only. Returns once the operation is recorded."""
        ...

    async def get_rebalance(self, name: str) -> Rebalance: ...

    async def list_rebalances(self, page: PageRequest) -> RebalancePage: ...

    def watch_rebalance(self, name: str) -> AsyncIterator[Rebalance]:
        """As `watch_restore`."""
        ...

    async def cancel_rebalance(self, name: str) -> Rebalance:
        """Leader only. Aborts what is under way; finished steps stay."""
        ...


class ReshardApi(Protocol):
    """Reshards."""

    async def plan_reshard(self, options: ReshardOptions) -> ReshardPlan: ...

    async def start_reshard(
        self, options: ReshardOptions, *, request_id: str, plan_digest: str
    ) -> Reshard:
        """Leader only. Returns once the operation is recorded."""
        ...

    async def get_reshard(self, name: str) -> Reshard: ...

    async def list_reshards(self, page: PageRequest) -> ReshardPage: ...

    def watch_reshard(self, name: str) -> AsyncIterator[Reshard]:
        """As `watch_restore`."""
        ...

    async def cancel_reshard(self, name: str) -> Reshard:
        """Leader only. Aborts the step under way, or finishes it; finished steps stay."""
        ...


class UndeleteApi(Protocol):
    """Undeletes."""

    async def plan_undelete(self, options: UndeleteOptions) -> UndeletePlan: ...

    async def start_undelete(
        self, options: UndeleteOptions, *, request_id: str, plan_digest: str
    ) -> Undelete:
        """Leader only. Returns once the operation is recorded."""
        ...

    async def get_undelete(self, name: str) -> Undelete: ...

    async def list_undeletes(self, page: PageRequest) -> UndeletePage: ...

    def watch_undelete(self, name: str) -> AsyncIterator[Undelete]:
        """As `watch_restore`."""
        ...

    async def cancel_undelete(self, name: str) -> Undelete:
        """Leader only. Ends it between two batches; what is back stays."""
        ...


class ClusterApi(Protocol):
    """The cluster itself, and the settings of its agents."""

    async def cluster_status(self) -> ClusterStatus: ...

    async def protection(self) -> Protection:
        """Whether each collection has a whole, undamaged backup that is young enough."""
        ...

    async def agent_settings(self) -> AgentSettings: ...

    async def update_agent_settings(self, change: AgentSettings) -> AgentSettings:
        """Leader only. As they are now."""
        ...

    async def adopt(self, request_id: str) -> Identity:
        """Leader only. Makes the store's owner this cluster; repeatable."""
        ...

    async def diagnose(self) -> Diagnosis: ...

    async def archive(self) -> Archive: ...

    async def take_mark(self, name: str, timeout_s: float) -> ArchiveMark:
        """Leader only. Waits until all that was written before it is stored."""
        ...

    async def forget_peer(
        self, peer_id: int, *, force: bool, confirmed: bool, typed_peer_id: int
    ) -> ForgottenPeer:
        """Leader only. Without `confirmed` nothing is done. Refused while the peer lives, or an
        operation is open, or, without `force`, while replicas are on it; with `force`, while it
        was heard within 10 minutes, unless `typed_peer_id` is its id again."""
        ...


@dataclass(frozen=True, slots=True)
class Api:
    """The whole API. `leader_address`: None if this process leads; otherwise where the leader's API
    answers, "" if there is no leader. `trouble`: why this process cannot lead, "" if it can."""

    leader_address: Callable[[], str | None]
    backups: BackupApi
    restores: RestoreApi
    rebalances: RebalanceApi
    reshards: ReshardApi
    undeletes: UndeleteApi
    schedules: ScheduleApi
    cluster: ClusterApi
    trouble: Callable[[], str] = lambda: ""
