"""Process of an agent: fences are released at all times, and one session follows the other."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass

from cleancut.core.primitives.errors import Denied, LeaseLost, TimedOut, Unavailable
from cleancut.core.protocol.states import OperationKind
from cleancut.runtime.concurrency import first_of
from cleancut.runtime.health import Health
from cleancut.runtime.log import Logger, Trouble
from cleancut_agent.archive.follower import ArchiveFollower
from cleancut_agent.archive.read_ahead import ReadAhead
from cleancut_agent.backup.effects import AgentBackupEffects
from cleancut_agent.backup.journal import CaptureJournal
from cleancut_agent.backup.seed_effects import AgentSeedEffects
from cleancut_agent.context import AgentContext
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_agent.loop import AgentEffects, AgentLoop
from cleancut_agent.metrics import AgentMetrics
from cleancut_agent.reshard.effects import AgentReshardEffects
from cleancut_agent.restore.effects import AgentRestoreEffects
from cleancut_agent.restore.shard_checks import count_replica
from cleancut_agent.restore.tar_server import TarServer
from cleancut_agent.session import OpenSession, open_session
from cleancut_agent.settings_watch import watch_settings
from cleancut_agent.undelete.effects import AgentUndeleteEffects

_RETRY_S = 1.0


@dataclass(frozen=True, slots=True)
class AgentProcess:
    """Everything that outlives a session. `pool`: hashes and packs blocks."""

    context: AgentContext
    tars: TarServer
    watchdog: FenceWatchdog
    pool: Executor
    health: Health
    metrics: AgentMetrics
    log: Logger


async def serve_agent(process: AgentProcess) -> None:
    """Runs until an error that a new session cannot fix. Fences are released without a session
    too, and logs read on."""
    ahead = ReadAhead(process.context, process.log)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(process.watchdog.run())
            group.create_task(ahead.run())
            group.create_task(_serve_sessions(process, ahead))
    except BaseExceptionGroup as failures:
        raise first_of(failures) from failures
    finally:
        ahead.close()


async def _serve_sessions(process: AgentProcess, ahead: ReadAhead) -> None:
    """One session after the other. Denied is final only before the first session: later it may be
    a rotation of credentials that is under way."""
    trouble = Trouble(process.log)
    while True:
        try:
            await _serve_session(process, ahead, trouble)
        except (LeaseLost, Unavailable, TimedOut, Denied) as error:
            if isinstance(error, Denied) and not process.health.was_ready:
                raise
            trouble.tell("session ended", error.message, reason=error.reason)
        await process.context.clock.sleep(_RETRY_S)


async def _serve_session(process: AgentProcess, ahead: ReadAhead, trouble: Trouble) -> None:
    """`trouble`: ends once a session has begun."""
    async with open_session(process.context) as session:
        trouble.end()
        process.log.info("session opened", token=session.token, peer=session.said.peer_id)
        process.health.ready = True
        process.metrics.set_session(open_=True)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(watch_settings(process.context, process.log))
                await session_loop(process, session, ahead, group).run(group)
        except BaseExceptionGroup as failures:
            raise first_of(failures) from failures
        finally:
            process.health.ready = False
            process.metrics.set_session(open_=False)


def session_loop(
    process: AgentProcess, session: OpenSession, ahead: ReadAhead, group: asyncio.TaskGroup
) -> AgentLoop:
    """The loop of one session, with the effects of every kind of operation."""
    context, log = process.context, process.log
    journal = CaptureJournal(context.spill_dir)
    archive = ArchiveFollower(context, session, ahead, metrics=process.metrics.archive, log=log)
    group.create_task(archive.run())
    backups = AgentBackupEffects(
        context,
        group,
        process.pool,
        journal,
        watchdog=process.watchdog,
        reads_logs=lambda: session.said.wal == "",
        reads_files=lambda: session.said.capture == "",
        chain_of=archive.chain_of,
        count_captured=process.metrics.captures.count_captured,
    )
    effects: dict[OperationKind, AgentEffects] = {
        OperationKind.BACKUP: backups,
        OperationKind.IMPORT: backups,
        OperationKind.SEED: AgentSeedEffects(context, process.pool, backups, log=log),
        OperationKind.RESTORE: AgentRestoreEffects(context, process.tars),
        OperationKind.REBALANCE: AgentRestoreEffects(context, process.tars, count_replica),
        OperationKind.RESHARD: AgentReshardEffects(context),
        OperationKind.UNDELETE: AgentUndeleteEffects(context, session),
    }
    return AgentLoop(context, session, effects, metrics=process.metrics, log=log)
