"""Makes the collections of a restore, and drops again what this very attempt made.

A collection is known by its uuid, which Qdrant makes up at the create. So that no crash leaves an
orphan, the store records it before the request (`asked`) and after it (`made`, with the uuid). What
was asked for and never recorded as made counts as ours only if it is empty and configured exactly
as asked.
Source: lib/storage/src/dispatcher.rs (the uuid), Qdrant 1.18.3
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeVar

from cleancut.core.cluster.collection_config import creation, indexes
from cleancut.core.primitives.codec import decode
from cleancut.core.primitives.errors import (
    CleancutError,
    Corrupt,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)
from cleancut.core.primitives.ids import AgentName, Epoch, PeerId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.report import Creation, Outcome, RestoreDraft
from cleancut.qdrant.client import Qdrant
from cleancut.qdrant.responses import Replica
from cleancut.repository.catalog import put_staged
from cleancut_coordinator.any_peer import first_peer, first_value
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.etcd_state import check_phase
from cleancut_coordinator.restore.check_content import check_content, is_ours
from cleancut_coordinator.restore.create_shard_keys import create_keys
from cleancut_coordinator.restore.destination import AgentHost, RestoreTarget, TargetCollection
from cleancut_coordinator.restore.place_replicas import place_replicas
from cleancut_coordinator.restore.staged import load_totals

T = TypeVar("T")
_APPEAR_S = 10.0
_FRESH_S = 3.0
_WEIGHTS = {"asked": 0, "refused": 1, "made": 2}


class CollectionCreator:
    """The collections of one attempt, as `draft` names them."""

    def __init__(self, context: CoordinatorContext, draft: RestoreDraft) -> None:
        self._context, self._draft = context, draft
        self._wanted = [
            TargetCollection(planned, entry, draft.shards_of(entry.name))
            for planned, entry in zip(draft.planned, draft.collections, strict=True)
        ]

    async def create(
        self, hosts: Mapping[PeerId, AgentHost]
    ) -> dict[AgentName, tuple[ShardTask, ...]]:
        """Every collection is there, empty, with its payload indexes, and where there is room for
        it; gives back who is to recover what. Repeatable.

        Raises: Refused, if a name was taken meanwhile, or the room does not suffice; Unavailable,
            TimedOut, Fenced.
        """
        peer = await first_peer(self._context.peers)
        known = await known_creations(self._context, self._draft.epoch)
        uuids = {
            wanted.name: await self._ensure(peer, wanted, known.get(wanted.name))
            for wanted in self._wanted
        }
        still = partial(self._still, Phase.CREATE)
        site = RestoreTarget(peer, self._context.clock, still, hosts)
        await create_keys(site, self._wanted)
        for wanted in self._wanted:
            await self._index(peer, wanted)
        placed = await place_replicas(site, self._wanted)
        tasks: dict[AgentName, list[ShardTask]] = {}
        for wanted in self._wanted:
            for replica in placed[wanted.name]:
                agent = hosts[PeerId(replica.peer_id)].agent
                tasks.setdefault(agent, []).append(self._task(wanted, replica, uuids[wanted.name]))
        return {agent: tuple(given) for agent, given in tasks.items()}

    async def undo(self) -> None:
        """Nothing that this attempt made is left. Repeatable.

        Raises: Refused, for collections of which it is not known whose they are, or that hold
            anything that this attempt has not put there, after all others are dropped;
            Unavailable, TimedOut, Fenced.
        """
        peer = await first_peer(self._context.peers)
        known = await known_creations(self._context, self._draft.epoch)
        totals = await load_totals(self._context, self._draft)
        kept: list[Refused] = []
        for wanted in self._wanted:
            record = known.get(wanted.name)
            if record is None or record.outcome == "refused":
                continue
            try:
                await self._drop(peer, wanted, record, totals.get(wanted.name))
            except Refused as refused:
                kept.append(refused)
        if kept:
            raise Refused("; ".join(one.message for one in kept), kept[0].hint)

    # One collection

    async def _ensure(self, peer: Qdrant, wanted: TargetCollection, record: Creation | None) -> str:
        """The collection is there and this attempt's; its uuid."""
        there = await self._uuid(peer, wanted.name)
        if record is not None and record.outcome == "made":
            if there != record.uuid:
                raise _taken(wanted.name)
            return record.uuid
        if there is None:
            await self._still(Phase.CREATE)
            await self._record(wanted.name, "asked")
            return await self._put(peer, wanted, again=record is not None)
        if record is not None and record.outcome == "asked":
            if await is_ours(self._context, peer, wanted):
                await self._record(wanted.name, "made", there)
                return there
            raise _taken(wanted.name)  # its maker is unknown: the rollback asks an operator
        await self._record(wanted.name, "refused")
        raise _taken(wanted.name)

    async def _put(self, peer: Qdrant, wanted: TargetCollection, *, again: bool) -> str:
        """Its uuid. `again`: an earlier request of this attempt may come in just before this one,
        which is then refused.

        Limits: a leader that is stopped for long just as it sends this may leave a collection after
        its successor has looked for it; that is then empty.
        """
        began_s = self._context.clock.monotonic_s()
        await self._still(Phase.CREATE)
        self._check_fresh(began_s)
        try:
            await peer.create_collection(
                wanted.name, creation(wanted.entry.info, replicas=wanted.planned.factor)
            )
        except (TimedOut, Unavailable):
            found = await self._wait(partial(self._uuid, peer, wanted.name))
            if found is None or not await is_ours(self._context, peer, wanted):
                raise
        except CleancutError:
            there = await self._uuid(peer, wanted.name)
            if not again or there is None or not await is_ours(self._context, peer, wanted):
                if there is not None or not again:
                    await self._record(wanted.name, "refused")
                raise
        uuid = await self._uuid(peer, wanted.name)
        if uuid is None:
            raise Unavailable(f"collection {wanted.name!r} was created and is not there")
        await self._record(wanted.name, "made", uuid)
        return uuid

    async def _drop(
        self, peer: Qdrant, wanted: TargetCollection, record: Creation, total: int | None
    ) -> None:
        asked_only = record.outcome == "asked"
        there = await self._wait(partial(self._anywhere, wanted.name))
        if there is None or (record.outcome == "made" and there != record.uuid):
            return
        if asked_only and not await is_ours(self._context, peer, wanted):
            raise Refused(
                f"collection {wanted.name!r} appeared while it was to be created, and holds points"
                " or another configuration",
                "find its owner; delete it if it has none",
            )
        if not asked_only:
            knowing = await self._who_tells(wanted.name, there)
            await check_content(self._context, knowing, wanted, total)
        await self._delete(wanted.name, there)

    async def _delete(self, name: str, uuid: str) -> None:
        """Limits: Qdrant deletes by name: a collection that is created between the last
        look and the request is lost. So the last look is at the peer that is asked."""
        began_s = self._context.clock.monotonic_s()
        await self._still(Phase.ROLLBACK)
        there = await self._anywhere(name)
        if there == uuid:
            peer = await self._who_tells(name, uuid)
            self._check_fresh(began_s)
            await peer.delete_collection(name)
            there = await self._uuid(peer, name)
        if there == uuid:
            raise TimedOut(f"collection {name!r} is still there after its deletion")

    async def _who_tells(self, name: str, uuid: str) -> Qdrant:
        """A peer that has just shown that this is the collection of that name."""
        for peer in self._context.peers:
            with contextlib.suppress(Unavailable, TimedOut):
                await peer.check_one_peer()
                if await self._uuid(peer, name) == uuid:
                    return peer
        raise _unlike(name)

    def _check_fresh(self, began_s: float) -> None:
        """Raises: TimedOut, if what was looked at since then may have changed long ago: this
        process was stopped meanwhile, or the answers were slow."""
        if self._context.clock.monotonic_s() - began_s > _FRESH_S:
            raise TimedOut(f"looking took over {_FRESH_S:.0f} s, so it is done again")

    async def _wait(self, read: Callable[[], Awaitable[T | None]]) -> T | None:
        return await first_value(self._context.clock, read, _APPEAR_S)

    async def _uuid(self, peer: Qdrant, name: str) -> str | None:
        """None: no such collection. "" without cluster mode, where Qdrant makes none up."""
        found = (await peer.telemetry()).collections.get(name)
        return (found.uuid or "") if found is not None else None

    async def _anywhere(self, name: str) -> str | None:
        """As any peer shows it: one that lags does not know of a new collection yet."""
        told: list[str | None] = []
        for peer in self._context.peers:
            with contextlib.suppress(Unavailable, TimedOut):
                told.append(await self._uuid(peer, name))
        lives = {uuid for uuid in told if uuid is not None}
        if not told or len(lives) > 1:
            raise _unlike(name)
        return next(iter(lives), None)

    async def _index(self, peer: Qdrant, wanted: TargetCollection) -> None:
        """Payload indexes on the empty collection, so that the tars' own are taken as they are."""
        there = (await peer.collection(wanted.name)).get("payload_schema") or {}
        for field, schema in indexes(wanted.entry.info).items():
            if field not in there:
                await self._still(Phase.CREATE)
                await peer.create_index(wanted.name, field, schema)

    # What is to be recovered

    def _task(self, wanted: TargetCollection, replica: Replica, uuid: str) -> ShardTask:
        shard = next(one for one in wanted.shards if one.shard_id == replica.shard_id)
        moment = self._draft.moment
        replay = moment.of(shard.collection, shard.shard_id) if moment is not None else None
        if replay is not None and not replay.entries:
            replay = None  # nothing was written since: it is restored as it was stored
        return ShardTask(
            collection=wanted.name,
            shard_id=shard.shard_id,
            peer_id=PeerId(replica.peer_id),
            recipe=shard.recipe,
            tar_sha256=shard.tar_sha256 if replay is None else "",
            size_bytes=shard.size_bytes + (replay.log_bytes if replay is not None else 0),
            count=shard.count if shard.quiet else None,
            accept_count=self._draft.accept_count,
            last_entry=shard.last_entry if replay is None else replay.last,
            replay=replay,
            source=self._draft.source,
            store=self._draft.store,
            uuid=uuid,
        )

    # What is recorded

    async def _still(self, phase: Phase) -> None:
        await check_phase(self._context, self._draft.epoch, phase)

    async def _record(self, name: str, outcome: Outcome, uuid: str = "") -> None:
        context, epoch = self._context, self._draft.epoch
        creation = Creation(epoch=epoch, collection=name, outcome=outcome, uuid=uuid)
        await put_staged(context.store, context.paths, epoch, creation)


async def known_creations(context: CoordinatorContext, epoch: Epoch) -> dict[str, Creation]:
    """What this attempt recorded of each collection. `made` outweighs `refused`: two leaders may
    each have recorded what they saw, and what was made once is this attempt's."""
    known: dict[str, Creation] = {}
    async for info in context.store.list(context.paths.staged_documents(epoch)):
        try:
            record = decode(Creation, await context.store.get(info.path), info.path)
        except (Corrupt, NotFound):
            continue  # another document of this attempt
        other = known.get(record.collection)
        if other is None or _WEIGHTS[record.outcome] > _WEIGHTS[other.outcome]:
            known[record.collection] = record
    return known


def _unlike(name: str) -> Unavailable:
    return Unavailable(f"the peers do not tell alike whether there is a {name!r}")


def _taken(name: str) -> Refused:
    return Refused(
        f"a collection {name!r} was made by somebody else meanwhile",
        "keep clients from creating it, delete it if it is unused, and restore again",
    )
