"""What the undelete's machine asks for, done on the cluster and the store."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from cleancut.core.format.manifest import Manifest
from cleancut.core.points.selection import Selection, opened_shards, parse_filter
from cleancut.core.points.undeletion import check_target, check_version
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import NotFound, Refused, Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Session, ShardTask
from cleancut.core.protocol.fence import aliases_in_use
from cleancut.core.protocol.requests import UndeleteRequest
from cleancut.core.protocol.states import State
from cleancut.core.undelete.pace import pace_notes, pace_of
from cleancut.core.undelete.phases import (
    CountedPoints,
    CountPoints,
    FindAgents,
    PlannedUndelete,
    PlanUndelete,
    ShardProgress,
    UndeleteDraft,
)
from cleancut.core.undelete.plan import (
    PlannedShard,
    UndeletePlan,
    asked_of,
    check_agreed,
    check_undelete,
    shares,
    with_agents,
)
from cleancut.repository.catalog import get_checked, load_group, put_staged
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import read_all, read_sessions
from cleancut_coordinator.leader.high_water import open_epoch, put_ended


class UndeleteEffects:
    """One term's effects of undeletes."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Probe():
                await open_epoch(self._context, effect)
                return None
            case PlanUndelete():
                return await self._arrange(effect)
            case FindAgents():
                return frozenset(await read_sessions(self._context))
            case CountPoints():
                return await self._count(effect)
            case _:
                raise AssertionError(f"not an undelete's effect: {effect}")

    async def plan(
        self, request: UndeleteRequest, members: tuple[AgentName, ...] | None = None
    ) -> UndeletePlan:
        """What this undelete would do now. `members`: the agents that take part; None: all.

        Raises: NotFound, for a backup, collection or key; Invalid, Unavailable.
        """
        manifest = await load_group(self._context.store, self._context.paths, request.backup)
        shards = opened_shards(manifest, request.collection, selection_of(request))
        sessions = await read_sessions(self._context)
        present = {
            name: said
            for name, said in sessions.items()
            if said.peer_id is not None and (members is None or name in members)
        }
        target, uuid, info = await self._live(request.into)
        pace = pace_of(info)
        plan = UndeletePlan(
            backup=request.backup,
            collection=request.collection,
            into=request.into,
            asked=asked_of(request),
            shards=tuple(
                PlannedShard(
                    shard_id=ShardId(shard.shard_id),
                    shard_key=shard.shard_key,
                    points=len(part.ids) if part.ids is not None else shard.count,
                    size_bytes=shard.size_bytes,
                )
                for shard, part in shards
            ),
            notes=pace_notes(request.into, pace),
            blockers=await self._blockers(request, manifest, present, (target, info)),
            target=target,
            uuid=uuid,
            pace=pace,
        )
        return with_agents(plan, present)

    async def _live(self, into: str) -> tuple[str, str, dict[str, Any]]:
        """The collection of that name, or behind that alias: its own name, its uuid, and how Qdrant
        describes it. Raises: NotFound, if there is none."""
        peers = self._context.peers
        found = (await ask_any(peers, lambda peer: peer.telemetry())).collections
        aliases = aliases_in_use(await ask_any(peers, lambda peer: peer.aliases()), found)
        name = aliases.get(into, into)
        if name not in found:
            raise NotFound(
                f"there is no live collection {into!r}",
                "`cleancut restore start` restores a whole collection",
            )
        return name, found[name].uuid or "", {"config": found[name].config}

    async def _blockers(
        self,
        request: UndeleteRequest,
        manifest: Manifest,
        sessions: dict[AgentName, Session],
        live: tuple[str, dict[str, Any]],
    ) -> tuple[str, ...]:
        found = []
        into, target = live
        placement = await ask_any(self._context.peers, lambda peer: peer.placement(into))
        there = [key for key, _ in placement.shard_keys()]
        chosen = opened_shards(manifest, request.collection, selection_of(request))
        keys = [shard.shard_key for shard, _ in chosen if shard.shard_key is not None]
        try:
            check_target(manifest.collection(request.collection).info, target, keys, there)
        except Refused as error:
            found.append(f"{error.message}: {error.hint}")
        if not request.overwrite:
            for version in sorted({said.qdrant_version for said in sessions.values()} - {""}):
                try:
                    check_version(version)
                except Refused as error:
                    found.append(f"{error.message}: {error.hint}")
        return tuple(found)

    async def draft(self, epoch: Epoch, sha256: str) -> UndeleteDraft:
        """What was staged. Raises: NotFound, Corrupt, Unavailable."""
        path = self._context.paths.staged(epoch, sha256)
        return decode(UndeleteDraft, await get_checked(self._context.store, path, sha256), path)

    async def progress(self, operation: OperationId) -> tuple[ShardProgress, ...]:
        """How far each shard is, by number."""
        prefix = self._context.keys.undelete(operation)
        found = await read_all(self._context, prefix, ShardProgress)
        return tuple(sorted(found, key=lambda one: one.shard_id))

    async def _arrange(self, effect: PlanUndelete) -> PlannedUndelete:
        request = effect.request
        plan = check_undelete(await self.plan(request, effect.members))
        check_agreed(plan, request.plan)
        sessions = await read_sessions(self._context)
        tasks: dict[AgentName, list[ShardTask]] = {}
        for shard in plan.shards:
            peer = sessions[shard.agent].peer_id if shard.agent in sessions else None
            if peer is None:
                raise Unavailable(f"agent {shard.agent} is away", "it is tried again")
            task = ShardTask(
                collection=request.collection,
                shard_id=shard.shard_id,
                peer_id=PeerId(peer),
                size_bytes=shard.size_bytes,
                shard_key=shard.shard_key,
            )
            tasks.setdefault(shard.agent, []).append(task)
        draft = UndeleteDraft(
            epoch=effect.epoch,
            operation=effect.operation,
            request=request,
            plan=plan,
            points_per_s=shares(request.points_per_s, tuple(tasks)),
        )
        staged = await put_staged(self._context.store, self._context.paths, effect.epoch, draft)
        return PlannedUndelete(staged, {name: tuple(mine) for name, mine in tasks.items()})

    async def _count(self, effect: CountPoints) -> CountedPoints:
        draft = await self.draft(effect.epoch, effect.draft)
        shards = await self.progress(draft.operation)
        report = replace(draft, shards=shards)
        staged = await put_staged(self._context.store, self._context.paths, effect.epoch, report)
        await put_ended(self._context, effect.epoch, State.DONE)
        return CountedPoints(staged, sum(shard.restored for shard in shards))


def selection_of(request: UndeleteRequest) -> Selection:
    """Raises: Invalid, for a filter that is not a JSON object."""
    return Selection(
        ids=request.ids,
        filter=parse_filter(request.filter) if request.filter else None,
        shard_keys=request.shard_keys,
    )
