"""The servicers of cleancut.v1: messages in, one call of `Operations`, messages out.

Errors become statuses in `cleancut.rpc.interceptors.Border`. A standby answers reads and refuses
writes with the leader's address.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc.aio

from cleancut.api.agent_settings import AgentSettings
from cleancut.api.rebalances import RebalanceOptions
from cleancut.api.values import ApiValue
from cleancut.api.wire import from_message, to_message
from cleancut.core.primitives.errors import Refused
from cleancut.rpc.server import Listen, serve
from cleancut.v1 import (
    backup_pb2_grpc,
    cluster_pb2_grpc,
    rebalance_pb2_grpc,
    restore_pb2_grpc,
    schedule_pb2_grpc,
)
from cleancut.v1 import cluster_pb2 as cluster
from cleancut.v1 import rebalance_pb2 as rebalances
from cleancut.v1 import restore_pb2 as restores
from cleancut.v1 import schedule_pb2 as schedules
from cleancut_coordinator.api.backup_servicer import Backups, answer_of
from cleancut_coordinator.api.interface import Operations
from cleancut_coordinator.api.validation import (
    operation_name,
    options_of,
    page_of,
    request_id_of,
    require_leader,
)

SERVICES = (
    "cleancut.v1.BackupService",
    "cleancut.v1.RestoreService",
    "cleancut.v1.RebalanceService",
    "cleancut.v1.ScheduleService",
    "cleancut.v1.ClusterService",
)


def serve_api(operations: Operations, listen: Listen) -> AbstractAsyncContextManager[str]:
    """Serves the public API inside the block; gives the address it listens on (see `serve`)."""

    def register(server: grpc.aio.Server) -> None:
        backup_pb2_grpc.add_BackupServiceServicer_to_server(Backups(operations), server)
        restore_pb2_grpc.add_RestoreServiceServicer_to_server(Restores(operations), server)
        rebalance_pb2_grpc.add_RebalanceServiceServicer_to_server(Rebalances(operations), server)
        schedule_pb2_grpc.add_ScheduleServiceServicer_to_server(Schedules(operations), server)
        cluster_pb2_grpc.add_ClusterServiceServicer_to_server(Cluster(operations), server)

    return serve(listen, SERVICES, register)


class Restores:
    """RestoreService."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def PlanRestore(self, request: Any, _context: Any) -> Any:
        plan = await self._operations.plan_restore(
            operation_name(request.backup_id), options_of(request.options)
        )
        message = to_message(plan, restores.RestorePlan)
        return restores.PlanRestoreResponse(plan=message)

    async def StartRestore(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        if not request.confirmed:
            raise Refused("a restore was not confirmed", "read its plan, then set `confirmed`")
        started = await self._operations.start_restore(
            operation_name(request.backup_id),
            options_of(request.options),
            request_id=request_id_of(request.request_id),
            plan_digest=request.plan_digest,
        )
        return _restore(started, restores.StartRestoreResponse)

    async def GetRestore(self, request: Any, _context: Any) -> Any:
        found = await self._operations.get_restore(operation_name(request.id))
        return _restore(found, restores.GetRestoreResponse)

    async def ListRestores(self, request: Any, _context: Any) -> Any:
        page = await self._operations.list_restores(page_of(request))
        return to_message(page, restores.ListRestoresResponse)

    async def WatchRestore(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        async for seen in self._operations.watch_restore(operation_name(request.id)):
            yield _restore(seen, restores.WatchRestoreResponse)

    async def CancelRestore(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        asked = await self._operations.cancel_restore(operation_name(request.id))
        return _restore(asked, restores.CancelRestoreResponse)

    async def CleanRestore(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        if not request.confirmed:
            raise Refused("deleting was not confirmed", "look at `kept`, then set `confirmed`")
        cleaned = await self._operations.clean_restore(operation_name(request.id))
        return _restore(cleaned, restores.CleanRestoreResponse)


class Rebalances:
    """RebalanceService."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def PlanRebalance(self, request: Any, _context: Any) -> Any:
        options = from_message(request.options, RebalanceOptions)
        plan = await self._operations.plan_rebalance(options)
        return rebalances.PlanRebalanceResponse(plan=to_message(plan, rebalances.RebalancePlan))

    async def StartRebalance(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        if not request.confirmed:
            raise Refused("a rebalance was not confirmed", "read its plan, then set `confirmed`")
        started = await self._operations.start_rebalance(
            from_message(request.options, RebalanceOptions),
            request_id=request_id_of(request.request_id),
            plan_digest=request.plan_digest,
        )
        return _rebalance(started, rebalances.StartRebalanceResponse)

    async def GetRebalance(self, request: Any, _context: Any) -> Any:
        found = await self._operations.get_rebalance(operation_name(request.id))
        return _rebalance(found, rebalances.GetRebalanceResponse)

    async def ListRebalances(self, request: Any, _context: Any) -> Any:
        page = await self._operations.list_rebalances(page_of(request))
        return to_message(page, rebalances.ListRebalancesResponse)

    async def WatchRebalance(self, request: Any, _context: Any) -> AsyncIterator[Any]:
        async for seen in self._operations.watch_rebalance(operation_name(request.id)):
            yield _rebalance(seen, rebalances.WatchRebalanceResponse)

    async def CancelRebalance(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        asked = await self._operations.cancel_rebalance(operation_name(request.id))
        return _rebalance(asked, rebalances.CancelRebalanceResponse)


class Schedules:
    """ScheduleService."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def ListSchedules(self, _request: Any, _context: Any) -> Any:
        return to_message(await self._operations.list_schedules(), schedules.ListSchedulesResponse)

    async def TriggerSchedule(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        name, request_id = request.name, request_id_of(request.request_id)
        started = await self._operations.trigger_schedule(name, request_id)
        return answer_of(started, schedules.TriggerScheduleResponse)

    async def PauseSchedule(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        paused = await self._operations.pause_schedule(request.name, paused=True)
        return _schedule(paused, schedules.PauseScheduleResponse)

    async def ResumeSchedule(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        resumed = await self._operations.pause_schedule(request.name, paused=False)
        return _schedule(resumed, schedules.ResumeScheduleResponse)


class Cluster:
    """ClusterService."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def GetStatus(self, _request: Any, _context: Any) -> Any:
        status = await self._operations.cluster_status()
        return cluster.GetStatusResponse(status=to_message(status, cluster.ClusterStatus))

    async def Adopt(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        identity = await self._operations.adopt(request_id_of(request.request_id))
        return cluster.AdoptResponse(identity=to_message(identity, cluster.Identity))

    async def GetAgentSettings(self, _request: Any, _context: Any) -> Any:
        settings = to_message(await self._operations.agent_settings(), cluster.AgentSettings)
        return cluster.GetAgentSettingsResponse(settings=settings)

    async def UpdateAgentSettings(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        change = from_message(request.settings, AgentSettings)
        settings = await self._operations.update_agent_settings(change)
        message = to_message(settings, cluster.AgentSettings)
        return cluster.UpdateAgentSettingsResponse(settings=message)

    async def Diagnose(self, _request: Any, _context: Any) -> Any:
        return to_message(await self._operations.diagnose(), cluster.DiagnoseResponse)

    async def ForgetPeer(self, request: Any, _context: Any) -> Any:
        require_leader(self._operations)
        peer = await self._operations.forget_peer(
            request.peer_id, force=request.force, confirmed=request.confirmed
        )
        return cluster.ForgetPeerResponse(peer=to_message(peer, cluster.ForgottenPeer))


def _restore(value: ApiValue, response: Any) -> Any:
    return response(restore=to_message(value, restores.Restore))


def _rebalance(value: ApiValue, response: Any) -> Any:
    return response(rebalance=to_message(value, rebalances.Rebalance))


def _schedule(value: ApiValue, response: Any) -> Any:
    return response(schedule=to_message(value, schedules.Schedule))
