"""Small groups to plan restores of."""

from __future__ import annotations

from typing import Any

from cleancut.core.format.manifest import (
    FORMAT,
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
)
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Reading
from cleancut.core.restore.target import Target, TargetPeer
from tests.support.groups import SOUND

MB = 1_000_000


def info_of(
    shards: int = 2, factor: int = 1, params: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """What `GET /collections/{name}` says, as far as a restore reads it."""
    config = {
        "params": {
            "vectors": {"size": 4, "distance": "Cosine"},
            "shard_number": shards,
            "replication_factor": factor,
            "write_consistency_factor": 1,
            "on_disk_payload": True,
        }
        | (params or {}),
        "hnsw_config": {"m": 16},
        "optimizer_config": {"deleted_threshold": 0.2},
        "wal_config": {"wal_capacity_mb": 1},
        "quantization_config": None,
    }
    return {"status": "green", "config": config | more, "payload_schema": {}}


def collection(name: str = "docs", shards: int = 2, **more: Any) -> CollectionEntry:
    given = {"info": info_of(shards)} | more
    return CollectionEntry(
        name=name,
        uuid=f"uuid-{name}",
        shard_ids=tuple(ShardId(number) for number in range(shards)),
        **given,
    )


def shard(
    name: str, number: int, *, size: int = MB, count: int | None = 10, quiet: bool = True
) -> ShardEntry:
    return ShardEntry(
        collection=name,
        shard_id=ShardId(number),
        peer_id=PeerId(1),
        agent="a",
        recipe=f"recipe-{name}-{number}",
        tar_sha256="00" * 32,
        size_bytes=size,
        new_bytes=size,
        stored_bytes=size,
        first=Reading(number=1, incarnation="s", arrivals=0, state=SOUND),
        second=Reading(number=2 if quiet else 9, incarnation="s", arrivals=0, state=SOUND),
        drained=True,
        count=count,
    )


def group(
    *entries: CollectionEntry, shards: tuple[ShardEntry, ...] | None = None, version: str = "1.18.3"
) -> Manifest:
    chosen = entries or (collection(),)
    if shards is None:
        shards = tuple(shard(entry.name, n) for entry in chosen for n in entry.shard_ids)
    return Manifest(
        format=FORMAT,
        cluster="c",
        cluster_id="id",
        epoch=Epoch(4),
        operation=OperationId("backup-1"),
        created_by="test",
        cut_at="2026-01-01T00:00:00Z",
        skew_ms=10,
        collections=chosen,
        shards=shards,
        source=ClusterEntry(qdrant_version=version, peers={}, metadata={}),
        view="",
    )


def target(peers: int = 2, version: str = "1.18.3", **more: Any) -> Target:
    return Target(
        peers=tuple(
            TargetPeer(
                peer_id=PeerId(number),
                agent=AgentName(f"agent-{number}"),
                qdrant_version=version,
            )
            for number in range(1, peers + 1)
        ),
        **more,
    )
