"""Documents of a restore in the store, and its report.

Pure: records, and the report's assembly from the agents' results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec.structs import replace

from cleancut.core.cluster.collection_config import differing
from cleancut.core.cluster.payload_indexes import unequal_indexes
from cleancut.core.format.manifest import CollectionEntry, Manifest, ShardEntry
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Corrupt, NotFound, Refused
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.documents import AgentRestoreReport, Canary, RestoredShard
from cleancut.core.protocol.moment import Moment
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.restore.overwrite import OldData
from cleancut.core.restore.plan import CollectionPlan, PlacementPlan
from cleancut.core.restore.target import Rate

Outcome = Literal["asked", "made", "refused"]
_SHOWN = 5
_COUNTS_FROM = 10
_STATUSES = ("green", "grey", "yellow", "red")


class RestoreDraft(Record, frozen=True):
    """An attempt that may begin: staged, so that any leader can go on, or undo it, from the store
    even if the group is deleted meanwhile. `source`: the cluster whose catalog holds the group, ""
    for the own; `store`: the name of the store with that catalog, "" for the main one. `strict`: a
    canary that answers otherwise undoes it. `accept_count`: more points than the group says do not.
    `moment`: to which logs are replayed; then `collections` are as they were at it, and nothing was
    counted. `quotas`: what the cluster's quotas are to be; None leaves them. `old`: what it
    overwrites, and where that is kept. `verified`: sha256 of the report before its reshards, which
    are over; "" if all of it is done in one attempt. Order: `planned` as `collections`."""

    epoch: Epoch
    operation: OperationId
    backup: Epoch
    plan: str
    collections: tuple[CollectionEntry, ...]
    planned: tuple[CollectionPlan, ...]
    shards: tuple[ShardEntry, ...]
    metadata: dict[str, Any]
    source: str = ""
    canaries: tuple[Canary, ...] = ()
    strict: bool = False
    accept_count: bool = False
    moment: Moment | None = None
    store: str = ""
    quotas: dict[str, Any] | None = None
    old: OldData | None = None
    verified: str = ""

    @property
    def elsewhere(self) -> bool:
        """True if the group is not in this cluster's own catalog."""
        return bool(self.source or self.store)

    @property
    def repairs(self) -> bool:
        """True if it puts lost shards back in place instead of making collections."""
        return any(planned.action == "repair" for planned in self.planned)

    def shards_of(self, name: str) -> tuple[ShardEntry, ...]:
        found = [shard for shard in self.shards if shard.collection == name]
        return tuple(sorted(found, key=lambda shard: shard.shard_id))


class Creation(Record, frozen=True):
    """The state of a collection that an attempt creates: `asked` before the request is sent, then
    `made` with its uuid, or `refused` if the name was taken."""

    epoch: Epoch
    collection: str
    outcome: Outcome
    uuid: str = ""


