"""Resharding as the cluster agrees on it: its stages, which rings hold in each, and its entries.

Source: lib/collection/src/shards/shard_holder/resharding.rs, Qdrant 1.18.3
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cleancut.engine.config import Json

if TYPE_CHECKING:
    from cleancut_devcluster.peer.consensus.state import Collection, ShardKey

RESHARDING, SCALE_DOWN = "Resharding", "ReshardingScaleDown"
STREAM = "resharding_stream_records"
MIGRATING, READS, WRITES = range(3)
STAGES = ("MigratingPoints", "ReadHashRingCommitted", "WriteHashRingCommitted")


@dataclass(frozen=True, slots=True)
class Resharding:
    """`shard_id` comes, if it goes `up`, or goes. `stage`: what is committed so far."""

    uuid: str
    up: bool
    shard_id: int
    peer_id: int
    key: ShardKey
    stage: int = MIGRATING

    def listed(self) -> Json:
        """As it stands in `resharding_operations`; without its stage, as in Qdrant's."""
        return {
            "uuid": self.uuid,
            "direction": "up" if self.up else "down",
            "shard_id": self.shard_id,
            "peer_id": self.peer_id,
            "shard_key": self.key,
        }

    def described(self) -> str:
        """As in the refusal of a second one."""
        key = "None" if self.key is None else f"Some({self.key})"
        return (
            f"ReshardState {{ uuid: {self.uuid}, peer_id: {self.peer_id}, shard_id:"
            f" {self.shard_id}, shard_key: {key}, direction: {'Up' if self.up else 'Down'},"
            f" stage: {STAGES[self.stage]} }}"
        )

    def receives(self, shard_id: int) -> bool:
        """True for a shard of its ring that gets points of others."""
        return (shard_id == self.shard_id) == self.up

    @property
    def target_state(self) -> str:
        return RESHARDING if self.up else SCALE_DOWN


def rings_of(collection: Collection, shard_id: int) -> tuple[list[int], list[int]]:
    """The old and the new ring that the shard is on; both the same, unless writes go by two."""
    shards = collection.shards_of(collection.shards[shard_id].key)
    one = of_key(collection, collection.shards[shard_id].key)
    if one is None:
        return shards, shards
    fewer = [shard for shard in shards if shard != one.shard_id]
    old, new = (fewer, shards) if one.up else (shards, fewer)
    return (new, new) if one.stage == WRITES else (old, new)


def of_key(collection: Collection, key: ShardKey) -> Resharding | None:
    one = collection.resharding
    same = one is not None and one.key == key and type(one.key) is type(key)
    return one if same else None


def is_read(collection: Collection, shard_id: int) -> bool:
    """False for a shard that comes, before the read ring's commit, and for one that goes, after the
    write ring's."""
    one = collection.resharding
    if one is None or one.shard_id != shard_id:
        return True
    return one.stage >= READS if one.up else one.stage < WRITES


# Entries of the journal, applied.


def start(collection: Collection, entry: Json) -> None:
    one = Resharding(
        entry["id"], entry["up"], entry["shard"], entry["peer"], entry["key"], MIGRATING
    )
    collection.resharding = one
    if one.up:
        collection.add_shard(one.shard_id, one.key, {one.peer_id: RESHARDING})
        _count(collection, 1)


def commit(collection: Collection, stage: int) -> None:
    if collection.resharding is not None:
        collection.resharding = replace(collection.resharding, stage=stage)


def finish(collection: Collection) -> None:
    one, collection.resharding = collection.resharding, None
    if one is not None and not one.up:
        collection.remove_shard(one.shard_id)
        _count(collection, -1)


def abort(collection: Collection) -> None:
    """Nothing after the read ring's commit. What was sent on the way down is deleted by each peer
    for itself."""
    one = collection.resharding
    if one is None or one.stage >= READS:
        return
    collection.resharding = None
    collection.transfers = [move for move in collection.transfers if move.method != STREAM]
    if one.up:
        collection.remove_shard(one.shard_id)
        _count(collection, -1)
        return
    for shard in collection.shards.values():
        for peer, state in shard.replicas.items():
            if state == SCALE_DOWN:
                shard.replicas[peer] = "Active"


def _count(collection: Collection, more: int) -> None:
    if not collection.custom:
        params = collection.config["params"]
        params["shard_number"] += more
