"""What all peers together tell of their shards, parsed once at the border. No I/O here.

Source: src/common/telemetry_ops/distributed_telemetry.rs, Qdrant 1.18.3
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cleancut.core.primitives.errors import Corrupt
from cleancut.qdrant.responses import ShardKey


@dataclass(frozen=True, slots=True)
class WeighedReplica:
    """`size_bytes`: vectors and payloads as estimated by its peer; `points`: those that it holds,
    as its peer says. None: that did not answer."""

    peer_id: int
    state: str
    size_bytes: int | None
    points: int | None = None


@dataclass(frozen=True, slots=True)
class WeighedShard:
    shard_id: int
    shard_key: ShardKey
    replicas: tuple[WeighedReplica, ...]


@dataclass(frozen=True, slots=True)
class WeighedCollection:
    """`transfers` under way, and whether its number of shards is being changed."""

    shards: tuple[WeighedShard, ...]
    transfers: int
    resharding: bool


@dataclass(frozen=True, slots=True)
class Weights:
    """`peers`: all that the cluster knows, and whether each has answered. `commits`: of those that
    have, the newest entry of the consensus that each has applied."""

    peers: dict[int, bool]
    collections: dict[str, WeighedCollection]
    commits: dict[int, int] = field(default_factory=dict)


def parse_weights(result: Mapping[str, Any]) -> Weights:
    """Raises: Corrupt, if the answer has another shape."""
    try:
        peers = result["cluster"]["peers"]
        return Weights(
            peers={int(peer): bool(told["responsive"]) for peer, told in peers.items()},
            collections={
                str(name): WeighedCollection(
                    shards=tuple(_shard(shard) for shard in entry.get("shards") or ()),
                    transfers=len(entry.get("shard_transfers") or ()),
                    resharding=bool(entry.get("reshardings")),
                )
                for name, entry in result["collections"].items()
            },
            commits={
                int(peer): int(told["details"]["commit"])
                - int(told["details"].get("num_pending_operations") or 0)
                for peer, told in peers.items()
                if (told.get("details") or {}).get("commit") is not None
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as cause:
        raise Corrupt(
            "Qdrant's answer to /cluster/telemetry has an unknown shape",
            "check Qdrant's version, and that the API key may read everything",
        ) from cause


def _shard(entry: Mapping[str, Any]) -> WeighedShard:
    return WeighedShard(
        int(entry["id"]), entry.get("key"), tuple(_replica(one) for one in entry["replicas"])
    )


def _replica(entry: Mapping[str, Any]) -> WeighedReplica:
    parts = [entry.get("vectors_size_bytes"), entry.get("payloads_size_bytes")]
    known = [int(part) for part in parts if part is not None]
    points = entry.get("num_points")
    return WeighedReplica(
        int(entry["peer_id"]),
        str(entry["state"]),
        sum(known) if known else None,
        None if points is None else int(points),
    )
