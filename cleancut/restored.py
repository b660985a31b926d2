"""What a restore leaves behind on its way: documents in the store, and the report at its end.

Pure records, and how the report is put together from what the agents found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from cleancut.errors import NotFound, Refused
from cleancut.ids import AgentName, Epoch, OperationId, PeerId
from cleancut.manifest import CollectionEntry, Manifest, ShardEntry
from cleancut.plan import PlannedCollection, RestorePlan
from cleancut.records import Record

Outcome = Literal["asked", "made", "refused"]


class RestoreDraft(Record, frozen=True):
    """An attempt that may begin: staged, so that any leader can go on, or undo it, from the store
    even if the group is deleted meanwhile. `source`: the cluster whose catalog holds the group, ""
    for the own. Order: `planned` as `collections`."""

    epoch: Epoch
    operation: OperationId
    backup: Epoch
    plan: str
    collections: tuple[CollectionEntry, ...]
    planned: tuple[PlannedCollection, ...]
    shards: tuple[ShardEntry, ...]
    metadata: dict[str, Any]
    source: str = ""

    def shards_of(self, name: str) -> tuple[ShardEntry, ...]:
        found = [shard for shard in self.shards if shard.collection == name]
        return tuple(sorted(found, key=lambda shard: shard.shard_id))


class Creation(Record, frozen=True):
    """What an attempt knows of a collection that it makes: `asked` before the request is sent, then
    `made` with its uuid, or `refused` if the name was somebody else's."""

    epoch: Epoch
    collection: str
    outcome: Outcome
    uuid: str = ""


class RestoredShard(Record, frozen=True):
    """One replica as its own agent found it. `expected` is what the group holds; None: unknown."""

    collection: str
    shard_id: int
    peer_id: PeerId
    count: int
    expected: int | None = None
    routed: int = 0  # of `count`, how many belong into this very shard
    searched: tuple[str, ...] = ()  # vectors that a search answered for
    status: str = ""


class PullDocument(Record, frozen=True):
    """What one agent verified: votes/<epoch>/<agent>/<sha256>.json."""

    epoch: Epoch
    agent: AgentName
    shards: tuple[RestoredShard, ...]


class RestoredCollection(Record, frozen=True):
    """What was compared with the group; None: the group does not tell.

    `counts_equal`: on all replicas, and to the group. `canaries_equal`: the exact answers that were
    recorded inside the cut. `status`: of the optimizers.
    """

    name: str
    published_as: str
    shards: int
    counts_equal: bool | None
    replicas_active: bool
    created_as: str = ""
    aliases: tuple[str, ...] = ()
    schema_equal: bool | None = None
    keys_equal: bool | None = None
    canaries_equal: bool | None = None
    status: str = ""


class Kept(Record, frozen=True):
    """Old data that aliases pointed to before they were replaced, until it is cleaned up."""

    collection: str
    uuid: str
    aliases: tuple[str, ...]


class RestoreReport(Record, frozen=True):
    """What a restore has proved of itself: staged/<epoch>/<sha256>.json, named by the operation."""

    epoch: Epoch
    operation: OperationId
    backup: Epoch
    collections: tuple[RestoredCollection, ...]
    shards: tuple[RestoredShard, ...]
    kept: tuple[Kept, ...] = ()


def draft_of(
    manifest: Manifest, plan: RestorePlan, epoch: Epoch, operation: OperationId
) -> RestoreDraft:
    """What is staged before anything is touched."""
    entries = tuple(manifest.collection(planned.name) for planned in plan.collections)
    return RestoreDraft(
        epoch=epoch,
        operation=operation,
        backup=manifest.epoch,
        plan=plan.digest,
        collections=entries,
        planned=plan.collections,
        shards=tuple(shard for entry in entries for shard in manifest.shards_of(entry.name)),
        metadata=dict(manifest.source.metadata),
    )


def review(
    draft: RestoreDraft, shards: tuple[RestoredShard, ...], active: Mapping[str, bool]
) -> RestoreReport:
    """The report of a restore. Raises: Refused, if replicas of a shard hold different counts;
    NotFound, if nobody verified a shard."""
    for entry in draft.shards:
        counts = {
            s.count
            for s in shards
            if (s.collection, s.shard_id) == (entry.collection, entry.shard_id)
        }
        if not counts:
            raise NotFound(f"nobody verified shard {entry.shard_id} of {entry.collection!r}")
        if len(counts) > 1:
            raise Refused(
                f"replicas of shard {entry.shard_id} of {entry.collection!r} hold different"
                f" numbers of points: {sorted(counts)}",
                "keep clients away from the collection and restore again",
            )
    return RestoreReport(
        epoch=draft.epoch,
        operation=draft.operation,
        backup=draft.backup,
        collections=tuple(
            RestoredCollection(
                name=entry.name,
                published_as=entry.name,
                shards=len(entry.shard_ids),
                counts_equal=_counts_equal(shards, entry.name),
                replicas_active=active[entry.name],
            )
            for entry in draft.collections
        ),
        shards=tuple(sorted(shards, key=lambda s: (s.collection, s.shard_id, s.peer_id))),
    )


def _counts_equal(shards: tuple[RestoredShard, ...], name: str) -> bool | None:
    mine = [shard for shard in shards if shard.collection == name]
    if any(shard.expected is None for shard in mine):
        return None
    return all(shard.count == shard.expected for shard in mine)
