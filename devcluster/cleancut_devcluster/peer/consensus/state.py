"""What the cluster agrees on: the state after a prefix of the journal. Pure, the same everywhere.

Entries were checked before they were written; applying one never fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cleancut.engine.config import Json
from cleancut_devcluster.peer.consensus import resharding
from cleancut_devcluster.peer.consensus.resharding import (
    RESHARDING,
    SCALE_DOWN,
    STREAM,
    Resharding,
)
from cleancut_devcluster.peer.engine.config import patched_config

ACTIVE, DEAD, PARTIAL, RECOVERY = "Active", "Dead", "Partial", "Recovery"
SERVES = frozenset({ACTIVE, SCALE_DOWN})
TAKES_UPDATES = frozenset({ACTIVE, PARTIAL, RESHARDING, SCALE_DOWN})
ShardKey = str | int | None


@dataclass(slots=True)
class Shard:
    """One shard's key and the state of each of its replicas, by peer."""

    key: ShardKey
    replicas: dict[int, str]

    def active(self) -> list[int]:
        """Where it is read."""
        return sorted(peer for peer, state in self.replicas.items() if state in SERVES)

    def leaders(self) -> list[int]:
        """Where updates go first: to an active replica, or to the one that comes by resharding."""
        coming = [peer for peer, state in self.replicas.items() if state == RESHARDING]
        return self.active() or sorted(coming)


@dataclass(frozen=True, slots=True)
class ShardTransfer:
    shard_id: int
    source: int
    target: int
    sync: bool
    method: str
    repairs: bool = False
    to_shard: int | None = None

    @property
    def fills(self) -> int:
        """The shard that gets the points."""
        return self.shard_id if self.to_shard is None else self.to_shard

    def entry(self) -> Json:
        """As it stands in the journal."""
        return {
            "shard": self.shard_id,
            "source": self.source,
            "target": self.target,
            "sync": self.sync,
            "method": self.method,
            "repairs": self.repairs,
            "to_shard": self.to_shard,
        }

    def listed(self) -> Json:
        """As it stands in `shard_transfers`."""
        return {
            "shard_id": self.shard_id,
            **({} if self.to_shard is None else {"to_shard_id": self.to_shard}),
            "from": self.source,
            "to": self.target,
            "sync": self.sync,
            "method": self.method,
        }


@dataclass(slots=True)
class Collection:
    name: str
    uuid: str
    config: Json
    shards: dict[int, Shard]
    schema: dict[str, Any] = field(default_factory=dict)
    transfers: list[ShardTransfer] = field(default_factory=list)
    resharding: Resharding | None = None

    @property
    def custom(self) -> bool:
        return bool(self.config["params"].get("sharding_method") == "custom")

    def keys(self) -> list[str | int]:
        """Each shard key once, in the order of its first shard."""
        found: dict[tuple[type, str | int], str | int] = {}
        for _, shard in sorted(self.shards.items()):
            if shard.key is not None:
                found.setdefault((type(shard.key), shard.key), shard.key)
        return list(found.values())

    def shards_of(self, key: ShardKey) -> list[int]:
        """Shards with that very key; `7` and `"7"` are two."""
        return sorted(
            number
            for number, shard in self.shards.items()
            if shard.key == key and type(shard.key) is type(key)
        )

    def ring_of(self, shard_id: int) -> list[int]:
        """All shards of the ring that the shard is on; of two, the larger one."""
        return max(resharding.rings_of(self, shard_id), key=len)

    def add_shard(self, number: int, key: ShardKey, replicas: dict[int, str]) -> None:
        self.shards[number] = Shard(key, replicas)

    def remove_shard(self, number: int) -> None:
        self.shards.pop(number, None)
        self.transfers = [
            move for move in self.transfers if number not in (move.shard_id, move.fills)
        ]

    def transfer(self, shard_id: int) -> ShardTransfer | None:
        return next((move for move in self.transfers if move.shard_id == shard_id), None)


