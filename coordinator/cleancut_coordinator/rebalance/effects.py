"""What the rebalance's machine asks for, done on the cluster and the store."""

from __future__ import annotations

from msgspec.structs import replace

from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import Refused, Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Operation, ShardTask
from cleancut.core.protocol.high_water import ReadMarks
from cleancut.core.protocol.replica_reports import AgentRestoreReport, RestoredShard
from cleancut.core.protocol.requests import RebalanceRequest
from cleancut.core.protocol.states import State
from cleancut.core.rebalance.phases import (
    AbortTransfers,
    MoveShards,
    PlanRebalance,
    RebalanceDraft,
    Report,
)
from cleancut.core.rebalance.plan import BalancePlan, check_balance, make_balance
from cleancut.repository.catalog import get_checked, put_staged
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_record, read_sessions
from cleancut_coordinator.leader.cluster_id import put_probe
from cleancut_coordinator.leader.high_water import put_begun, put_opened, read_marks
from cleancut_coordinator.rebalance.layout import read_layout
from cleancut_coordinator.rebalance.transfers import ShardTransfers, abort_transfers, read_now


class RebalanceEffects:
    """One term's effects of rebalances."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case ReadMarks():
                return await read_marks(self._context, effect.epoch)
            case Probe():
                await put_opened(self._context, effect.epoch)
                await put_probe(self._context, effect)
                return None
            case PlanRebalance():
                return await self._arrange(effect)
            case MoveShards():
                return await self._move(effect)
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
        await self._check_after(request)
        plan = check_balance(await self.plan(request))
        check_agreed(plan, request.plan)
        draft = RebalanceDraft(
            epoch=effect.epoch,
            operation=effect.operation,
            plan=plan,
            bandwidth_aware=request.bandwidth_aware,
        )
        return await put_staged(self._context.store, self._context.paths, effect.epoch, draft)

    async def _check_after(self, request: RebalanceRequest) -> None:
        if not request.after:
            return
        found = await read_record(
            self._context, self._context.keys.operation(request.after), Operation
        )
        state = found.state if found else State.ABORTED
        if state is not State.DONE:
            raise Refused(
                f"restore {request.after} is {state}, so there is nothing of it to rebalance",
                "restore again, with --rebalance",
            )

    async def _move(self, effect: MoveShards) -> dict[AgentName, tuple[ShardTask, ...]]:
        draft = await self.draft(effect.epoch, effect.draft)
        steps = draft.plan.steps
        await put_begun(self._context, effect.epoch)
        moves = ShardTransfers(
            self._context, effect.epoch, steps, bandwidth_aware=draft.bandwidth_aware
        )
        await moves.run()
        sessions = (await read_sessions(self._context)).values()
        agents = {s.peer_id: s.name for s in sessions if s.name in effect.members}
        now = await read_now(self._context, steps)
        tasks: dict[AgentName, dict[tuple[str, int], ShardTask]] = {}
        for step in steps:
            seen = now.get(step.shard)
            if step.target is None or seen is None or step.target not in seen.states:
                continue  # a later step, or somebody, took it from there
            agent = agents.get(step.target)
            if agent is None:
                raise Unavailable(
                    f"no agent is beside peer {step.target}, so its replica of shard"
                    f" {step.shard_id} of {step.collection!r} cannot be counted",
                    "start cleancut-agent beside it",
                )
            tasks.setdefault(agent, {})[step.shard] = ShardTask(
                collection=step.collection,
                shard_id=step.shard_id,
                peer_id=step.target,
                size_bytes=step.size_bytes,
            )
        return {agent: tuple(mine.values()) for agent, mine in tasks.items()}

    async def _report(self, effect: Report) -> str:
        draft = await self.draft(effect.epoch, effect.draft)
        found: list[RestoredShard] = []
        for agent, sha256 in effect.documents:
            path = self._context.paths.votes_document(effect.epoch, agent, sha256)
            data = await get_checked(self._context.store, path, sha256)
            found += decode(AgentRestoreReport, data, path).shards
        found.sort(key=lambda shard: (shard.collection, shard.shard_id, shard.peer_id))
        report = replace(draft, shards=tuple(found))
        return await put_staged(self._context.store, self._context.paths, effect.epoch, report)


def check_agreed(plan: BalancePlan, digest: str) -> None:
    """Raises: Refused, if another plan was agreed to."""
    if digest and digest != plan.digest:
        raise Refused(
            "the cluster has changed since the plan was made",
            "look at `cleancut cluster rebalance --plan` again",
        )
