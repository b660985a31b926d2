"""What the backup's machine asks for, done on the cluster and the store."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from msgspec.structs import replace

from cleancut import __version__
from cleancut.core.backup.assignment import Usable, assign
from cleancut.core.backup.phases import (
    Assign,
    Assigned,
    Compare,
    DrainWrites,
    Publish,
    Raise,
    Stage,
    StoreCanaries,
)
from cleancut.core.backup.warnings import (
    check_replicas_agree,
    concerned,
    cut_in_waves,
    divergent,
    excluded_unknown,
    left_out,
    never_still,
    not_drained,
    optimized,
    replayed_by_state,
    unseen_peers,
)
from cleancut.core.cluster.collection_config import hides_unoptimized, why_undrainable
from cleancut.core.cluster.view import View
from cleancut.core.format.manifest import (
    AgentDocument,
    ClusterEntry,
    CollectionEntry,
    Draft,
    Manifest,
    ReplicaEntry,
    ShardEntry,
    check_complete,
    format_of,
    parse_manifest,
)
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import CleancutError, Corrupt, Unavailable
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Drain, Drained, Probe
from cleancut.core.protocol.etcd_records import Bounds, Session
from cleancut.core.protocol.fence import (
    aliases_of,
    check_seen_everywhere,
    choose_fence,
    facts_of,
    tag_of,
)
from cleancut.core.protocol.requests import STREAMS_TO_OPEN, BackupRequest
from cleancut.core.verification.canaries import proven
from cleancut.repository.catalog import get_checked, publish_group, put_staged
from cleancut.runtime.concurrency import run_all
from cleancut_coordinator.any_peer import ask_any
from cleancut_coordinator.backup.assignment_inputs import (
    read_archived,
    read_fullness,
    read_homes,
    read_parents,
    read_view_and_sessions,
)
from cleancut_coordinator.backup.canaries import choose_questions, read_canaries, stored_canaries
from cleancut_coordinator.backup.choice import choose
from cleancut_coordinator.backup.collection_entries import check_schemas
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.cluster_id import check_store_owner, put_probe
from cleancut_coordinator.leader.fences import drain_writes, raise_fence
from cleancut_coordinator.leader.high_water import put_opened
from cleancut_coordinator.leader.installation import MARK, check_before_backup, own_id
from cleancut_coordinator.leader.state import format_now

_AT_ONCE = 16
_READ_S = 3.0


class LeaderBackupEffects:
    """One term's effects of backups."""

    def __init__(self, context: CoordinatorContext) -> None:
        self._context = context

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Probe():
                await self._probe(effect)
            case Assign():
                return await self._assign(effect)
            case Raise():
                await raise_fence(self._context, effect.fence)
            case DrainWrites():
                await drain_writes(self._context, effect.fence)
            case Drain():
                return await self._drain(effect)
            case StoreCanaries():
                await put_staged(
                    self._context.store, self._context.paths, effect.epoch, effect.canaries
                )
            case Compare():
                await check_schemas(
                    self._context, await self._read_draft(effect.epoch, effect.draft)
                )
            case Stage():
                return await self._stage(effect)
            case Publish():
                await self._publish(effect)
            case _:
                raise AssertionError(f"not a backup's effect: {effect}")
        return None

    async def _probe(self, effect: Probe) -> None:
        await check_store_owner(self._context)
        await check_before_backup(self._context)
        await put_opened(self._context, effect.epoch)
        await put_probe(self._context, effect)

    # PREPARE

    async def _assign(self, effect: Assign) -> Assigned:
        context, request = self._context, effect.request
        assert isinstance(request, BackupRequest), "a backup's attempt"
        view, sessions = await read_view_and_sessions(context, effect)
        usable = Usable(sessions, effect.unusable)
        choice = await choose(context, view, usable, request, patient=effect.patient)
        chosen, entries, missing = choice
        parents = {} if request.full else await read_parents(context, chosen)
        homes = await read_homes(context)
        fence = choose_fence(effect.epoch, request, context.fences, view=view, chosen=chosen)
        peers = [session.peer_id for session in sessions.values()]
        if fence is not None:
            check_seen_everywhere(view, peers)
            fence = replace(fence, installation=tag_of(await own_id(context)))
        points = await read_fullness(context, view, chosen)
        tasks = assign(
            view,
            chosen,
            usable,
            parents,
            homes=homes,
            archived=await read_archived(context),
            points=points,
            full=request.full,
            audit=request.audit,
        )
        draft = await self._draft(effect, entries, sessions)
        warnings = (
            *unseen_peers(view, peers),
            *left_out(missing),
            *await self._unknown(request.exclude, view),
            *cut_in_waves(tasks, STREAMS_TO_OPEN),
            *concerned(sessions.values()),
        )
        draft = replace(
            draft,
            fence=fence,
            warnings=warnings,
            schedule=request.schedule,
            missing=missing,
            labels=request.labels,
            keep_s=request.keep_s,
        )
        whole = not request.exclude and not missing
        names = request.collections if whole else (entry.counted_as for entry in entries)
        excluded = () if request.collections or missing else sorted(set(request.exclude))
        draft = replace(draft, selected=tuple(sorted(set(names))), excluded=tuple(excluded))
        sha256 = await put_staged(context.store, context.paths, effect.epoch, draft)
        return Assigned(sha256, tuple(chosen), tasks, fence)

    async def _unknown(self, exclude: Collection[str], view: View) -> tuple[str, ...]:
        """Warnings of excluded names that nothing has; none unless a peer answers."""
        if not exclude:
            return ()
        try:
            there = await ask_any(self._context.peers, lambda peer: peer.collections(_READ_S))
        except CleancutError:
            return ()
        return excluded_unknown(exclude, {*there, *aliases_of(view)})

    async def _draft(
        self, effect: Assign, entries: list[CollectionEntry], sessions: dict[AgentName, Session]
    ) -> Draft:
        context = self._context
        metadata = await ask_any(context.peers, lambda peer: peer.cluster_metadata())
        metadata.pop(MARK, None)
        quotas = await ask_any(context.peers, lambda peer: peer.quotas())
        cluster = await ask_any(context.peers, lambda peer: peer.cluster())
        owned = await check_store_owner(context)
        undrainable = {
            entry.name: reason for entry in entries if (reason := why_undrainable(entry.info))
        }
        provable = [entry for entry in entries if entry.name not in undrainable]
        versions = sorted({session.qdrant_version for session in sessions.values()})
        return Draft(
            epoch=effect.epoch,
            operation=effect.operation,
            cluster=context.keys.cluster,
            cluster_id=owned.cluster_id,
            collections=tuple(entries),
            source=ClusterEntry(
                qdrant_version=versions[-1] if versions else "",
                peers={str(peer): uri for peer, uri in sorted(cluster.peers.items())},
                metadata=metadata,
                quotas=quotas,
            ),
            undrainable=undrainable,
            questions=await choose_questions(context, provable),
        )

    # Drains

    async def _drain(self, effect: Drain) -> Drained:
        """Drains all collections at once. One that cannot be drained is not quiet, no failure."""
        draft = await self._read_draft(effect.epoch, effect.draft)
        asked = draft.questions if effect.round == 2 else ()
        canaries = await read_canaries(self._context, effect.epoch, asked)
        drains = [partial(self._drain_one, draft, entry) for entry in draft.collections]
        drained = await run_all(drains, _AT_ONCE)
        undrained = tuple(index for index, done in enumerate(drained) if not done)
        return Drained(undrained, format_now(self._context.clock), canaries)

    async def _drain_one(self, draft: Draft, entry: CollectionEntry) -> bool:
        if entry.name in draft.undrainable:
            return False
        for peer in self._context.peers:
            try:
                await peer.drain(entry.name, entry.shard_ids, entry.shard_keys, Bounds().drain_s)
            except Unavailable:
                continue  # not reached, so nothing was applied: the next peer may be asked
            except CleancutError:
                return False  # once only: an unknown drain would make the numbers mean nothing
            return True
        return False

    # COMMIT

    async def _stage(self, effect: Stage) -> str:
        context, ctl = self._context, effect.ctl
        draft = await self._read_draft(effect.epoch, ctl.draft)
        undrained = {draft.collections[index].name for index in ctl.undrained}
        uuids = {entry.name: entry.uuid for entry in draft.collections}
        hiding = {entry.name for entry in draft.collections if hides_unoptimized(entry.info)}
        shards: list[ShardEntry] = []
        replicas: list[ReplicaEntry] = []
        reads = [partial(self._document, effect.epoch, *one) for one in effect.documents]
        for document in await run_all(reads, _AT_ONCE):
            judged = (_judged(shard, undrained, uuids) for shard in document.shards)
            shards += [without_count(one) if one.collection in hiding else one for one in judged]
            replicas += [one for one in document.replicas if one.collection not in undrained]
        manifest = Manifest(
            format=format_of(shards),
            cluster=draft.cluster,
            cluster_id=draft.cluster_id,
            epoch=effect.epoch,
            operation=ctl.operation,
            created_by=f"cleancut {__version__}",
            cut_at=ctl.cut_at,
            skew_ms=ctl.skew_ms,
            collections=draft.collections,
            shards=tuple(sorted(shards, key=lambda shard: (shard.collection, shard.shard_id))),
            source=draft.source,
            view=ctl.views,
            replicas=tuple(
                sorted(replicas, key=lambda one: (one.collection, one.shard_id, one.peer_id))
            ),
            canaries=proven(await stored_canaries(context, ctl), shards),
            fence=facts_of(draft.fence if ctl.fenced else None, effect.seen, ctl.fence_ms),
            schedule=draft.schedule,
            missing=draft.missing,
            selected=draft.selected,
            excluded=draft.excluded,
            labels=draft.labels,
            keep_s=draft.keep_s,
            warnings=(
                *draft.warnings,
                *not_drained(undrained, draft.undrainable),
                *optimized(shards),
                *replayed_by_state(shards),
                *never_still(ctl),
                *divergent(shards, replicas),
            ),
            story=effect.story,
        )
        check_complete(manifest)
        if effect.require_point_in_time:
            check_replicas_agree(manifest)
        return await put_staged(context.store, context.paths, effect.epoch, manifest)

    async def _read_draft(self, epoch: Epoch, sha256: str) -> Draft:
        path = self._context.paths.staged(epoch, sha256)
        return decode(Draft, await get_checked(self._context.store, path, sha256), path)

    async def _document(self, epoch: Epoch, agent: AgentName, sha256: str) -> AgentDocument:
        path = self._context.paths.votes_document(epoch, agent, sha256)
        data = await get_checked(self._context.store, path, sha256)
        document = decode(AgentDocument, data, path)
        if (document.epoch, document.agent) != (epoch, agent):
            raise Corrupt(f"{path} was written by {document.agent} for epoch {document.epoch}")
        return document

    async def _publish(self, effect: Publish) -> None:
        """Copies exactly the bytes that etcd decided on, and reads them back."""
        store, paths = self._context.store, self._context.paths
        staged = paths.staged(effect.epoch, effect.manifest)
        data = await get_checked(store, staged, effect.manifest)
        await publish_group(store, paths, parse_manifest(data, staged), data)
        await get_checked(store, paths.group(effect.epoch), effect.manifest)


def _judged(shard: ShardEntry, undrained: set[str], uuids: dict[str, str]) -> ShardEntry:
    """The entry with what only the coordinator knows; a count is kept only if it is proven."""
    name = shard.collection
    judged = replace(shard, drained=name not in undrained, uuid=uuids[name])
    return judged if judged.quiet else without_count(judged)


def without_count(shard: ShardEntry) -> ShardEntry:
    return replace(shard, count=None)
