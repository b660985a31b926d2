"""Servicers of cleancut.v1: a message in, one call of the API, a message out.

The interceptors of `cleancut.rpc` turn errors into statuses. A standby answers reads and refuses
writes with the leader's address.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc.aio

from cleancut.api.cluster import AgentSettings
from cleancut.api.interface import Api
from cleancut.api.rebalances import RebalanceOptions
from cleancut.api.reshards import ReshardOptions
from cleancut.api.schedules import Schedule
from cleancut.api.undeletes import UndeleteOptions
from cleancut.api.values import ApiValue
from cleancut.api.wire import from_message, to_message
from cleancut.core.primitives.errors import Refused
from cleancut.core.protocol.requests import BackupRequest, ImportRequest, SeedRequest
from cleancut.rpc.server import Listen, serve
from cleancut.v1 import backup_pb2 as backups
from cleancut.v1 import (
    backup_pb2_grpc,
    cluster_pb2_grpc,
    rebalance_pb2_grpc,
    reshard_pb2_grpc,
    restore_pb2_grpc,
    schedule_pb2_grpc,
    undelete_pb2_grpc,
)
from cleancut.v1 import cluster_pb2 as cluster
from cleancut.v1 import rebalance_pb2 as rebalances
from cleancut.v1 import reshard_pb2 as reshards
from cleancut.v1 import restore_pb2 as restores
from cleancut.v1 import schedule_pb2 as schedules
from cleancut.v1 import undelete_pb2 as undeletes
from cleancut_coordinator.api.validation import (
    attempts_of,
    collections_of,
    excluded_of,
    fence_of,
    log_query_of,
    operation_name,
    options_of,
    page_of,
    request_id_of,
    require_leader,
    streams_of,
    verify_of,
)

SERVICES = (
    "cleancut.v1.BackupService",
    "cleancut.v1.RestoreService",
    "cleancut.v1.RebalanceService",
    "cleancut.v1.ReshardService",
    "cleancut.v1.UndeleteService",
    "cleancut.v1.ScheduleService",
    "cleancut.v1.ClusterService",
)


def serve_api(api: Api, listen: Listen) -> AbstractAsyncContextManager[str]:
    """Serves the public API inside the block; gives the address it listens on (see `serve`)."""

    def register(server: grpc.aio.Server) -> None:
        backup_pb2_grpc.add_BackupServiceServicer_to_server(BackupServicer(api), server)
        restore_pb2_grpc.add_RestoreServiceServicer_to_server(RestoreServicer(api), server)
        rebalance_pb2_grpc.add_RebalanceServiceServicer_to_server(RebalanceServicer(api), server)
        reshard_pb2_grpc.add_ReshardServiceServicer_to_server(ReshardServicer(api), server)
        undelete_pb2_grpc.add_UndeleteServiceServicer_to_server(UndeleteServicer(api), server)
        schedule_pb2_grpc.add_ScheduleServiceServicer_to_server(ScheduleServicer(api), server)
        cluster_pb2_grpc.add_ClusterServiceServicer_to_server(ClusterServicer(api), server)

    return serve(listen, SERVICES, register)


class BackupServicer:
    """BackupService."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def PlanBackup(self, request: Any, _context: Any) -> Any:
        plan = await self._api.backups.plan_backup(_backup_request(request.backup))
        return backups.PlanBackupResponse(plan=to_message(plan, backups.BackupPlan))

    async def CreateBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        wanted = _backup_request(request)
        made = await self._api.backups.create_backup(wanted, request_id_of(request.request_id))
        return _backup(made, backups.CreateBackupResponse)

    async def SeedBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        wanted = SeedRequest(
            collections=collections_of(request.collections),
            streams=streams_of(request.streams),
            attempts=attempts_of(request.attempts),
        )
        made = await self._api.backups.seed_backup(wanted, request_id_of(request.request_id))
        return _backup(made, backups.SeedBackupResponse)

    async def ImportBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        wanted = ImportRequest(
            import_id=request.import_id,
            draft=request.draft,
            collection=request.collection,
            attempts=attempts_of(request.attempts),
        )
        made = await self._api.backups.import_backup(wanted, request_id_of(request.request_id))
        return _backup(made, backups.ImportBackupResponse)

    async def GetBackup(self, request: Any, _context: Any) -> Any:
        found = await self._api.backups.get_backup(operation_name(request.id))
        return _backup(found, backups.GetBackupResponse)

    async def ListBackups(self, request: Any, _context: Any) -> Any:
        page = await self._api.backups.list_backups(page_of(request, all_=request.all))
        return to_message(page, backups.ListBackupsResponse)

    async def ReadLog(self, request: Any, _context: Any) -> Any:
        page = await self._api.backups.read_log(log_query_of(request))
        return to_message(page, backups.ReadLogResponse)

    async def WatchBackup(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        async for seen in self._api.backups.watch_backup(operation_name(request.id)):
            yield _backup(seen, backups.WatchBackupResponse)

    async def CancelBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        asked = await self._api.backups.cancel_backup(operation_name(request.id))
        return _backup(asked, backups.CancelBackupResponse)

    async def DeleteBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        if not request.confirmed:
            raise Refused("deleting was not confirmed", "look at the backup, then set `confirmed`")
        deleted = await self._api.backups.delete_backup(operation_name(request.id))
        return _backup(deleted, backups.DeleteBackupResponse)

    async def HoldBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        name = operation_name(request.id)
        held = await self._api.backups.hold_backup(name, request.reason, request.for_s)
        return _backup(held, backups.HoldBackupResponse)

    async def ReleaseBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        name = operation_name(request.id)
        released = await self._api.backups.release_backup(name, request.reason)
        return _backup(released, backups.ReleaseBackupResponse)

    async def CollectGarbage(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        done = await self._api.backups.collect_garbage(
            dry_run=request.dry_run, confirmed=request.confirmed
        )
        return backups.CollectGarbageResponse(gc=to_message(done, backups.GarbageCollection))

    async def RepairBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        name = operation_name(request.backup_id)
        done = await self._api.backups.repair_backup(name, request.from_store)
        return backups.RepairBackupResponse(repair=to_message(done, backups.Repair))

    async def VerifyBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        found = await self._api.backups.verify_backup(
            operation_name(request.id), **verify_of(request)
        )
        return backups.VerifyBackupResponse(verdict=to_message(found, backups.Verdict))

    async def DrillBackup(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        found = await self._api.backups.drill_backup(
            operation_name(request.id),
            collections=collections_of(request.collections),
            shards=request.shards,
        )
        return backups.DrillBackupResponse(drill=to_message(found, backups.Drill))


class RestoreServicer:
    """RestoreService."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def PlanRestore(self, request: Any, _context: Any) -> Any:
        plan = await self._api.restores.plan_restore(
            operation_name(request.backup_id), options_of(request.options), deep=request.deep
        )
        message = to_message(plan, restores.RestorePlan)
        return restores.PlanRestoreResponse(plan=message)

    async def StartRestore(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        if not request.confirmed:
            raise Refused("a restore was not confirmed", "read its plan, then set `confirmed`")
        started = await self._api.restores.start_restore(
            operation_name(request.backup_id),
            options_of(request.options),
            request_id=request_id_of(request.request_id),
            plan_digest=request.plan_digest,
        )
        return _restore(started, restores.StartRestoreResponse)

    async def GetRestore(self, request: Any, _context: Any) -> Any:
        found = await self._api.restores.get_restore(operation_name(request.id))
        return _restore(found, restores.GetRestoreResponse)

    async def ListRestores(self, request: Any, _context: Any) -> Any:
        page = await self._api.restores.list_restores(page_of(request))
        return to_message(page, restores.ListRestoresResponse)

    async def WatchRestore(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        async for seen in self._api.restores.watch_restore(operation_name(request.id)):
            yield _restore(seen, restores.WatchRestoreResponse)

    async def CancelRestore(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        asked = await self._api.restores.cancel_restore(operation_name(request.id))
        return _restore(asked, restores.CancelRestoreResponse)

    async def CleanRestore(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        if not request.confirmed:
            raise Refused("deleting was not confirmed", "look at `kept`, then set `confirmed`")
        cleaned = await self._api.restores.clean_restore(operation_name(request.id))
        return _restore(cleaned, restores.CleanRestoreResponse)


class RebalanceServicer:
    """RebalanceService."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def PlanRebalance(self, request: Any, _context: Any) -> Any:
        options = from_message(request.options, RebalanceOptions)
        plan = await self._api.rebalances.plan_rebalance(options)
        return rebalances.PlanRebalanceResponse(plan=to_message(plan, rebalances.RebalancePlan))

    async def StartRebalance(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        if not request.confirmed:
            raise Refused("a rebalance was not confirmed", "read its plan, then set `confirmed`")
        started = await self._api.rebalances.start_rebalance(
            from_message(request.options, RebalanceOptions),
            request_id=request_id_of(request.request_id),
            plan_digest=request.plan_digest,
        )
        return _rebalance(started, rebalances.StartRebalanceResponse)

    async def GetRebalance(self, request: Any, _context: Any) -> Any:
        found = await self._api.rebalances.get_rebalance(operation_name(request.id))
        return _rebalance(found, rebalances.GetRebalanceResponse)

    async def ListRebalances(self, request: Any, _context: Any) -> Any:
        page = await self._api.rebalances.list_rebalances(page_of(request))
        return to_message(page, rebalances.ListRebalancesResponse)

    async def WatchRebalance(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        async for seen in self._api.rebalances.watch_rebalance(operation_name(request.id)):
            yield _rebalance(seen, rebalances.WatchRebalanceResponse)

    async def CancelRebalance(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        asked = await self._api.rebalances.cancel_rebalance(operation_name(request.id))
        return _rebalance(asked, rebalances.CancelRebalanceResponse)


class ReshardServicer:
    """ReshardService."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def PlanReshard(self, request: Any, _context: Any) -> Any:
        options = from_message(request.options, ReshardOptions)
        plan = await self._api.reshards.plan_reshard(options)
        return reshards.PlanReshardResponse(plan=to_message(plan, reshards.ReshardPlan))

    async def StartReshard(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        if not request.confirmed:
            raise Refused("a reshard was not confirmed", "read its plan, then set `confirmed`")
        started = await self._api.reshards.start_reshard(
            from_message(request.options, ReshardOptions),
            request_id=request_id_of(request.request_id),
            plan_digest=request.plan_digest,
        )
        return _reshard(started, reshards.StartReshardResponse)

    async def GetReshard(self, request: Any, _context: Any) -> Any:
        found = await self._api.reshards.get_reshard(operation_name(request.id))
        return _reshard(found, reshards.GetReshardResponse)

    async def ListReshards(self, request: Any, _context: Any) -> Any:
        page = await self._api.reshards.list_reshards(page_of(request))
        return to_message(page, reshards.ListReshardsResponse)

    async def WatchReshard(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        async for seen in self._api.reshards.watch_reshard(operation_name(request.id)):
            yield _reshard(seen, reshards.WatchReshardResponse)

    async def CancelReshard(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        asked = await self._api.reshards.cancel_reshard(operation_name(request.id))
        return _reshard(asked, reshards.CancelReshardResponse)


class UndeleteServicer:
    """UndeleteService."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def PlanUndelete(self, request: Any, _context: Any) -> Any:
        options = from_message(request.options, UndeleteOptions)
        plan = await self._api.undeletes.plan_undelete(options)
        return undeletes.PlanUndeleteResponse(plan=to_message(plan, undeletes.UndeletePlan))

    async def StartUndelete(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        if not (request.confirmed or request.options.count_only):
            raise Refused("an undelete was not confirmed", "read its plan, then set `confirmed`")
        started = await self._api.undeletes.start_undelete(
            from_message(request.options, UndeleteOptions),
            request_id=request_id_of(request.request_id),
            plan_digest=request.plan_digest,
        )
        return _undelete(started, undeletes.StartUndeleteResponse)

    async def GetUndelete(self, request: Any, _context: Any) -> Any:
        found = await self._api.undeletes.get_undelete(operation_name(request.id))
        return _undelete(found, undeletes.GetUndeleteResponse)

    async def ListUndeletes(self, request: Any, _context: Any) -> Any:
        page = await self._api.undeletes.list_undeletes(page_of(request))
        return to_message(page, undeletes.ListUndeletesResponse)

    async def WatchUndelete(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        async for seen in self._api.undeletes.watch_undelete(operation_name(request.id)):
            yield _undelete(seen, undeletes.WatchUndeleteResponse)

    async def CancelUndelete(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        asked = await self._api.undeletes.cancel_undelete(operation_name(request.id))
        return _undelete(asked, undeletes.CancelUndeleteResponse)


class ScheduleServicer:
    """ScheduleService."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def ListSchedules(self, _request: Any, _context: Any) -> Any:
        return to_message(
            await self._api.schedules.list_schedules(), schedules.ListSchedulesResponse
        )

    async def TriggerSchedule(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        name, request_id = request.name, request_id_of(request.request_id)
        started = await self._api.schedules.trigger_schedule(name, request_id)
        return _backup(started, schedules.TriggerScheduleResponse)

    async def PauseSchedule(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        paused = await self._api.schedules.pause_schedule(request.name, paused=True)
        return _schedule(paused, schedules.PauseScheduleResponse)

    async def ResumeSchedule(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        resumed = await self._api.schedules.pause_schedule(request.name, paused=False)
        return _schedule(resumed, schedules.ResumeScheduleResponse)

    async def PutSchedule(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        put = await self._api.schedules.put_schedule(from_message(request.schedule, Schedule))
        return _schedule(put, schedules.PutScheduleResponse)

    async def DeleteSchedule(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        await self._api.schedules.delete_schedule(
            request.name, revision=request.revision, owner=request.owner
        )
        return schedules.DeleteScheduleResponse()


class ClusterServicer:
    """ClusterService."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def GetStatus(self, _request: Any, _context: Any) -> Any:
        status = await self._api.cluster.cluster_status()
        return cluster.GetStatusResponse(status=to_message(status, cluster.ClusterStatus))

    async def Adopt(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        identity = await self._api.cluster.adopt(request_id_of(request.request_id))
        return cluster.AdoptResponse(identity=to_message(identity, cluster.Identity))

    async def GetAgentSettings(self, _request: Any, _context: Any) -> Any:
        settings = to_message(await self._api.cluster.agent_settings(), cluster.AgentSettings)
        return cluster.GetAgentSettingsResponse(settings=settings)

    async def UpdateAgentSettings(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        change = from_message(request.settings, AgentSettings)
        settings = await self._api.cluster.update_agent_settings(change)
        message = to_message(settings, cluster.AgentSettings)
        return cluster.UpdateAgentSettingsResponse(settings=message)

    async def GetProtection(self, _request: Any, _context: Any) -> Any:
        protection = to_message(await self._api.cluster.protection(), cluster.Protection)
        return cluster.GetProtectionResponse(protection=protection)

    async def Diagnose(self, _request: Any, _context: Any) -> Any:
        return to_message(await self._api.cluster.diagnose(), cluster.DiagnoseResponse)

    async def GetArchive(self, _request: Any, _context: Any) -> Any:
        archive = to_message(await self._api.cluster.archive(), cluster.Archive)
        return cluster.GetArchiveResponse(archive=archive)

    async def TakeMark(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        mark = await self._api.cluster.take_mark(request.name, request.timeout_s)
        return cluster.TakeMarkResponse(mark=to_message(mark, cluster.ArchiveMark))

    async def ForgetPeer(self, request: Any, _context: Any) -> Any:
        require_leader(self._api)
        peer = await self._api.cluster.forget_peer(
            request.peer_id,
            force=request.force,
            confirmed=request.confirmed,
            typed_peer_id=request.typed_peer_id,
        )
        return cluster.ForgetPeerResponse(peer=to_message(peer, cluster.ForgottenPeer))


def _backup_request(message: Any) -> BackupRequest:
    """Raises: Invalid."""
    return BackupRequest(
        collections=collections_of(message.collections),
        allow_empty=message.allow_empty,
        require_point_in_time=message.require_point_in_time,
        attempts=attempts_of(message.attempts),
        fence=fence_of(message.fence),
        fence_budget_s=message.fence_budget_s,
        full=message.full,
        exclude=excluded_of(message.exclude),
        allow_missing=message.allow_missing,
        audit=message.audit,
        labels=dict(message.labels),
        keep_s=message.keep_s,
    )


def _backup(value: ApiValue, response: Any) -> Any:
    """The message that carries one backup."""
    return response(backup=to_message(value, backups.Backup))


def _restore(value: ApiValue, response: Any) -> Any:
    return response(restore=to_message(value, restores.Restore))


def _rebalance(value: ApiValue, response: Any) -> Any:
    return response(rebalance=to_message(value, rebalances.Rebalance))


def _reshard(value: ApiValue, response: Any) -> Any:
    return response(reshard=to_message(value, reshards.Reshard))


def _undelete(value: ApiValue, response: Any) -> Any:
    return response(undelete=to_message(value, undeletes.Undelete))


def _schedule(value: ApiValue, response: Any) -> Any:
    return response(schedule=to_message(value, schedules.Schedule))
