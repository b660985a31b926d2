"""What the restore's machine asks for, done on the cluster and the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from msgspec.structs import replace

from cleancut.core.primitives.errors import Corrupt, TimedOut
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.documents import AgentRestoreReport
from cleancut.core.protocol.effect_requests import Drain, Drained, Probe
from cleancut.core.protocol.etcd_records import Session, ShardTask
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import State
from cleancut.core.restore.overwrite import DrainOld
from cleancut.core.restore.phases import (
    CheckRestore,
    Create,
    MakeWay,
    MarkPublished,
    PublishRestore,
    Review,
    RollBack,
    TakeUp,
)
from cleancut.core.restore.plan import PlacementPlan, check_agreed, check_plan, make_plan
from cleancut.core.restore.report import (
    RestoreDraft,
    RestoreReport,
    check_report,
    draft_of,
    review,
    slowest,
)
from cleancut.core.restore.target import Target
from cleancut.repository.catalog import load_group, put_staged, read_votes_documents
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import first_peer
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_ctl, read_sessions
from cleancut_coordinator.leader.high_water import (
    check_undoable,
    open_epoch,
    put_begun,
    put_ended,
    put_published,
)
from cleancut_coordinator.leader.state import format_now
from cleancut_coordinator.restore.create_collections import CollectionCreator, known_creations
from cleancut_coordinator.restore.destination import AgentHost
from cleancut_coordinator.restore.final_checks import check_canaries, observe_created
from cleancut_coordinator.restore.overwrite import drain_old, find_old, hold_old, release_old
from cleancut_coordinator.restore.publish import find_replaced, publish_restore
from cleancut_coordinator.restore.repair_shards import (
    ShardRepairer,
    add_live_collections,
    observe_collection,
)
from cleancut_coordinator.restore.replay_checks import (
    check_bound_s,
    check_entries,
    find_lost_entries,
)
from cleancut_coordinator.restore.resharded import (
    make_way,
    read_promised,
    review_resharded,
    take_up,
)
from cleancut_coordinator.restore.source_hold import drop_hold, put_hold
from cleancut_coordinator.restore.staged import load_staged
from cleancut_coordinator.restore.target import read_target
from cleancut_coordinator.restore.whole import (
    advice,
    find_damage,
    newest_whole,
    planned_shards,
)

T = TypeVar("T")
DRAIN_S = 60.0
_AT_ONCE = 16
_EFFECT_S = 120.0
_COLLECTION_S = 20.0
_SHARD_S = 4.0
"""To create a custom shard key with its fillers, and to move an empty shard."""


class RestoreEffects:
    """One term's effects of restores."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Probe():
                await open_epoch(self._context, effect)
                return None
            case CheckRestore():
                return await self._check(effect)
            case Drain():
                return await self._drain(effect)
            case Review():
                return await self._review(effect)
            case DrainOld():
                draft = await self._draft(effect.epoch, effect.draft)
                return await self._bounded("DrainOld", _EFFECT_S, drain_old(self._context, draft))
            case MakeWay():
                return await make_way(self._context, await self._draft(effect.epoch, effect.draft))
            case TakeUp():
                return await take_up(self._context, effect)
            case MarkPublished():
                return await put_published(self._context, effect.epoch, effect.report)
            case Create() | PublishRestore() | RollBack():
                return await self._change(effect)
            case _:
                raise AssertionError(f"not a restore's effect: {effect}")

    async def _target(
        self, request: RestoreRequest, members: Mapping[AgentName, int] | None = None
    ) -> Target:
        context = self._context
        target = await read_target(context, members, reshards=bool(request.shards))
        target = replace(target, promised=await read_promised(context))
        return await add_live_collections(context, request, target)

    async def plan(self, request: RestoreRequest, *, deep: bool = False) -> PlacementPlan:
        """What this restore would do now. Damage of what it would read is a blocker: objects that
        are missing, known damage, and with `deep` what reading all of it finds.

        Raises: NotFound, Corrupt for the group; Refused, if it lies in an archive; Unavailable.
        """
        context = self._context
        store, source = context.store_of(request.from_store), context.paths.of(request.from_cluster)
        manifest = await load_group(store, source, request.backup)
        plan = make_plan(manifest, request, await self._target(request))
        shards = planned_shards(manifest, plan)
        damage = await find_damage(store, source, shards, deep=deep)
        if deep and request.target is not None:
            damage += await find_lost_entries(context.store, source, request.target)
        if not damage:
            return plan
        names = {shard.collection for shard in shards}
        other = await newest_whole(store, source, names, but=request.backup)
        first = f"the backup is damaged: {damage[0]}; {advice(other)}"
        return replace(plan, blockers=(*plan.blockers, first, *damage[1:]))

    # PREPARE

    async def _check(self, effect: CheckRestore) -> str:
        context, request, ctl = self._context, effect.request, await read_ctl(self._context)
        store, source = context.store_of(request.from_store), context.paths.of(request.from_cluster)
        manifest = await load_group(store, source, request.backup)
        target = await self._target(request, dict(effect.members))
        plan = check_plan(make_plan(manifest, request, target, ctl.operation))
        check_agreed(plan, request.plan)
        draft = draft_of(manifest, plan, effect.epoch, ctl.operation, request=request)
        if request.overwrite:
            draft = replace(draft, old=await find_old(context, draft))
        if draft.elsewhere:
            await put_hold(context, draft)
            await load_group(store, source, request.backup)  # held before it was deleted
        await self._check_whole(draft, request.backup)
        if draft.moment is not None:
            checked = check_entries(context.store, source, draft)
            draft = await self._bounded("CheckRestore", check_bound_s(draft.moment), checked)
        return await put_staged(context.store, context.paths, effect.epoch, draft)

    async def _check_whole(self, draft: RestoreDraft, epoch: Epoch) -> None:
        """Raises: Corrupt, before anything is created."""
        store = self._context.store_of(draft.store)
        source = self._context.paths.of(draft.source)
        damage = await find_damage(store, source, draft.shards)
        if damage:
            names = {shard.collection for shard in draft.shards}
            others = f" and {len(damage) - 1} more" if len(damage) > 1 else ""
            raise Corrupt(
                f"the backup is damaged: {damage[0]}{others}",
                advice(await newest_whole(store, source, names, but=epoch)),
            )

    async def _draft(self, epoch: Epoch, sha256: str) -> RestoreDraft:
        return await load_staged(self._context, RestoreDraft, epoch, sha256)

    # CREATE, PUBLISH, ROLLBACK

    async def _change(self, effect: Create | PublishRestore | RollBack) -> object:
        draft = await self._draft(effect.epoch, effect.draft)
        shards = sum(max(entry.shard_ids, default=0) + 1 for entry in draft.collections)
        bound_s = _EFFECT_S + _COLLECTION_S * len(draft.collections) + _SHARD_S * shards
        name = type(effect).__name__
        return await self._bounded(name, bound_s, self._change_unbounded(effect, draft))

    async def _bounded(self, name: str, bound_s: float, work: Coroutine[Any, Any, T]) -> T:
        """Raises: TimedOut."""
        try:
            return await self._within(bound_s, work)
        except TimeoutError as error:
            raise TimedOut(
                f"{name} took over {bound_s:.0f} s", "see the logs of Qdrant's peers and the store"
            ) from error

    async def _change_unbounded(
        self, effect: Create | PublishRestore | RollBack, draft: RestoreDraft
    ) -> Mapping[AgentName, tuple[ShardTask, ...]] | bool | None:
        match effect:
            case Create():
                await put_begun(self._context, effect.epoch)
                await hold_old(self._context, draft)
                sessions = await read_sessions(self._context)
                return await self._recreation(draft).create(_hosts(effect.members, sessions))
            case PublishRestore():
                if not await self._reveal(draft, effect.read_s):
                    return False
                state = State.DONE
            case RollBack():
                await check_undoable(self._context, effect.epoch)
                await self._recreation(draft).undo()
                await release_old(self._context, draft)
                state = State.ROLLED_BACK
        await drop_hold(self._context, draft)
        await put_ended(self._context, effect.epoch, state)
        return None

    def _recreation(self, draft: RestoreDraft) -> CollectionCreator | ShardRepairer:
        return (ShardRepairer if draft.repairs else CollectionCreator)(self._context, draft)

    async def _reveal(self, draft: RestoreDraft, read_s: float | None) -> bool:
        return await publish_restore(self._context, draft, read_s)

    # VERIFY

    async def _drain(self, effect: Drain) -> Drained:
        draft = await self._draft(effect.epoch, effect.draft)
        if draft.repairs:  # others write, and another lost shard would refuse it
            return Drained((), format_now(self._context.clock))
        peer = await first_peer(self._context.peers)
        drains = [
            partial(
                peer.drain,
                planned.created_as,
                entry.shard_ids,
                entry.shard_keys,
                timeout_s=DRAIN_S,
            )
            for planned, entry in zip(draft.planned, draft.collections, strict=True)
            if entry.shard_ids  # without any key there is nothing to drain
        ]
        await self._at_once(drains)
        return Drained((), format_now(self._context.clock))

    async def _review(self, effect: Review) -> str:
        draft = await self._draft(effect.epoch, effect.draft)
        if draft.verified:
            report = await review_resharded(self._context, draft)
            report = await self._with_canaries(replace(draft, strict=False), report)
            return await put_staged(self._context.store, self._context.paths, effect.epoch, report)
        documents = await read_votes_documents(
            self._context.store,
            self._context.paths,
            AgentRestoreReport,
            effect.documents,
            epoch=effect.epoch,
        )
        kept = await find_replaced(self._context, draft)
        look = partial(observe_collection, self._context)
        if not draft.repairs:
            known = await known_creations(self._context, effect.epoch)
            look = partial(observe_created, self._context, known)
        looks = {one.name: await look(one.created_as) for one in draft.planned}
        found = tuple(shard for document in documents for shard in document.shards)
        recovered_bytes, recover_s = slowest(documents)
        report = replace(
            review(draft, found, looks, kept),
            recovered_bytes=recovered_bytes,
            recover_s=recover_s,
            draft=effect.draft,
        )
        check_report(report)
        report = await self._with_canaries(draft, report)
        return await put_staged(self._context.store, self._context.paths, effect.epoch, report)

    async def _with_canaries(self, draft: RestoreDraft, report: RestoreReport) -> RestoreReport:
        return await check_canaries(self._context, draft, report)

    # What needs an event loop: a simulation has none, and does these in its own way

    async def _at_once(self, calls: Sequence[Callable[[], Awaitable[None]]]) -> None:
        await run_all(calls, _AT_ONCE)

    async def _within(self, seconds: float, work: Coroutine[Any, Any, T]) -> T:
        """Raises: TimeoutError, once it has ended `work`."""
        async with asyncio.timeout(seconds):
            return await work


def _hosts(
    members: Sequence[tuple[AgentName, int]], sessions: Mapping[AgentName, Session]
) -> dict[PeerId, AgentHost]:
    """By peer; those whose session has gone are left out."""
    hosts = {}
    for name, free_bytes in members:
        session = sessions.get(name)
        if session is not None and session.peer_id is not None:
            hosts[session.peer_id] = AgentHost(name, free_bytes)
    return hosts