@dataclass(slots=True)
class ClusterState:
    """`index` is the number of entries applied, as Raft's commit index is."""

    index: int = 0
    peers: dict[int, str] = field(default_factory=dict)
    collections: dict[str, Collection] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def by_uuid(self, uuid: str) -> Collection | None:
        return next((one for one in self.collections.values() if one.uuid == uuid), None)

    def replicas_on(self, peer: int) -> Iterator[tuple[Collection, int, Shard]]:
        for collection in self.collections.values():
            for number, shard in collection.shards.items():
                if peer in shard.replicas:
                    yield collection, number, shard

    def apply(self, entry: Json) -> None:
        getattr(self, f"_{entry['op']}")(entry)
        self.index += 1

    def _add_peer(self, entry: Json) -> None:
        self.peers[entry["peer"]] = entry["uri"]

    def _remove_peer(self, entry: Json) -> None:
        self.peers.pop(entry["peer"], None)
        for collection in self.collections.values():
            for shard in collection.shards.values():
                shard.replicas.pop(entry["peer"], None)
            one = collection.resharding
            if one is not None and one.peer_id == entry["peer"]:
                resharding.abort(collection)
            collection.transfers = [
                move
                for move in collection.transfers
                if entry["peer"] not in (move.source, move.target)
            ]

    def _create_collection(self, entry: Json) -> None:
        self.collections[entry["name"]] = Collection(
            entry["name"], entry["uuid"], entry["config"], _shards(entry["shards"])
        )

    def _delete_collection(self, entry: Json) -> None:
        if self.collections.pop(entry["name"], None) is not None:
            self.aliases = {a: c for a, c in self.aliases.items() if c != entry["name"]}

    def _patch_collection(self, entry: Json) -> None:
        if (collection := self.collections.get(entry["name"])) is not None:
            collection.config = patched_config(collection.config, entry["diff"])

    def _aliases(self, entry: Json) -> None:
        for action in entry["actions"]:
            (kind, body) = next(iter(action.items()))
            if kind == "create_alias":
                self.aliases[body["alias_name"]] = body["collection_name"]
            elif kind == "delete_alias":
                self.aliases.pop(body["alias_name"], None)
            elif (target := self.aliases.pop(body["old_alias_name"], None)) is not None:
                self.aliases[body["new_alias_name"]] = target

    def _set_index(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is not None:
            collection.schema[entry["field"]] = entry["schema"]

    def _drop_index(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is not None:
            collection.schema.pop(entry["field"], None)

    def _add_shards(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is not None:
            collection.shards.update(_shards(entry["shards"]))

    def _drop_shards(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is not None:
            one = collection.resharding
            if one is not None and one.shard_id in entry["shards"]:
                collection.resharding = None
            for number in entry["shards"]:
                collection.remove_shard(number)

    def _set_replica(self, entry: Json) -> None:
        collection = self.by_uuid(entry["uuid"])
        if collection is None or entry["shard"] not in collection.shards:
            return
        before = collection.shards[entry["shard"]].replicas.get(entry["peer"])
        if entry["state"] == DEAD and before in {RESHARDING, SCALE_DOWN}:
            resharding.abort(collection)
        if entry["shard"] in collection.shards:
            collection.shards[entry["shard"]].replicas[entry["peer"]] = entry["state"]

    def _drop_replica(self, entry: Json) -> None:
        collection = self.by_uuid(entry["uuid"])
        if collection is not None and entry["shard"] in collection.shards:
            collection.shards[entry["shard"]].replicas.pop(entry["peer"], None)

    def _start_transfer(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is None:
            return
        move = _transfer(entry)
        collection.transfers.append(move)
        replicas = collection.shards[move.fills].replicas
        if move.method == STREAM:
            assert collection.resharding is not None
            replicas[move.target] = collection.resharding.target_state
            return
        replicas[move.target] = PARTIAL if move.method == "stream_records" else RECOVERY

    def _finish_transfer(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is None:
            return
        move = _transfer(entry)
        if move in collection.transfers:
            collection.transfers.remove(move)
            if move.method == STREAM:
                return  # more of them may follow
            replicas = collection.shards[move.shard_id].replicas
            replicas[move.target] = ACTIVE
            if not move.sync:
                replicas.pop(move.source, None)

    def _abort_transfer(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is None:
            return
        move = _transfer(entry)
        if move in collection.transfers:
            collection.transfers.remove(move)
            if move.method == STREAM:
                resharding.abort(collection)
                return
            replicas = collection.shards[move.shard_id].replicas
            if move.repairs:
                replicas[move.target] = DEAD
            else:
                replicas.pop(move.target, None)

    def _start_resharding(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is not None:
            resharding.start(collection, entry)

    def _commit_ring(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is not None:
            resharding.commit(collection, entry["stage"])

    def _finish_resharding(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is not None:
            resharding.finish(collection)

    def _abort_resharding(self, entry: Json) -> None:
        if (collection := self.by_uuid(entry["uuid"])) is not None:
            resharding.abort(collection)

    def _metadata(self, entry: Json) -> None:
        if entry["value"] is None:
            self.metadata.pop(entry["key"], None)
        else:
            self.metadata[entry["key"]] = entry["value"]


def _shards(entries: list[Json]) -> dict[int, Shard]:
    return {
        entry["shard"]: Shard(entry["key"], dict.fromkeys(entry["peers"], ACTIVE))
        for entry in entries
    }


def _transfer(entry: Json) -> ShardTransfer:
    return ShardTransfer(
        entry["shard"],
        entry["source"],
        entry["target"],
        entry["sync"],
        entry["method"],
        entry.get("repairs", False),
        entry.get("to_shard"),
    )
