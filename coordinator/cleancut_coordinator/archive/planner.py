"""Planner of the archive: the leader writes which agent follows which shard, and asks for bases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from cleancut.core.archive.bases import Asked, ShardBase, due_bases, newest_peers, without_base
from cleancut.core.archive.plan import (
    ArchivePlan,
    Follower,
    plan_tasks,
)
from cleancut.core.cluster.live_shards import LiveShards
from cleancut.core.primitives.errors import CleancutError, Fenced, LeaseLost, NotFound
from cleancut.core.primitives.ids import AgentName, FencingToken, PeerId
from cleancut.core.protocol.fence import aliases_in_use
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.live_shards import live_shards
from cleancut.qdrant.responses import Placement
from cleancut.runtime.concurrency import run_all
from cleancut.runtime.log import Logger
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import (
    read_archive_plan,
    read_archive_states,
    read_sessions,
)
from cleancut_coordinator.leader.looks import look_for_ever
from cleancut_coordinator.leader.state import LeaderState

PLAN_S = 5.0
_BASES_S = 30.0
_AT_ONCE = 8
AskForBase = Callable[[str], Awaitable[str]]
"""Asks for a backup of a collection; what was started, or why none ever will be. Raises: what keeps
one from being started now."""


class ArchivePlanner:
    """One term's plan. `ask_for_base`: a chain that has none can restore nothing."""

    def __init__(
        self,
        context: CoordinatorContext,
        token: FencingToken,
        *,
        ask_for_base: AskForBase,
        log: Logger,
    ) -> None:
        self._context, self._log = context, log
        self._state = LeaderState(context, token)
        self._ask_for_base = ask_for_base
        self._read_bases: tuple[ShardBase, ...] = ()
        self._bases_at_s = float("-inf")
        self._asked: dict[str, Asked] = {}
        self._seen: dict[AgentName, tuple[PeerId, float]] = {}

    async def run(self) -> None:
        """Never returns. Raises: Fenced, if another coordinator leads."""

        def note(error: CleancutError) -> None:
            self._log.warning("archive not planned", cause=error.message)

        await look_for_ever(self.look, self._context.clock, PLAN_S, note)

    async def look(self) -> ArchivePlan:
        """One plan, written if it has changed. Raises: Fenced, and what could not be read."""
        context = self._context
        before = await read_archive_plan(context)
        settings = context.archive
        if not settings.collections and not before.tasks:
            return before
        await self._look_at_bases()
        collections = await self._collections() if settings.collections else ()
        tasks = plan_tasks(
            collections,
            await self._followers(),
            {task.place: task for task in before.tasks},
            newest_peers(self._read_bases),
        )
        plan = ArchivePlan(chunk_s=settings.chunk_s, tasks=tasks)
        if plan != before:
            await self._write(plan)
        await self._ask_for_bases(plan)
        return plan

    async def _write(self, plan: ArchivePlan) -> None:
        await self._state.put(self._context.keys.archive_plan, plan)
        agents = sorted({task.agent for task in plan.tasks})
        self._log.info("archive planned", shards=len(plan.tasks), agents=agents)

    async def _followers(self) -> list[Follower]:
        """Agents that can read logs, and those that could a while ago."""
        now_s = self._context.clock.monotonic_s()
        for session in (await read_sessions(self._context)).values():
            if session.peer_id is not None and session.wal == "":
                self._seen[session.name] = session.peer_id, now_s
            elif session.peer_id is not None and session.wal:
                self._seen.pop(session.name, None)  # it says that it cannot
        newest = sorted(self._seen.items(), key=lambda one: one[1][1])
        by_peer = {
            peer: Follower(agent=agent, peer=peer, away_s=now_s - at_s)
            for agent, (peer, at_s) in newest
        }
        return list(by_peer.values())

    async def _collections(self) -> Sequence[LiveShards]:
        return await ask_any(self._context.peers, self._shards_at)

    async def _shards_at(self, qdrant: Qdrant) -> list[LiveShards]:
        cluster = await qdrant.cluster()
        alone = not cluster.enabled
        telemetry = await qdrant.telemetry()
        aliases = aliases_in_use(await qdrant.aliases(), telemetry.collections)
        entries = [
            (name, entry)
            for name, entry in sorted(telemetry.collections.items())
            if self._context.archive.takes(name, aliases)
        ]
        placements = await run_all([partial(_placement, qdrant, n) for n, _ in entries], _AT_ONCE)
        return [
            live_shards(name, entry, placement, alone=alone)
            for (name, entry), placement in zip(entries, placements, strict=True)
            if placement is not None
        ]

    async def _look_at_bases(self) -> None:
        now_s = self._context.clock.monotonic_s()
        if now_s - self._bases_at_s >= _BASES_S:
            self._read_bases = await self._context.bases.read()
            self._bases_at_s = now_s

    async def _ask_for_bases(self, plan: ArchivePlan) -> None:
        """A backup of each collection that has a chain without a base; not again for a while."""
        states = await read_archive_states(self._context)
        lacking = without_base(plan, states, self._read_bases)
        due = due_bases(lacking, self._asked, self._context.clock.monotonic_s())
        for name, asked in due.items():
            try:
                outcome = await self._ask_for_base(name)
            except (Fenced, LeaseLost):
                raise
            except CleancutError as error:  # as while the backup before it is under way
                asked, outcome = Asked(asked.at_s), error.message
            self._asked[name] = asked
            self._log.info("base asked for", collection=name, outcome=outcome)


async def _placement(qdrant: Qdrant, name: str) -> Placement | None:
    try:
        return await qdrant.placement(name)
    except NotFound:
        return None  # it was deleted meanwhile
