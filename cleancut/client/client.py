"""The Python client: every call of the public API, in values of `cleancut.api.operations`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Self, TypeVar

from google.protobuf.message import Message

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
from cleancut.api.values import ApiValue
from cleancut.api.wire import from_message, from_response, new_message, to_message
from cleancut.client.connection import CALL_S, Link, Method
from cleancut.client.defaults import ALL, CARE_S, DEEP_S, EVEN, GC_S, MARK_S, SEED, WHOLE
from cleancut.client.messages import (
    backup_message,
    import_message,
    page_message,
    seed_message,
)
from cleancut.client.waiting import follow, last_of, new_id
from cleancut.core.protocol.requests import BackupRequest, ImportRequest, SeedRequest
from cleancut.runtime.tls import Tls
from cleancut.v1 import backup_pb2 as backups
from cleancut.v1 import cluster_pb2 as cluster
from cleancut.v1 import rebalance_pb2 as rebalances
from cleancut.v1 import reshard_pb2 as reshards
from cleancut.v1 import restore_pb2 as restores
from cleancut.v1 import schedule_pb2 as schedules
from cleancut.v1 import undelete_pb2 as undeletes
from cleancut.v1.backup_pb2_grpc import BackupServiceStub
from cleancut.v1.cluster_pb2_grpc import ClusterServiceStub
from cleancut.v1.rebalance_pb2_grpc import RebalanceServiceStub
from cleancut.v1.reshard_pb2_grpc import ReshardServiceStub
from cleancut.v1.restore_pb2_grpc import RestoreServiceStub
from cleancut.v1.schedule_pb2_grpc import ScheduleServiceStub
from cleancut.v1.undelete_pb2_grpc import UndeleteServiceStub

S = TypeVar("S", bound=ApiValue)


class Client:
    """A cluster's coordinators as one. Use it as an async context manager.

    Backups are named by id or by the number of an epoch. What is started has a `request_id`: a
    repeat with the same one starts nothing new; without one it is a random one for each call.
    Raises: all calls raise kinds of `cleancut.core.primitives.errors`; Unavailable if no
    coordinator answers.
    Limits: a unary call takes at most `timeout_s` for each coordinator. `token_file`: holds a token
    that the coordinators know; it is sent over TLS and loopback only.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        tls: Tls | None = None,
        *,
        timeout_s: float = CALL_S,
        token_file: Path | None = None,
    ) -> None:
        self._link = Link(addresses, tls, timeout_s, token_file)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._link.close()

    async def plan_backup(self, request: BackupRequest = WHOLE) -> BackupPlan:
        """What a backup would do now, and what prevents it."""
        message = backups.PlanBackupRequest(backup=backup_message(request))
        return await self._slow(lambda c: BackupServiceStub(c).PlanBackup, message, BackupPlan)

    async def create_backup(self, request: BackupRequest = WHOLE, request_id: str = "") -> Backup:
        """The backup that was started. Order: repeatable with the same `request_id`."""
        message = backup_message(request, request_id or new_id())
        return await self._one(lambda c: BackupServiceStub(c).CreateBackup, message, Backup)

    async def create_and_wait(
        self, request: BackupRequest = WHOLE, request_id: str = "", *, timeout_s: float = DEEP_S
    ) -> Backup:
        """The committed backup. Raises: the kind of its error, if it ended otherwise; TimedOut, if
        it continues after `timeout_s`."""
        started = await self.create_backup(request, request_id)
        return await last_of(self.watch_backup(started.id), started, timeout_s)

    async def seed_backup(self, request: SeedRequest = SEED, request_id: str = "") -> Backup:
        """The seed that was started. Order: as `create_backup`."""
        message = seed_message(request, request_id or new_id())
        return await self._one(lambda c: BackupServiceStub(c).SeedBackup, message, Backup)

    async def import_backup(self, request: ImportRequest, request_id: str = "") -> Backup:
        """The import that was started, of what a command has stored. Order: as `create_backup`."""
        message = import_message(request, request_id or new_id())
        return await self._one(lambda c: BackupServiceStub(c).ImportBackup, message, Backup)

    async def get_backup(self, name: str) -> Backup:
        message = new_message(backups.GetBackupRequest, id=name)
        return await self._one(lambda c: BackupServiceStub(c).GetBackup, message, Backup)

    async def list_backups(
        self, page_size: int = 0, page_token: str = "", *, with_history: bool = False
    ) -> BackupPage:
        """`with_history`: also those that failed over 48 h ago."""
        message = new_message(
            backups.ListBackupsRequest, page_size=page_size, page_token=page_token, all=with_history
        )
        return await self._all(lambda c: BackupServiceStub(c).ListBackups, message, BackupPage)

    async def read_log(self, query: LogQuery) -> LogPage:
        """What was written when, from the archived log of a collection."""
        message = to_message(query, backups.ReadLogRequest)
        return await self._all(
            lambda c: BackupServiceStub(c).ReadLog, message, LogPage, timeout_s=DEEP_S
        )

    def watch_backup(self, name: str) -> AsyncGenerator[Backup, None]:
        """The backup now, then after each change; ends after a final state."""
        message = new_message(backups.WatchBackupRequest, id=name)
        return follow(self._link, lambda c: BackupServiceStub(c).WatchBackup, message, Backup)

    async def cancel_backup(self, name: str) -> Backup:
        message = new_message(backups.CancelBackupRequest, id=name)
        return await self._slow(lambda c: BackupServiceStub(c).CancelBackup, message, Backup)

    async def delete_backup(self, name: str) -> Backup:
        """The backup, which is deleted now: the caller means it."""
        message = new_message(backups.DeleteBackupRequest, id=name, confirmed=True)
        return await self._one(lambda c: BackupServiceStub(c).DeleteBackup, message, Backup)

    async def hold_backup(self, name: str, reason: str, for_s: float = 0.0) -> Backup:
        """Kept from retention and deletion; for ever, if `for_s` is 0. Order: repeatable."""
        message = new_message(backups.HoldBackupRequest, id=name, reason=reason, for_s=for_s)
        return await self._one(lambda c: BackupServiceStub(c).HoldBackup, message, Backup)

    async def release_backup(self, name: str, reason: str) -> Backup:
        message = new_message(backups.ReleaseBackupRequest, id=name, reason=reason)
        return await self._one(lambda c: BackupServiceStub(c).ReleaseBackup, message, Backup)

    async def collect_garbage(
        self, *, dry_run: bool = False, confirmed: bool = False
    ) -> GarbageCollection:
        """What retention and garbage came to, or would with `dry_run`. `confirmed`: also if it
        expires a larger share of the backups than usual. Limits: an hour."""
        message = new_message(backups.CollectGarbageRequest, dry_run=dry_run, confirmed=confirmed)
        return await self._one(
            lambda c: BackupServiceStub(c).CollectGarbage,
            message,
            GarbageCollection,
            timeout_s=GC_S,
        )

    async def repair_backup(self, backup_id: str, from_store: str) -> Repair:
        """Replaces damaged objects of a backup from the configured store of that name. Limits: a
        day."""
        message = new_message(
            backups.RepairBackupRequest, backup_id=backup_id, from_store=from_store
        )
        return await self._one(
            lambda c: BackupServiceStub(c).RepairBackup, message, Repair, timeout_s=DEEP_S
        )

    async def verify_backup(
        self, name: str, *, quick: bool = False, read_percent: int = 0, within_s: float = 0.0
    ) -> Verdict:
        """The leader reads all of the backup, or a share of it. Limits: a day."""
        options = {"quick": quick, "read_percent": read_percent, "within_s": within_s}
        message = new_message(backups.VerifyBackupRequest, id=name, **options)
        return await self._one(
            lambda c: BackupServiceStub(c).VerifyBackup, message, Verdict, timeout_s=DEEP_S
        )

    async def drill_backup(
        self, name: str, *, collections: Sequence[str] = (), shards: int = 0
    ) -> Drill:
        """The leader opens shards of the backup, and queries them. Limits: a day."""
        options = {"collections": collections, "shards": shards}
        message = new_message(backups.DrillBackupRequest, id=name, **options)
        return await self._one(
            lambda c: BackupServiceStub(c).DrillBackup, message, Drill, timeout_s=DEEP_S
        )

    async def list_schedules(self) -> ScheduleList:
        """As the coordinator that answers is configured."""
        message = schedules.ListSchedulesRequest()
        return await self._all(
            lambda c: ScheduleServiceStub(c).ListSchedules, message, ScheduleList
        )

    async def trigger_schedule(self, name: str, request_id: str = "") -> Backup:
        """The backup that was started. Order: repeatable with the same `request_id`."""
        message = new_message(
            schedules.TriggerScheduleRequest, name=name, request_id=request_id or new_id()
        )
        return await self._one(lambda c: ScheduleServiceStub(c).TriggerSchedule, message, Backup)

    async def pause_schedule(self, name: str) -> Schedule:
        message = new_message(schedules.PauseScheduleRequest, name=name)
        return await self._one(lambda c: ScheduleServiceStub(c).PauseSchedule, message, Schedule)

    async def resume_schedule(self, name: str) -> Schedule:
        """Its times count from now on; what has passed meanwhile is not caught up with."""
        message = new_message(schedules.ResumeScheduleRequest, name=name)
        return await self._one(lambda c: ScheduleServiceStub(c).ResumeSchedule, message, Schedule)

    async def put_schedule(self, schedule: Schedule) -> Schedule:
        """As it is now: a new one, or that of its `revision` replaced. Order: repeatable. Raises:
        Refused, if it was changed since, is another owner's, or is in the settings file."""
        value = to_message(schedule, schedules.Schedule)
        message = new_message(schedules.PutScheduleRequest, schedule=value)
        return await self._one(lambda c: ScheduleServiceStub(c).PutSchedule, message, Schedule)

    async def delete_schedule(self, name: str, revision: int, owner: str = "") -> None:
        """Its backups stay. `revision`: at which it was seen. Order: repeatable. Raises: as
        `put_schedule`."""
        message = new_message(
            schedules.DeleteScheduleRequest, name=name, revision=revision, owner=owner
        )
        await self._link.call(lambda c: ScheduleServiceStub(c).DeleteSchedule, message)

    async def plan_restore(
        self, backup: str, options: RestoreOptions = ALL, *, deep: bool = False
    ) -> RestorePlan:
        """What a restore would do. `deep`: all data that it would restore is read."""
        message = new_message(
            restores.PlanRestoreRequest,
            backup_id=backup,
            options=to_message(options, restores.RestoreOptions),
            deep=deep,
        )
        return await self._one(
            lambda c: RestoreServiceStub(c).PlanRestore,
            message,
            RestorePlan,
            timeout_s=DEEP_S if deep or options.target is not None else CARE_S,
        )

    async def start_restore(
        self,
        backup: str,
        request_id: str = "",
        options: RestoreOptions = ALL,
        plan_digest: str = "",
    ) -> Restore:
        """The restore that was started: the caller has read the plan and means it."""
        message = new_message(
            restores.StartRestoreRequest,
            request_id=request_id or new_id(),
            backup_id=backup,
            options=to_message(options, restores.RestoreOptions),
            confirmed=True,
            plan_digest=plan_digest,
        )
        return await self._one(lambda c: RestoreServiceStub(c).StartRestore, message, Restore)

    async def restore_and_wait(
        self,
        backup: str,
        options: RestoreOptions = ALL,
        request_id: str = "",
        *,
        timeout_s: float = DEEP_S,
    ) -> Restore:
        """The restore that is done. Raises: as `create_and_wait`."""
        started = await self.start_restore(backup, request_id, options)
        return await last_of(self.watch_restore(started.id), started, timeout_s)

    async def get_restore(self, name: str) -> Restore:
        message = new_message(restores.GetRestoreRequest, id=name)
        return await self._one(lambda c: RestoreServiceStub(c).GetRestore, message, Restore)

    async def list_restores(self, page_size: int = 0, page_token: str = "") -> RestorePage:
        message = page_message(restores.ListRestoresRequest, page_size, page_token)
        return await self._all(lambda c: RestoreServiceStub(c).ListRestores, message, RestorePage)

    def watch_restore(self, name: str) -> AsyncGenerator[Restore, None]:
        """As `watch_backup`."""
        message = new_message(restores.WatchRestoreRequest, id=name)
        return follow(self._link, lambda c: RestoreServiceStub(c).WatchRestore, message, Restore)

    async def cancel_restore(self, name: str) -> Restore:
        """As it ended; still open, if what it made could not be dropped within 40 s."""
        message = new_message(restores.CancelRestoreRequest, id=name)
        return await self._slow(lambda c: RestoreServiceStub(c).CancelRestore, message, Restore)

    async def clean_restore(self, name: str) -> Restore:
        """The old data that the restore has replaced is dropped, once nothing points to it."""
        message = new_message(restores.CleanRestoreRequest, id=name, confirmed=True)
        return await self._one(lambda c: RestoreServiceStub(c).CleanRestore, message, Restore)

    async def plan_rebalance(self, options: RebalanceOptions = EVEN) -> RebalancePlan:
        message = new_message(
            rebalances.PlanRebalanceRequest,
            options=to_message(options, rebalances.RebalanceOptions),
        )
        return await self._one(
            lambda c: RebalanceServiceStub(c).PlanRebalance, message, RebalancePlan
        )

    async def start_rebalance(
        self, request_id: str = "", options: RebalanceOptions = EVEN, plan_digest: str = ""
    ) -> Rebalance:
        """The rebalance that was started: the caller has read the plan and means it."""
        message = new_message(
            rebalances.StartRebalanceRequest,
            request_id=request_id or new_id(),
            options=to_message(options, rebalances.RebalanceOptions),
            confirmed=True,
            plan_digest=plan_digest,
        )
        return await self._one(lambda c: RebalanceServiceStub(c).StartRebalance, message, Rebalance)

    async def get_rebalance(self, name: str) -> Rebalance:
        message = new_message(rebalances.GetRebalanceRequest, id=name)
        return await self._one(lambda c: RebalanceServiceStub(c).GetRebalance, message, Rebalance)

    async def list_rebalances(self, page_size: int = 0, page_token: str = "") -> RebalancePage:
        message = page_message(rebalances.ListRebalancesRequest, page_size, page_token)
        return await self._all(
            lambda c: RebalanceServiceStub(c).ListRebalances, message, RebalancePage
        )

    def watch_rebalance(self, name: str) -> AsyncGenerator[Rebalance, None]:
        """As `watch_backup`."""
        message = new_message(rebalances.WatchRebalanceRequest, id=name)
        return follow(
            self._link, lambda c: RebalanceServiceStub(c).WatchRebalance, message, Rebalance
        )

    async def cancel_rebalance(self, name: str) -> Rebalance:
        """As it ended; still open, if its transfers could not be aborted within 40 s."""
        message = new_message(rebalances.CancelRebalanceRequest, id=name)
        return await self._one(
            lambda c: RebalanceServiceStub(c).CancelRebalance, message, Rebalance, timeout_s=CARE_S
        )

    async def plan_reshard(self, options: ReshardOptions) -> ReshardPlan:
        message = new_message(
            reshards.PlanReshardRequest, options=to_message(options, reshards.ReshardOptions)
        )
        return await self._one(lambda c: ReshardServiceStub(c).PlanReshard, message, ReshardPlan)

    async def start_reshard(
        self, request_id: str, options: ReshardOptions, plan_digest: str = ""
    ) -> Reshard:
        """The reshard that was started: the caller has read the plan and means it."""
        message = new_message(
            reshards.StartReshardRequest,
            request_id=request_id or new_id(),
            options=to_message(options, reshards.ReshardOptions),
            confirmed=True,
            plan_digest=plan_digest,
        )
        return await self._one(lambda c: ReshardServiceStub(c).StartReshard, message, Reshard)

    async def get_reshard(self, name: str) -> Reshard:
        message = new_message(reshards.GetReshardRequest, id=name)
        return await self._one(lambda c: ReshardServiceStub(c).GetReshard, message, Reshard)

    async def list_reshards(self, page_size: int = 0, page_token: str = "") -> ReshardPage:
        message = page_message(reshards.ListReshardsRequest, page_size, page_token)
        return await self._all(lambda c: ReshardServiceStub(c).ListReshards, message, ReshardPage)

    def watch_reshard(self, name: str) -> AsyncGenerator[Reshard, None]:
        """As `watch_backup`."""
        message = new_message(reshards.WatchReshardRequest, id=name)
        return follow(self._link, lambda c: ReshardServiceStub(c).WatchReshard, message, Reshard)

    async def cancel_reshard(self, name: str) -> Reshard:
        """As it ended; still open, if its step could not be aborted or finished within 40 s."""
        message = new_message(reshards.CancelReshardRequest, id=name)
        return await self._slow(lambda c: ReshardServiceStub(c).CancelReshard, message, Reshard)

    async def plan_undelete(self, options: UndeleteOptions) -> UndeletePlan:
        message = new_message(
            undeletes.PlanUndeleteRequest, options=to_message(options, undeletes.UndeleteOptions)
        )
        return await self._one(lambda c: UndeleteServiceStub(c).PlanUndelete, message, UndeletePlan)

    async def start_undelete(
        self, request_id: str, options: UndeleteOptions, plan_digest: str = ""
    ) -> Undelete:
        """The undelete that was started: the caller has read the plan and means it."""
        message = new_message(
            undeletes.StartUndeleteRequest,
            request_id=request_id or new_id(),
            options=to_message(options, undeletes.UndeleteOptions),
            confirmed=True,
            plan_digest=plan_digest,
        )
        return await self._one(lambda c: UndeleteServiceStub(c).StartUndelete, message, Undelete)

    async def get_undelete(self, name: str) -> Undelete:
        message = new_message(undeletes.GetUndeleteRequest, id=name)
        return await self._one(lambda c: UndeleteServiceStub(c).GetUndelete, message, Undelete)

    async def list_undeletes(self, page_size: int = 0, page_token: str = "") -> UndeletePage:
        message = page_message(undeletes.ListUndeletesRequest, page_size, page_token)
        return await self._all(
            lambda c: UndeleteServiceStub(c).ListUndeletes, message, UndeletePage
        )

    def watch_undelete(self, name: str) -> AsyncGenerator[Undelete, None]:
        """As `watch_backup`."""
        message = new_message(undeletes.WatchUndeleteRequest, id=name)
        return follow(self._link, lambda c: UndeleteServiceStub(c).WatchUndelete, message, Undelete)

    async def cancel_undelete(self, name: str) -> Undelete:
        """As it ended; still open, if its agents did not settle within 40 s."""
        message = new_message(undeletes.CancelUndeleteRequest, id=name)
        return await self._slow(lambda c: UndeleteServiceStub(c).CancelUndelete, message, Undelete)

    async def cluster_status(self) -> ClusterStatus:
        message = cluster.GetStatusRequest()
        return await self._one(lambda c: ClusterServiceStub(c).GetStatus, message, ClusterStatus)

    async def protection(self) -> Protection:
        message = cluster.GetProtectionRequest()
        return await self._one(lambda c: ClusterServiceStub(c).GetProtection, message, Protection)

    async def agent_settings(self) -> AgentSettings:
        message = cluster.GetAgentSettingsRequest()
        return await self._one(
            lambda c: ClusterServiceStub(c).GetAgentSettings, message, AgentSettings
        )

    async def update_agent_settings(self, change: AgentSettings) -> AgentSettings:
        """As they are now; what is None in `change` stays as it was."""
        settings = to_message(change, cluster.AgentSettings)
        message = new_message(cluster.UpdateAgentSettingsRequest, settings=settings)
        return await self._one(
            lambda c: ClusterServiceStub(c).UpdateAgentSettings, message, AgentSettings
        )

    async def adopt(self, request_id: str = "") -> Identity:
        message = new_message(cluster.AdoptRequest, request_id=request_id or new_id())
        return await self._one(lambda c: ClusterServiceStub(c).Adopt, message, Identity)

    async def diagnose(self) -> Diagnosis:
        """What is wrong with the cluster, and the exact fix."""
        message = cluster.DiagnoseRequest()
        return await self._all(
            lambda c: ClusterServiceStub(c).Diagnose, message, Diagnosis, timeout_s=CARE_S
        )

    async def archive(self) -> Archive:
        """What of each shard's log is archived, and what may be lost now."""
        message = cluster.GetArchiveRequest()
        return await self._slow(lambda c: ClusterServiceStub(c).GetArchive, message, Archive)

    async def take_mark(self, name: str, *, timeout_s: float = MARK_S) -> ArchiveMark:
        """A moment, under this name, at which all archived shards stood still; all that was written
        before it is stored. `timeout_s`: how long such a moment is looked for."""
        message = new_message(cluster.TakeMarkRequest, name=name, timeout_s=timeout_s)
        bound_s = timeout_s + CARE_S
        return await self._one(
            lambda c: ClusterServiceStub(c).TakeMark, message, ArchiveMark, timeout_s=bound_s
        )

    async def forget_peer(
        self, peer_id: int, *, force: bool = False, confirmed: bool = True, typed_peer_id: int = 0
    ) -> ForgottenPeer:
        """The peer is gone from the cluster; without `confirmed` only what that would lose. `force`
        needs `typed_peer_id`, the id again, for a peer heard within 10 minutes."""
        message = new_message(
            cluster.ForgetPeerRequest,
            peer_id=peer_id,
            force=force,
            confirmed=confirmed,
            typed_peer_id=typed_peer_id,
        )
        return await self._slow(lambda c: ClusterServiceStub(c).ForgetPeer, message, ForgottenPeer)

    async def _one(
        self, method: Method, message: Message, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        """The value in the only field of the response."""
        return from_response(await self._link.call(method, message, timeout_s=timeout_s), kind)

    async def _slow(self, method: Method, message: Message, kind: type[S]) -> S:
        """As `_one`, of a call that takes care."""
        return await self._one(method, message, kind, timeout_s=CARE_S)

    async def _all(
        self, method: Method, message: Message, kind: type[S], *, timeout_s: float | None = None
    ) -> S:
        return from_message(await self._link.call(method, message, timeout_s=timeout_s), kind)