class ComparedCollection(Record, frozen=True):
    """The comparison of a collection with the group; None: unknown to the group.

    `counts_equal`: on all replicas, and to the group. `canaries_equal`: the exact answers that were
    recorded inside the cut. `status`: of the optimizers. `other_indexes`: fields whose payload
    index is missing or means something else.
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
    other_indexes: tuple[str, ...] = ()


class ReplacedCollection(Record, frozen=True):
    """Old data that aliases pointed to before they were replaced, until it is cleaned up."""

    collection: str
    uuid: str
    aliases: tuple[str, ...]


class RestoreReport(Record, frozen=True):
    """The final checks of a restore: staged/<epoch>/<sha256>.json, named by the operation.

    `recovered_bytes` in `recover_s` seconds: of the peer that took longest; zeros, if unknown.
    `moment`: the one that its shards are of, if logs were replayed. `draft`: sha256 of the
    attempt's.
    """

    epoch: Epoch
    operation: OperationId
    backup: Epoch
    collections: tuple[ComparedCollection, ...]
    shards: tuple[RestoredShard, ...]
    kept: tuple[ReplacedCollection, ...] = ()
    warnings: tuple[str, ...] = ()
    recovered_bytes: int = 0
    recover_s: float = 0.0
    moment: Moment | None = None
    draft: str = ""

    def total_of(self, name: str) -> int:
        """The points of a collection of the group, each shard counted once."""
        mine = {one.shard_id: one.count for one in self.shards if one.collection == name}
        return sum(mine.values())


class ObservedCollection(Record, frozen=True):
    """A restored collection as the cluster reports it after the verification. `schema`: its payload
    indexes, as Qdrant spells them. `places`: of its replicas. `config`: its configuration; None
    if it is not compared."""

    active: bool
    schema: dict[str, Any]
    places: tuple[tuple[ShardId, PeerId], ...]
    shard_keys: tuple[tuple[str | int, tuple[ShardId, ...]], ...] = ()
    config: dict[str, Any] | None = None


def draft_of(
    manifest: Manifest,
    plan: PlacementPlan,
    epoch: Epoch,
    operation: OperationId,
    *,
    request: RestoreRequest,
) -> RestoreDraft:
    """The draft to stage before anything is touched."""
    entries = tuple(manifest.collection(planned.name) for planned in plan.collections)
    whole = {planned.name for planned in plan.collections if planned.action != "repair"}
    return RestoreDraft(
        epoch=epoch,
        operation=operation,
        backup=manifest.epoch,
        plan=plan.digest,
        collections=entries,
        planned=plan.collections,
        shards=tuple(
            shard if plan.moment is None else replace(shard, count=None)
            for planned in plan.collections
            for shard in manifest.shards_of(planned.name)
            if shard.shard_id in planned.shard_ids
        ),
        metadata=dict(manifest.source.metadata),
        source=request.from_cluster,
        store=request.from_store,
        canaries=tuple(
            one for one in manifest.canaries if one.collection in whole and plan.moment is None
        ),
        strict=request.strict,
        accept_count=request.accept_count,
        moment=plan.moment,
        quotas=manifest.source.quotas if request.quotas else None,
    )


def review(
    draft: RestoreDraft,
    shards: tuple[RestoredShard, ...],
    looks: Mapping[str, ObservedCollection],
    kept: tuple[ReplacedCollection, ...] = (),
) -> RestoreReport:
    """The report of a restore, under the group's names. `looks`: by the group's name.

    Raises: Refused, if replicas of a shard hold different counts, or one was not
        verified; NotFound, if a shard was not verified.
    """
    names = {planned.created_as: planned.name for planned in draft.planned}
    found = tuple(replace(shard, collection=names[shard.collection]) for shard in shards)
    for entry in draft.shards:
        _check_replicas(entry, found)
    for planned in draft.planned:
        if planned.action != "repair":  # else most of it lives, and may be moved
            _check_places(planned, looks[planned.name], found)
    return RestoreReport(
        epoch=draft.epoch,
        operation=draft.operation,
        backup=draft.backup,
        collections=tuple(
            _restored(planned, entry, looks[entry.name], found)
            for planned, entry in zip(draft.planned, draft.collections, strict=True)
        ),
        shards=tuple(sorted(found, key=lambda s: (s.collection, s.shard_id, s.peer_id))),
        warnings=(
            *(_accepted(found) if draft.accept_count else ()),
            *_ignored(draft, looks),
        ),
        kept=kept,
        moment=draft.moment,
    )


def _ignored(draft: RestoreDraft, looks: Mapping[str, ObservedCollection]) -> Iterator[str]:
    """What is said of settings that this Qdrant does not know, or has changed."""
    for planned, entry in zip(draft.planned, draft.collections, strict=True):
        config = looks[planned.name].config
        if config is None:
            continue
        if paths := differing(entry.info, {"config": config}, replicas=planned.factor):
            yield f"this Qdrant did not take {', '.join(paths)} of {planned.created_as!r}"


def _accepted(shards: Iterable[RestoredShard]) -> Iterator[str]:
    """What is said of shards that hold more than the group says; each shard once."""
    more = {
        (one.collection, one.shard_id): (one.count, one.expected)
        for one in shards
        if one.expected is not None and one.count > one.expected
    }
    for (name, shard_id), (count, expected) in sorted(more.items()):
        yield (
            f"shard {shard_id} of {name!r} holds {count} points, and {expected} in the backup:"
            " points that were deleted have come back"
        )


def slowest(documents: Iterable[AgentRestoreReport]) -> tuple[int, float]:
    """The bytes and seconds of the agent that recovered longest."""
    recover_s, size_bytes = max(
        ((one.recover_s, one.recovered_bytes) for one in documents), default=(0.0, 0)
    )
    return size_bytes, recover_s


def rate_of(reports: Iterable[RestoreReport]) -> Rate | None:
    """What one peer recovered in these restores; None, if unknown.

    Large ones weigh more, and those of less than a tenth of the largest say nothing of the slowest
    and the fastest rate: small ones only measure how long a request takes.
    """
    known = [
        (one.recovered_bytes, one.recover_s)
        for one in reports
        if one.recover_s > 0 and one.recovered_bytes > 0
    ]
    if not known:
        return None
    largest = max(size for size, _ in known)
    rates = [size / seconds for size, seconds in known if size * _COUNTS_FROM >= largest]
    usual = sum(size for size, _ in known) / sum(seconds for _, seconds in known)
    return Rate(
        usual=usual,
        slowest=min(usual, *rates),
        fastest=max(usual, *rates),
        restores=len(rates),
    )


def check_report(report: RestoreReport) -> None:
    """Raises: Corrupt, if something was compared and is not as in the group."""
    for entry in report.collections:
        compared = {
            "payload indexes": entry.schema_equal,
            "shard keys": entry.keys_equal,
        }
        unequal = [what for what, equal in compared.items() if equal is False]
        if unequal:
            fields = ", ".join(repr(field) for field in entry.other_indexes[:_SHOWN])
            named = f" (field {fields})" if fields else ""
            raise Corrupt(
                f"the {' and '.join(unequal)} of {entry.created_as!r} are not those of the"
                f" backup{named}",
                "keep clients away from the collection, then restore again",
            )


def _check_replicas(entry: ShardEntry, shards: tuple[RestoredShard, ...]) -> None:
    key = (entry.collection, entry.shard_id)
    counts = {s.count for s in shards if (s.collection, s.shard_id) == key}
    if not counts:
        raise NotFound(f"shard {entry.shard_id} of {entry.collection!r} was not verified")
    if len(counts) > 1:
        raise Refused(
            f"replicas of shard {entry.shard_id} of {entry.collection!r} hold different"
            f" numbers of points: {sorted(counts)}",
            "keep clients away from the collection and restore again",
        )


def _check_places(
    planned: CollectionPlan, look: ObservedCollection, shards: tuple[RestoredShard, ...]
) -> None:
    """A replica that was copied or moved meanwhile may predate the recovery of its shard: Active,
    and empty."""
    mine = [shard for shard in shards if shard.collection == planned.name]
    strays = set(look.places) ^ {(shard.shard_id, shard.peer_id) for shard in mine}
    if strays:
        moved = ", ".join(f"shard {shard} at peer {peer}" for shard, peer in sorted(strays))
        raise Refused(
            f"replicas of {planned.created_as!r} were moved while it was restored: {moved}",
            "move and copy no shards of it until the restore is done, then restore again",
        )


def _restored(
    planned: CollectionPlan,
    entry: CollectionEntry,
    look: ObservedCollection,
    shards: tuple[RestoredShard, ...],
) -> ComparedCollection:
    mine = [shard for shard in shards if shard.collection == entry.name]
    whole = planned.action != "repair"  # else most of it is live, and may have moved on
    others = unequal_indexes(look.schema, entry.info.get("payload_schema")) if whole else ()
    return ComparedCollection(
        name=entry.name,
        published_as=planned.published_as,
        created_as=planned.created_as,
        aliases=planned.aliases,
        shards=len(planned.shard_ids),
        counts_equal=_counts_equal(mine),
        replicas_active=look.active,
        schema_equal=not others if whole else None,
        other_indexes=others,
        keys_equal=look.shard_keys == entry.shard_keys if whole and entry.shard_keys else None,
        status=_worst(shard.status for shard in mine),
    )


def _counts_equal(shards: Sequence[RestoredShard]) -> bool | None:
    if any(shard.expected is None for shard in shards):
        return None
    return all(shard.count == shard.expected for shard in shards)


def _worst(statuses: Iterable[str]) -> str:
    """The status that asks for most attention; unknown ones do more than any but red."""
    return max(statuses, key=lambda s: _STATUSES.index(s) if s in _STATUSES else 2.5, default="")
