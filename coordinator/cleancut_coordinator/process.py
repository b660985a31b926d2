"""Process of a coordinator: it stands by, leads, and stands by again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from cleancut import __version__
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import (
    CleancutError,
    Denied,
    Fenced,
    LeaseLost,
    TimedOut,
    Unavailable,
)
from cleancut.core.primitives.ids import FencingToken
from cleancut.core.protocol.etcd_records import Coordinator
from cleancut.core.protocol.states import OperationKind
from cleancut.ports.coordination import Lease, Put
from cleancut.rpc.forwarding import Forwarding
from cleancut.runtime.concurrency import first_of
from cleancut.runtime.health import Health
from cleancut.runtime.log import Logger, Trouble
from cleancut_coordinator.archive.mark_taker import MarkTaker
from cleancut_coordinator.archive.planner import ArchivePlanner
from cleancut_coordinator.backup.effects import LeaderBackupEffects
from cleancut_coordinator.backup.import_effects import LeaderImportEffects
from cleancut_coordinator.backup.seed_effects import LeaderSeedEffects
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.cluster_id import establish, read_identities
from cleancut_coordinator.leader.election import TTL_S, campaign, read_leader
from cleancut_coordinator.leader.term import LeaderEffects, LeaderTerm
from cleancut_coordinator.leadership import Leadership
from cleancut_coordinator.maintenance.asked_checks import AskedChecks
from cleancut_coordinator.maintenance.copy_collector import CopyCollector
from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector
from cleancut_coordinator.maintenance.notifier import Notifier
from cleancut_coordinator.maintenance.scheduler import Scheduler
from cleancut_coordinator.maintenance.story_keeper import StoryKeeper
from cleancut_coordinator.metrics.registry import CoordinatorMetrics
from cleancut_coordinator.monitoring.collector import MetricsCollector
from cleancut_coordinator.monitoring.peer_observer import PeerObserver
from cleancut_coordinator.rebalance.effects import RebalanceEffects
from cleancut_coordinator.reshard.effects import ReshardEffects
from cleancut_coordinator.restore.effects import RestoreEffects
from cleancut_coordinator.restore.source_hold import renew_holds
from cleancut_coordinator.undelete.effects import UndeleteEffects

_RETRY_S = 1.0
_LEADER_POLL_S = 2.0
_STORE_RETRY_S = 2.0
_CERTIFICATE_S = 60.0


@dataclass(slots=True)
class CoordinatorProcess:
    """Everything that outlives a term. `listening`: where the API is served; `address`: the same
    as other processes reach it.
    `leadership`: None on a standby. `leader_elsewhere`: the API of the leader, as a standby last
    read it. `has_read_store`: once since it began. `has_led`: settings and store were right once,
    so that no error of a term ends the process. `trouble`: why its last term ended, until the next
    one is under way. `forwarding`: of calls to the leader; None without."""

    context: CoordinatorContext
    health: Health
    metrics: CoordinatorMetrics
    log: Logger
    listening: str = ""
    address: str = ""
    leadership: Leadership | None = None
    leader_elsewhere: str = ""
    has_led: bool = False
    has_read_store: bool = False
    trouble: str = ""
    forwarding: Forwarding | None = None

    def leading(self) -> Leadership:
        """Raises: Unavailable on a standby."""
        if self.leadership is None:
            raise Unavailable("this coordinator does not lead", "ask the leader")
        return self.leadership

    def token(self) -> FencingToken | None:
        """None on a standby."""
        return None if self.leadership is None else self.leadership.token

    def report_skipped(self, key: str, cause: str) -> None:
        """Once for each key of etcd that cannot be decoded."""
        self.metrics.count_skipped()
        self.log.warning("record in etcd skipped", key=key, cause=cause)

    def leader_address(self) -> str | None:
        """None: this process leads. Otherwise the address of the leader's API, "" if unknown."""
        return None if self.leadership is not None else self.leader_elsewhere


async def serve_coordinator(process: CoordinatorProcess) -> None:
    """One term after the other. Denied is final only before the first one: later it may be a
    rotation of credentials that is under way."""
    process.context.skipped.report = process.report_skipped
    async with asyncio.TaskGroup() as group:
        group.create_task(MetricsCollector(process.context, process.metrics, process.log).run())
        while True:
            try:
                await _serve_term(process)
            except CleancutError as error:
                passing = isinstance(error, LeaseLost | Fenced | Unavailable | TimedOut)
                denied_later = isinstance(error, Denied) and process.health.was_ready
                if not passing and not denied_later and not process.has_led:
                    raise
                trouble = f"{error} [{error.reason}]"
                told = process.log.debug if trouble == process.trouble else process.log.warning
                told("term ended", reason=error.reason, cause=error.message, hint=error.hint)
                process.trouble = trouble
            await process.context.clock.sleep(_RETRY_S)


