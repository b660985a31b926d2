"""What the reshard's machine asks for, done on the cluster and the store."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace

from cleancut.core.cluster.layout import Layout
from cleancut.core.cluster.peer_names import peer_and_id
from cleancut.core.cluster.resharding import Direction
from cleancut.core.cluster.ring_counts import BUCKETS
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import NotFound, TimedOut, Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId, ShardId
from cleancut.core.primitives.timestamps import parse_time
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.documents import AgentRingReport
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.requests import ReshardRequest
from cleancut.core.reshard.phases import (
    AbortStep,
    CommitRings,
    CompareRings,
    DoneStep,
    FinishedStep,
    FinishStep,
    MovePoints,
    PlannedStep,
    PlanStep,
    ReshardDraft,
    Tasks,
)
from cleancut.core.reshard.plan import (
    ReshardPlan,
    check_agreed,
    check_no_alias,
    check_reshard,
    check_same,
    make_reshard,
)
from cleancut.core.reshard.ring_rounds import RingRounds
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import Placement
from cleancut.repository.catalog import get_checked, put_staged, read_votes_documents
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import check_restored, read_sessions
from cleancut_coordinator.layout import read_allowed, read_layout
from cleancut_coordinator.leader.high_water import open_epoch, put_begun
from cleancut_coordinator.leader.state import format_now
from cleancut_coordinator.reshard.migration import CollectionGone, StepMigration, shards_of

_POLL_S = 0.5


class ReshardEffects:
    """One term's effects of reshards."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context
        self._step: StepMigration | None = None
        self._rounds = RingRounds()

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Probe():
                await open_epoch(self._context, effect)
                return None
            case PlanStep():
                return await self._arrange(effect)
            case MovePoints():
                return await self._move(effect)
            case CompareRings():
                return await self._compare(effect)
            case CommitRings():
                return await self._commit(effect)
            case FinishStep():
                return await self._finish(effect)
            case AbortStep():
                return await self._abort(effect)
            case _:
                raise AssertionError(f"not a reshard's effect: {effect}")

    async def plan(self, request: ReshardRequest) -> ReshardPlan:
        """What this reshard would do now. Raises: NotFound, Invalid, Refused, Unavailable."""
        layout = await read_layout(self._context)
        if request.collection not in {one.name for one in layout.collections}:
            aliases = await ask_any(self._context.peers, lambda peer: peer.aliases())
            check_no_alias(aliases, request.collection)
        allowed = await read_allowed(self._context)
        peers = tuple(replace(peer, reshards=allowed.get(peer.peer_id)) for peer in layout.peers)
        return make_reshard(Layout(peers=peers, collections=layout.collections), request)

    async def draft(self, epoch: Epoch, sha256: str) -> ReshardDraft:
        """What was staged. Raises: NotFound, Corrupt, Unavailable."""
        path = self._context.paths.staged(epoch, sha256)
        return decode(ReshardDraft, await get_checked(self._context.store, path, sha256), path)

    async def _migration(self, epoch: Epoch, sha256: str) -> StepMigration:
        if self._step is None or self._step.epoch != epoch:
            self._step = StepMigration(self._context, await self.draft(epoch, sha256))
        return self._step

    async def _arrange(self, effect: PlanStep) -> PlannedStep:
        if effect.before is None:
            await check_restored(self._context, effect.request.after, reshards=True)
        plan = await self.plan(effect.request)
        before = await self._before(effect)
        check_same(plan, before.plan.uuid if before else "")
        if effect.before is None:
            check_reshard(plan)
            check_agreed(plan, effect.request.plan)
        elif plan.blockers:
            raise Unavailable(f"the next step cannot begin: {plan.blockers[0]}")
        draft = ReshardDraft(
            epoch=effect.epoch,
            operation=effect.operation,
            plan=plan,
            first=before.first if before else plan.present,
            begun_at=format_now(self._context.clock),
            done=before.done if before else (),
        )
        staged = await put_staged(self._context.store, self._context.paths, effect.epoch, draft)
        return PlannedStep(staged, plan.present, len(plan.steps))

    async def _before(self, effect: PlanStep) -> ReshardDraft | None:
        """The draft of the attempt before; None for the first one, and for one that was garbage
        collected: only what it says of finished steps is lost."""
        if effect.before is None:
            return None
        try:
            return await self.draft(*effect.before)
        except NotFound:
            return None

    async def _move(self, effect: MovePoints) -> Tasks:
        await put_begun(self._context, effect.epoch)
        step = await self._migration(effect.epoch, effect.draft)
        await step.move()
        self._rounds = RingRounds()
        return await self._tasks(step.draft, effect.members, step.draft.step.changed)

    async def _tasks(
        self, draft: ReshardDraft, members: Sequence[AgentName], shards: Sequence[ShardId]
    ) -> Tasks:
        """Every replica of these shards, for the agent of its peer. Raises: Unavailable."""
        name, step = draft.plan.collection, draft.step
        placement = await ask_any(self._context.peers, partial(_placement, name=name))
        sessions = (await read_sessions(self._context)).values()
        agents = {one.peer_id: one.name for one in sessions if one.name in members}
        tasks: dict[AgentName, list[ShardTask]] = {}
        for replica in placement.shards:
            if replica.shard_id not in shards:
                continue
            agent = agents.get(PeerId(replica.peer_id))
            if agent is None:
                raise Unavailable(
                    f"peer {replica.peer_id} has no agent, so its replica of shard"
                    f" {replica.shard_id} of {name!r} cannot be counted",
                    "start cleancut-agent for that peer",
                )
            task = ShardTask(
                collection=name,
                shard_id=ShardId(replica.shard_id),
                peer_id=PeerId(replica.peer_id),
                size_bytes=step.size_bytes,
                old_ring=step.old,
                new_ring=step.new,
                buckets=BUCKETS,
            )
            tasks.setdefault(agent, []).append(task)
        return {agent: tuple(mine) for agent, mine in tasks.items()}

    async def _compare(self, effect: CompareRings) -> int:
        step = await self._migration(effect.epoch, effect.draft)
        reports = await self._reports(effect.epoch, effect.documents)
        counts = [one for report in reports for one in report.replicas]
        agents: dict[int, str] = {
            one.peer_id: report.agent for report in reports for one in report.replicas
        }
        now_s = self._context.clock.monotonic_s()
        self._rounds.add(counts, agents, now_s)
        if not self._rounds.lacking:
            return 0
        if self._rounds.hopeless(now_s):
            raise TimedOut(
                f"the replicas of {step.name!r} do not agree: {self._rounds.lacking[0]}",
                "copy the replica that is right over the others, then reshard again",
            )
        await self._context.clock.sleep(_POLL_S)
        return self._rounds.buckets

    async def _reports(
        self, epoch: Epoch, documents: Sequence[tuple[AgentName, str]]
    ) -> list[AgentRingReport]:
        store, paths = self._context.store, self._context.paths
        return await read_votes_documents(store, paths, AgentRingReport, documents, epoch=epoch)

    async def _commit(self, effect: CommitRings) -> Tasks:
        step = await self._migration(effect.epoch, effect.draft)
        await step.commit()
        draft = step.draft
        if draft.step.direction is Direction.DOWN:
            return {}
        return await self._tasks(draft, effect.members, draft.step.old)

    async def _abort(self, effect: AbortStep) -> int:
        """0, if the collection is gone, and so nothing of the step is left."""
        step = await self._migration(effect.epoch, effect.draft)
        try:
            left = await step.abort()
        except CollectionGone:
            return 0
        except NotFound as error:  # not all peers have applied it yet: sure at the next try
            raise Unavailable(error.message, error.hint) from error
        return len(shards_of(left, step.draft.plan.shard_key))

    async def _finish(self, effect: FinishStep) -> FinishedStep:
        step = await self._migration(effect.epoch, effect.draft)
        for report in await self._reports(effect.epoch, effect.documents):
            dirty = next((one for one in report.replicas if one.strays), None)
            if dirty is not None:
                at = peer_and_id(dirty.peer_id, {dirty.peer_id: report.agent})
                raise Unavailable(
                    f"shard {dirty.shard_id} of {step.name!r} at {at} still has"
                    f" {dirty.strays} points of other shards",
                    "restart that peer: it then cleans the shard again",
                )
        await step.finish()
        draft = step.draft
        present = draft.step.shards
        now_s = self._context.clock.wall_s()
        done = DoneStep(
            shards=present,
            shard_id=draft.step.shard_id,
            points=self._rounds.points,
            seconds=round(now_s - parse_time(draft.begun_at), 1),
        )
        ended = replace(draft, done=(*draft.done, done), ended=True)
        staged = await put_staged(self._context.store, self._context.paths, effect.epoch, ended)
        self._rounds = RingRounds()
        return FinishedStep(staged, present, len(draft.plan.steps) - 1)


async def _placement(peer: Qdrant, name: str) -> Placement:
    return await peer.placement(name)
