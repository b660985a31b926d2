"""What the rebalance's machine asks for, done on the cluster and the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from cleancut.core.cluster.view import ACTIVE
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Refused, Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId, ShardId
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.documents import AgentRestoreReport
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.requests import RebalanceRequest
from cleancut.core.rebalance.phases import (
    AbortTransfers,
    CompareCounts,
    ComparedCounts,
    MoveShards,
    PlanRebalance,
    RebalanceDraft,
    ReplicasToCount,
    Report,
)
from cleancut.core.rebalance.plan import BalancePlan, check_balance, make_balance
from cleancut.core.rebalance.ready_moves import replicas_differ
from cleancut.core.rebalance.solver import Shard
from cleancut.repository.catalog import get_checked, put_staged, read_votes_documents
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import check_restored, read_sessions
from cleancut_coordinator.layout import read_layout
from cleancut_coordinator.leader.high_water import open_epoch, put_begun
from cleancut_coordinator.rebalance.transfers import ShardTransfers, abort_transfers, read_now

Tasks = Mapping[AgentName, tuple[ShardTask, ...]]


class RebalanceEffects:
    """One term's effects of rebalances."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context
        self._moves: ShardTransfers | None = None

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Probe():
                await open_epoch(self._context, effect)
                return None
            case PlanRebalance():
                return await self._arrange(effect)
            case MoveShards():
                return await self._move(effect)
            case CompareCounts():
                return await self._compare(effect)
            case AbortTransfers():
                draft = await self.draft(effect.epoch, effect.draft)
                await abort_transfers(self._context, effect.epoch, draft.plan.steps)
                return None
            case Report():
                return await self._report(effect)
            case _:
                raise AssertionError(f"not a rebalance's effect: {effect}")

    async def plan(self, request: RebalanceRequest) -> BalancePlan:
        """What this rebalance would do now. Raises: Refused, Unavailable."""
        layout = await read_layout(self._context)
        return make_balance(layout, request.max_moves, drop_surplus=request.drop_surplus)

    async def draft(self, epoch: Epoch, sha256: str) -> RebalanceDraft:
        """What was staged. Raises: NotFound, Corrupt, Unavailable."""
        path = self._context.paths.staged(epoch, sha256)
        return decode(RebalanceDraft, await get_checked(self._context.store, path, sha256), path)

    async def _arrange(self, effect: PlanRebalance) -> str:
        request = effect.request
        await check_restored(self._context, request.after)
        plan = check_balance(await self.plan(request))
        check_agreed(plan, request.plan)
        draft = RebalanceDraft(
            epoch=effect.epoch,
            operation=effect.operation,
            plan=plan,
            bandwidth_aware=request.bandwidth_aware,
        )
        return await put_staged(self._context.store, self._context.paths, effect.epoch, draft)

    async def _move(self, effect: MoveShards) -> Tasks | ReplicasToCount:
        draft = await self.draft(effect.epoch, effect.draft)
        steps = draft.plan.steps
        await put_begun(self._context, effect.epoch)
        if self._moves is None or self._moves.epoch != effect.epoch:
            self._moves = ShardTransfers(
                self._context, effect.epoch, steps, bandwidth_aware=draft.bandwidth_aware
            )
        uncounted = await self._moves.run(effect.counted, effect.differ)
        agents = await self._agents(effect.members)
        now = await read_now(self._context, steps)
        sizes = {step.shard: step.size_bytes for step in steps}
        if uncounted:
            replicas = [
                (shard, peer)
                for shard in uncounted
                if shard in now
                for peer, state in sorted(now[shard].states.items())
                if state == ACTIVE
            ]
            return ReplicasToCount(_tasks(replicas, agents, sizes))
        # a later step, or somebody, may have taken a replica on from its target
        made = {
            (step.shard, step.target): None
            for step in steps
            if step.target is not None
            and step.shard in now
            and step.target in now[step.shard].states
        }
        return _tasks(list(made), agents, sizes)

    async def _agents(self, members: Sequence[AgentName]) -> dict[PeerId | None, AgentName]:
        sessions = (await read_sessions(self._context)).values()
        return {one.peer_id: one.name for one in sessions if one.name in members}

    async def _compare(self, effect: CompareCounts) -> ComparedCounts:
        """Order: the replicas are read after they were counted: one that has come since is not."""
        draft = await self.draft(effect.epoch, effect.draft)
        counts: dict[Shard, dict[PeerId, tuple[int, int]]] = {}
        agents: dict[int, str] = {}
        for report in await self._counted(effect.epoch, effect.documents):
            for one in report.shards:
                shard = one.collection, ShardId(one.shard_id)
                counts.setdefault(shard, {})[one.peer_id] = (one.count, one.again)
                agents[one.peer_id] = report.agent
        now = await read_now(self._context, draft.plan.steps)
        agreed, differ = [], ""
        for shard, found in sorted(counts.items()):
            left = [step for step in draft.plan.steps if step.shard == shard]
            exact = any(step.action == "drop" for step in left)
            states = now[shard].states if shard in now else {}
            there = {peer for peer, state in states.items() if state == ACTIVE}
            why = replicas_differ(found, agents, exact=exact)
            if not why and there == found.keys():
                agreed.append(shard)
                continue
            differ = f"shard {shard[1]} of {shard[0]!r}: {why or 'its replicas change'}"
        return ComparedCounts(tuple(agreed), differ)

    async def _counted(
        self, epoch: Epoch, documents: Sequence[tuple[AgentName, str]]
    ) -> list[AgentRestoreReport]:
        store, paths = self._context.store, self._context.paths
        return await read_votes_documents(store, paths, AgentRestoreReport, documents, epoch=epoch)

    async def _report(self, effect: Report) -> str:
        draft = await self.draft(effect.epoch, effect.draft)
        reports = await self._counted(effect.epoch, effect.documents)
        found = [shard for report in reports for shard in report.shards]
        found.sort(key=lambda shard: (shard.collection, shard.shard_id, shard.peer_id))
        report = replace(draft, shards=tuple(found))
        return await put_staged(self._context.store, self._context.paths, effect.epoch, report)


def _tasks(
    replicas: Sequence[tuple[Shard, PeerId]],
    agents: Mapping[PeerId | None, AgentName],
    sizes: Mapping[Shard, int],
) -> Tasks:
    """These replicas, to be counted each by the agent of its peer. Raises: Unavailable, if there is
    none."""
    tasks: dict[AgentName, list[ShardTask]] = {}
    for (name, shard_id), peer in replicas:
        agent = agents.get(peer)
        if agent is None:
            raise Unavailable(
                f"peer {peer} has no agent, so its replica of shard {shard_id} of {name!r} cannot"
                " be counted",
                "start cleancut-agent for that peer",
            )
        task = ShardTask(
            collection=name,
            shard_id=shard_id,
            peer_id=peer,
            size_bytes=sizes.get((name, shard_id), 0),
        )
        tasks.setdefault(agent, []).append(task)
    return {agent: tuple(mine) for agent, mine in tasks.items()}


def check_agreed(plan: BalancePlan, digest: str) -> None:
    """Raises: Refused, if another plan was agreed to."""
    if digest and digest != plan.digest:
        raise Refused(
            "the cluster has changed since the plan was made",
            "look at `cleancut rebalance plan` again",
        )
