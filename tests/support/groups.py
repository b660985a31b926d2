"""Small groups and views for tests of what reads them."""

from __future__ import annotations

from cleancut.core.cluster.view import CollectionView, ReplicaView, TransferView, View
from cleancut.core.format.manifest import (
    FORMAT,
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
)
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Reading, ShardState

SOUND = ShardState(status="green", segment="segment", optimizing=0)
"""Of a shard that is whole, and at rest."""


def reading(number: int | None, *, incarnation: str = "start", arrivals: int = 0) -> Reading:
    return Reading(number=number, incarnation=incarnation, arrivals=arrivals, state=SOUND)


def shard(collection: str, shard_id: int, *, peer: int = 1, moved: int = 0) -> ShardEntry:
    """A shard that was quiet, unless `moved` further operations were applied."""
    return ShardEntry(
        collection=collection,
        shard_id=ShardId(shard_id),
        peer_id=PeerId(peer),
        agent=f"agent-{peer}",
        recipe=f"{shard_id:064x}",
        tar_sha256="0" * 64,
        size_bytes=1000,
        new_bytes=100,
        stored_bytes=50,
        first=reading(7),
        second=reading(8 + moved),
        drained=True,
        uuid="u-1",
    )


def manifest(epoch: int, shards: tuple[ShardEntry, ...], *, operation: str = "b-1") -> Manifest:
    """A group of exactly these shards."""
    names = sorted({entry.collection for entry in shards})
    return Manifest(
        format=FORMAT,
        cluster="prod",
        cluster_id="c" * 32,
        epoch=Epoch(epoch),
        operation=OperationId(operation),
        created_by="cleancut 0",
        cut_at="2026-01-01T00:00:00.000Z",
        skew_ms=40,
        collections=tuple(
            CollectionEntry(
                name=name,
                uuid="u-1",
                info={"config": {"params": {"shard_number": 2}}},
                shard_ids=tuple(s.shard_id for s in shards if s.collection == name),
            )
            for name in names
        ),
        shards=shards,
        source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
        view="v" * 64,
    )


def view(
    name: str,
    replicas: dict[int, dict[int, str]],
    transfers: tuple[tuple[int, int, int], ...] = (),
) -> View:
    """One collection; `replicas`: shard -> peer -> state; `transfers`: shard, source, target."""
    peers = sorted({peer for states in replicas.values() for peer in states})
    return View(
        peers=tuple(PeerId(peer) for peer in peers),
        collections=(
            CollectionView(
                name=name,
                uuid="u-1",
                config="c",
                replicas=tuple(
                    ReplicaView(shard_id=ShardId(s), peer_id=PeerId(p), state=state)
                    for s, states in sorted(replicas.items())
                    for p, state in sorted(states.items())
                ),
                transfers=tuple(
                    TransferView(shard_id=ShardId(s), source=PeerId(a), target=PeerId(b))
                    for s, a, b in transfers
                ),
            ),
        ),
        aliases=(),
    )