async def _serve_term(process: CoordinatorProcess) -> None:
    context = process.context
    async with context.etcd.lease(TTL_S) as lease:
        known = await _register(process, lease)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_renew_certificate(process, lease, known))
                following = group.create_task(_follow_leader(process))
                await _wait_store(process, lease)
                process.health.ready = True
                token = await campaign(context, lease, process.address)
                following.cancel()
                await establish(context, token)
                process.has_led = True
                metrics, log = process.metrics, process.log
                term = LeaderTerm(
                    context,
                    lease,
                    token,
                    effects=leader_effects(context),
                    metrics=metrics,
                    log=log,
                    bounds=context.bounds,
                )
                garbage = GarbageCollector(context, lease, token, metrics=metrics, log=log)
                scheduler = Scheduler(context, token, poke=term.poke, log=log)
                observer = PeerObserver(context, token, log)
                ask = scheduler.back_up
                planner = ArchivePlanner(context, token, ask_for_base=ask, log=log)
                marks = MarkTaker(context, token, log)
                process.trouble = ""
                checks = AskedChecks(context, lease.id, token, log)
                process.leadership = Leadership(token, term, garbage, scheduler, marks, checks)
                metrics.set_leading(leading=True)
                log.info("leading", token=token)
                group.create_task(garbage.run())
                group.create_task(CopyCollector(context, lease, metrics, log).run())
                scheduler.begin(group)
                group.create_task(checks.run())
                group.create_task(observer.run())
                group.create_task(planner.run())
                group.create_task(marks.run())
                group.create_task(StoryKeeper(context, token, log).run())
                group.create_task(renew_holds(context, log))
                if context.notify:
                    notifier = Notifier(context, token, metrics=metrics.notified, log=log)
                    group.create_task(notifier.run())
                await term.run(group)
        except BaseExceptionGroup as failures:
            raise first_of(failures) from failures
        finally:
            process.leadership = None
            process.metrics.set_leading(leading=False)
            process.health.ready = False


async def _wait_store(process: CoordinatorProcess, lease: Lease) -> None:
    """Returns once this process has read the store. Before, it is not ready and does not lead, so
    a roll-out with wrong credentials ends no coordinator that works.

    Raises: what the store refuses it with; LeaseLost.
    """
    told = Trouble(process.log)
    while not process.has_read_store:
        try:
            await read_identities(process.context)
        except (Unavailable, TimedOut) as error:
            process.health.lacks = f"the store cannot be read: {error.message}"
            process.trouble = f"{error} [{error.reason}]"
            told.tell("waits for the store", error.message, reason=error.reason)
        else:
            process.has_read_store, process.trouble = True, ""
            process.health.lacks = "not connected to etcd"
            return
        if not lease.alive():
            raise LeaseLost("the coordinator's lease ended while it waited for the store")
        await process.context.clock.sleep(_STORE_RETRY_S)


async def _register(process: CoordinatorProcess, lease: Lease) -> str:
    """Others see that this coordinator leads or stands by, as long as its lease lives. The
    certificate that they see."""
    context, forwarding = process.context, process.forwarding
    certificate = forwarding.certificate() if forwarding is not None else ""
    record = Coordinator(
        name=context.name,
        address=process.address,
        version=__version__,
        key=forwarding.public_key if forwarding is not None else "",
        certificate=certificate,
    )
    key = context.keys.coordinator(context.name)
    await context.etcd.txn([], [Put(key, encode(record), lease=lease.id)])
    return certificate


async def _renew_certificate(process: CoordinatorProcess, lease: Lease, known: str) -> None:
    """Others see a replaced certificate within a minute; `known`: the one that they see."""
    while process.forwarding is not None:
        await process.context.clock.sleep(_CERTIFICATE_S)
        try:
            if process.forwarding.certificate() != known:
                known = await _register(process, lease)
        except (Denied, Unavailable, TimedOut) as error:
            process.log.debug("certificate not renewed", cause=error.message)


def leader_effects(context: CoordinatorContext) -> dict[OperationKind, LeaderEffects]:
    """The effects of every kind of operation."""
    backups = LeaderBackupEffects(context)
    return {
        OperationKind.BACKUP: backups,
        OperationKind.SEED: LeaderSeedEffects(context, backups),
        OperationKind.IMPORT: LeaderImportEffects(context, backups),
        OperationKind.RESTORE: RestoreEffects(context),
        OperationKind.REBALANCE: RebalanceEffects(context),
        OperationKind.RESHARD: ReshardEffects(context),
        OperationKind.UNDELETE: UndeleteEffects(context),
    }


async def _follow_leader(process: CoordinatorProcess) -> None:
    """Reads again and again where the leader answers, for callers that ask a standby."""
    while True:
        try:
            leader = await read_leader(process.context)
        except (Unavailable, TimedOut):
            leader = None
        process.leader_elsewhere = leader.address if leader else ""
        await process.context.clock.sleep(_LEADER_POLL_S)
