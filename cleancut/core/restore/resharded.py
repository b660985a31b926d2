"""Resharded copy of a backup: which shards it has, and its manifest. Pure.

It is made of the backup's points by the hash ring, to be restored instead of the backup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cleancut.core.format.manifest import (
    FORMAT,
    CollectionEntry,
    Manifest,
    ShardEntry,
    format_of,
)
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.ids import ClusterName, Epoch, OperationId, ShardId, parse_version
from cleancut.core.protocol.etcd_records import Reading, ShardState
from cleancut.core.restore.shard_keys import FIRST_ID
from cleancut.core.restore.shard_numbers import Key, ReshardAfter, Way, keys_of

PROVEN = frozenset({(1, 18), (1, 19)})
"""Versions of Qdrant that load what the engine builds: qdrant-edge-py 0.9.0 against 1.18.3 and
1.19.0, `tests/e2e/restore/test_shard_numbers.py`."""
JOBS = 2
"""New shards that are optimized and packed at a time, by default."""
_OPEN, _BUILT, _FINISHED = 3, 2, 3
"""Scratch in sizes of a tar: of a source (tar, unpacked), of what is filled, and in addition of
each new shard that is optimized and packed."""


class ShardGroup(Record, frozen=True):
    """The shards of one collection under one key (None: it has none), before and after."""

    collection: str
    key: Key
    old: tuple[ShardId, ...]
    new: tuple[ShardId, ...]

    @property
    def same(self) -> bool:
        """Its shards are taken as they are: where points lie depends on the ids."""
        return self.old == self.new


def groups_of(
    chosen: Sequence[CollectionEntry], wanted: Mapping[tuple[str, Key], int]
) -> tuple[ShardGroup, ...]:
    """The shards of all collections. Shards under keys get one block of ids after the other, so
    that Qdrant can create them."""
    groups = []
    for entry in chosen:
        following = FIRST_ID if entry.shard_keys else 0
        ordered = sorted(keys_of(entry), key=lambda one: min(one[1], default=0))
        for key, old in ordered:
            number = wanted.get((entry.name, key), len(old))
            new = tuple(ShardId(following + one) for one in range(number))
            following += number
            groups.append(
                ShardGroup(collection=entry.name, key=key, old=tuple(map(ShardId, old)), new=new)
            )
    return tuple(groups)


def entry_of(entry: CollectionEntry, groups: Sequence[ShardGroup]) -> CollectionEntry:
    """The collection as it is restored."""
    mine = [one for one in groups if one.collection == entry.name]
    ids = tuple(sorted(shard for one in mine for shard in one.new))
    if entry.shard_keys:
        keys = {one.key: one.new for one in mine}
        shard_keys = tuple((key, keys[key]) for key, _ in entry.shard_keys)
        return replace(entry, shard_ids=ids, shard_keys=shard_keys)
    config: dict[str, Any] = entry.info["config"]
    params = config["params"] | {"shard_number": len(ids)}
    info = entry.info | {"config": config | {"params": params}}
    return replace(entry, shard_ids=ids, info=info)


def as_resharded(manifest: Manifest, groups: Sequence[ShardGroup]) -> Manifest:
    """The backup as its copy will be, for a plan: sizes are averages, and no tar exists."""
    shards: list[ShardEntry] = []
    for group in groups:
        sources = sources_of(manifest, group)
        if group.same or not sources:
            shards += sources
            continue
        each = -(-size_of(manifest, group) // len(group.new))
        base = replace(evidence_of(sources), size_bytes=each, count=None)
        shards += [replace(base, shard_id=shard) for shard in group.new]
    names = {one.collection for one in groups}
    entries = [entry_of(one, groups) for one in manifest.collections if one.name in names]
    return replace(manifest, collections=tuple(entries), shards=tuple(shards))


def planned_of(manifest: Manifest, groups: Sequence[ShardGroup]) -> tuple[ReshardAfter, ...]:
    """What is built, for a plan."""
    return tuple(
        ReshardAfter(
            collection=one.collection,
            shards=len(one.old),
            wanted=len(one.new),
            shard_key=one.key,
            size_bytes=size_of(manifest, one),
            way=Way.OFFLINE,
            scratch_bytes=scratch_bytes(manifest, one, JOBS),
        )
        for one in groups
        if not one.same
    )


def size_of(manifest: Manifest, group: ShardGroup) -> int:
    return sum(one.size_bytes for one in sources_of(manifest, group))


def sources_of(manifest: Manifest, group: ShardGroup) -> tuple[ShardEntry, ...]:
    """The shards of the backup whose points the group's new ones get."""
    shards = manifest.shards_of(group.collection)
    return tuple(one for one in shards if one.shard_id in group.old)


def scratch_bytes(manifest: Manifest, group: ShardGroup, jobs: int) -> int:
    """Disk that building this group takes at most, about."""
    if group.same:
        return 0
    sizes, total = [s.size_bytes for s in sources_of(manifest, group)], size_of(manifest, group)
    largest = -(-total // max(1, len(group.new)))
    finished = min(jobs, len(group.new)) * largest * _FINISHED
    return _OPEN * max(sizes, default=0) + _BUILT * total + finished


def evidence_of(sources: Sequence[ShardEntry]) -> ShardEntry:
    """The source whose evidence stands for all: one that is doubtful, if any is."""
    return next((one for one in sources if one.doubt), sources[0])


def new_shard(
    sources: Sequence[ShardEntry],
    shard_id: ShardId,
    *,
    recipe: str,
    tar_sha256: str,
    size_bytes: int,
    stored_bytes: int,
    count: int,
) -> ShardEntry:
    """The entry of a built shard. It is as proven as the least of its sources; its own count is
    exact, since nothing can be written to it."""
    source = evidence_of(sources)
    entry = replace(
        source,
        shard_id=shard_id,
        recipe=recipe,
        tar_sha256=tar_sha256,
        size_bytes=size_bytes,
        new_bytes=size_bytes,
        stored_bytes=stored_bytes,
        count=count,
        reused=False,
        standstill=None,
        chain="",
        sources=None,
        audit=None,
    )
    if source.doubt:
        return entry
    state = ShardState(status="green", segment=f"built-{shard_id}", optimizing=0)
    first = Reading(number=0, incarnation="built", arrivals=0, state=state)
    return replace(entry, first=first, second=replace(first, number=1), drained=True)


def manifest_of(
    manifest: Manifest,
    entries: Sequence[CollectionEntry],
    shards: Sequence[ShardEntry],
    *,
    cluster: ClusterName,
    operation: OperationId,
) -> Manifest:
    """The copy's manifest; sample queries of its collections go with it."""
    names = {entry.name for entry in entries}
    return replace(
        manifest,
        format=max(FORMAT, format_of(shards)),
        cluster=cluster,
        epoch=Epoch(1),
        operation=operation,
        collections=tuple(entries),
        shards=tuple(shards),
        replicas=(),
        canaries=tuple(one for one in manifest.canaries if one.collection in names),
        fence=None,
        missing=(),
        selected=tuple(sorted(names)),
        warnings=(*manifest.warnings, f"a resharded copy of backup #{manifest.epoch}"),
    )


def version_blockers(versions: Iterable[str]) -> Iterator[str]:
    """Why shards that are built by the engine are not restored to these Qdrants."""
    shown = " and ".join(f"{major}.{minor}" for major, minor in sorted(PROVEN))
    for version in versions:
        if parse_version(version)[:2] not in PROVEN:
            yield (
                f"shards that are built offline are proven to load in Qdrant {shown}, not in"
                f" {version}: restore without --offline"
            )
