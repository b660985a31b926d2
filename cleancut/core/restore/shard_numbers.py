"""Numbers of shards of restored collections: what is asked for, and the reshards that lead there.

Pure. A collection is restored with the shards that it was captured with; further operations change
their number afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from cleancut.core.cluster.collection_config import replication_factor
from cleancut.core.cluster.resharding import ENABLING
from cleancut.core.format.manifest import CollectionEntry, Manifest
from cleancut.core.primitives.codec import Record
from cleancut.core.primitives.errors import Invalid
from cleancut.core.primitives.ids import WITHOUT_CLUSTER
from cleancut.core.protocol.requests import RestoreRequest, ShardNumber, check_shard_number
from cleancut.core.restore.target import Target

Key = str | int | None
_STEP_S = 5.0
"""Of one step without its points. Source: measured, Qdrant 1.18.3 and 1.19.0: 4.9 to 8.9 s"""
_BYTES_PER_S = 10e6
"""Of points that are inserted and indexed again: an estimate."""
_BUILD_S, _BUILT_BYTES_PER_S = 5.0, 5e6
"""Of shards that are built offline, without vector indexes: an estimate. Measured: 1.1 MB/s with
ten times as many processes as processors, 10 MB a second of processor time."""
_SHOWN = 10


class Way(StrEnum):
    """RESHARD: by Qdrant, after the restore. OFFLINE: shards are built from the backup's points
    before it."""

    RESHARD = "reshard"
    OFFLINE = "offline"


class ReshardAfter(Record, frozen=True):
    """A change of the number of shards that a restore includes. `collection`: in the backup;
    `shard_key`: whose shards are meant, None without keys. `shards`, `wanted`: before and after it.
    `size_bytes`: about what moves between shards in all replicas; offline, what is read.
    `scratch_bytes`: disk that building takes."""

    collection: str
    shards: int
    wanted: int
    shard_key: str | int | None = None
    size_bytes: int = 0
    way: Way = Way.RESHARD
    scratch_bytes: int = 0

    @property
    def steps(self) -> int:
        """Of one shard each; an offline reshard has none."""
        return abs(self.wanted - self.shards) if self.way is Way.RESHARD else 0

    @property
    def estimated_s(self) -> float:
        if self.way is Way.OFFLINE:
            return _BUILD_S + self.size_bytes / _BUILT_BYTES_PER_S
        return self.steps * _STEP_S + self.size_bytes / _BYTES_PER_S


def reshards_after(
    manifest: Manifest, chosen: Sequence[CollectionEntry], request: RestoreRequest
) -> tuple[ReshardAfter, ...]:
    """The reshards, in their order; none for what has its number already.

    Raises: Invalid, for a number or a name that contradicts the backup.
    """
    wanted = wanted_of(chosen, request.shards)
    return tuple(
        ReshardAfter(
            collection=entry.name,
            shards=len(ids),
            wanted=number,
            shard_key=key,
            size_bytes=(request.replicas or replication_factor(entry.info))
            * _moved_bytes(total_of(manifest, entry, key), len(ids), number),
        )
        for entry in chosen
        for key, ids in keys_of(entry)
        if (number := wanted.get((entry.name, key))) is not None and number != len(ids)
    )


def wanted_of(
    chosen: Sequence[CollectionEntry], asked: Sequence[ShardNumber]
) -> dict[tuple[str, Key], int]:
    """The number of shards for each collection and shard key; absent: as it was captured.

    Order: a name counts more than "". Raises: Invalid.
    """
    found: dict[tuple[str, Key], int] = {}
    if len({one.of for one in asked}) != len(asked):
        raise Invalid("a number of shards is given twice", "give each --shards another name")
    for one in sorted(asked, key=lambda given: given.of != ""):
        check_shard_number(one.shards)
        found |= dict.fromkeys(_meant(chosen, one.of), one.shards)
    return found


def _meant(chosen: Sequence[CollectionEntry], of: str) -> list[tuple[str, Key]]:
    """What `of` names: all for "", a collection with all of its keys, or one key of the only
    collection. Raises: Invalid."""
    if not of or any(entry.name == of for entry in chosen):
        mine = [entry for entry in chosen if of in ("", entry.name)]
        return [(entry.name, key) for entry in mine for key, _ in keys_of(entry)]
    if len(chosen) == 1:
        keys = [key for key, _ in keys_of(chosen[0]) if key is not None]
        found = sorted((key for key in keys if str(key) == of), key=lambda key: key != of)
        if found:
            return [(chosen[0].name, found[0])]
        if keys:
            shown = ", ".join(map(str, keys[:_SHOWN])) + ", ..." * (len(keys) > _SHOWN)
            raise Invalid(
                f"{of!r} is neither the restored collection nor one of its shard keys",
                f"{chosen[0].name!r} has the keys {shown}",
            )
    raise Invalid(
        f"shards are wanted for {of!r}, which is not restored",
        "name a restored collection; or, if only one is restored, a shard key of it",
    )


def keys_of(entry: CollectionEntry) -> tuple[tuple[Key, tuple[int, ...]], ...]:
    """Its shard keys with their shards; None is the key of a collection without any."""
    return entry.shard_keys or ((None, entry.shard_ids),)


def total_of(manifest: Manifest, entry: CollectionEntry, key: Key) -> int:
    """Bytes of the shards under one key."""
    shards = manifest.shards_of(entry.name)
    return sum(one.size_bytes for one in shards if one.shard_key == key)


def _moved_bytes(total: int, present: int, wanted: int) -> int:
    """What all steps move: up, the new shard's part of each, down, that of the last one."""
    up = [total // number for number in range(present + 1, wanted + 1)]
    down = [total // number for number in range(wanted + 1, present + 1)]
    return sum((*up, *down))


def reshard_blockers(reshards: Sequence[ReshardAfter], target: Target) -> Iterator[str]:
    """Why the number of shards cannot be changed once they are restored."""
    if not reshards:
        return
    if any(peer.peer_id == WITHOUT_CLUSTER for peer in target.peers):
        yield (
            "this Qdrant runs without cluster mode, in which numbers of shards do not change:"
            " build the shards before the restore, with --offline"
        )
    off = [str(peer.peer_id) for peer in target.peers if peer.reshards is False]
    if off:
        yield (
            f"Qdrant does not allow resharding at {'peer' if len(off) == 1 else 'peers'}"
            f" {', '.join(off)}, so shards cannot become more or fewer after the restore: set"
            f" {ENABLING} for every peer, and restart them one by one; or build the shards before"
            " it, with --offline"
        )
    if target.older:
        yield (
            f"{' and '.join(target.older)} of an older version would let the restore wait for ever"
            " for its reshards: upgrade all coordinators first; or build the shards before it, with"
            " --offline"
        )


def promised_blockers(names: Iterable[str], target: Target) -> Iterator[str]:
    """Why names cannot be restored now: another restore will publish them."""
    wanted = set(names)
    for one in target.promised:
        if one.name in wanted:
            yield (
                f"restore {one.restore} publishes {one.name!r} once its reshards are over: wait for"
                f" that, or cancel it with `cleancut restore cancel {one.restore}`"
            )


def reshard_warnings(reshards: Sequence[ReshardAfter]) -> Iterator[str]:
    """What follows from a change after the names are published."""
    for one in reshards:
        if one.shard_key is not None and one.wanted > one.shards:
            yield (
                f"{one.collection}: the new shards of key {one.shard_key!r} get ids after those of"
                " all keys; if that is not the last key, Qdrant cannot create them again, and a"
                " backup of it can only be restored with --shards and --offline"
            )
