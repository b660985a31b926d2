"""Self-reports of a peer: telemetry with numbers and request counters, raft, info."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from cleancut.engine.config import Json
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.cluster.reads import ReplicaRead, read_shard
from cleancut_devcluster.peer.consensus.state import Collection
from cleancut_devcluster.peer.engine.shard import LocalShard

VERSION = "1.18.3"
COMMIT = "0" * 40


class Requests:
    """Requests since the start, by route and status, as Qdrant counts them."""

    def __init__(self) -> None:
        self.startup = _instant()
        self._rest: Counter[tuple[str, str]] = Counter()
        self._grpc: Counter[tuple[str, str]] = Counter()

    def count_rest(self, route: str, status: int) -> None:
        self._rest[route, str(status)] += 1

    def count_grpc(self, method: str) -> None:
        self._grpc[method, "0"] += 1

    def shown(self) -> Json:
        return {
            "rest": {"responses": _grouped(self._rest)},
            "grpc": {"responses": _grouped(self._grpc)},
        }


def _instant() -> str:
    now = datetime.now(UTC)
    return f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond:06}Z"


def _grouped(counts: Counter[tuple[str, str]]) -> Json:
    shown: dict[str, Json] = {}
    for (route, status), count in sorted(counts.items()):
        shown.setdefault(route, {})[status] = {"count": count}
    return shown


def telemetry(node: Node, requests: Requests, level: int) -> Json:
    """What an alias hides is not described, and its target is twice, as in Qdrant.

    Limits: segments and optimizations from level 4 on, shards from level 3 on, configuration
        from level 2 on.
    """
    collections = [(name, node.collection(name)) for name in sorted(node.state.collections)]
    return {
        "id": str(node.peer_id),
        "app": {
            "name": "qdrant",
            "version": VERSION,
            "features": {"recovery_mode": bool(node.recovery_mode)} if level >= 1 else None,
            "startup": requests.startup,
        },
        "collections": {
            "number_of_collections": len(collections),
            "collections": [_collection(node, one, level) for _, one in collections]
            if level >= 2
            else None,
        },
        "cluster": {
            "enabled": not node.standalone,
            "status": None if node.standalone or level < 1 else _status(node),
            "peers": {str(peer): {"uri": uri} for peer, uri in node.state.peers.items()},
            "resharding_enabled": node.allows_resharding,
        },
        "requests": requests.shown(),
    }


def _status(node: Node) -> Json:
    return {
        "number_of_peers": len(node.state.peers),
        "term": 1,
        "commit": node.state.index,
        "pending_operations": int(bool(node.consensus.stopped)),
        "role": "Leader" if _leader(node) == node.peer_id else "Follower",
        "is_voter": True,
        "peer_id": node.peer_id,
        "consensus_thread_status": _thread_status(node),
    }


def _leader(node: Node) -> int | None:
    return min(node.state.peers, default=None)


def _collection(node: Node, collection: Collection, level: int) -> Json:
    shown: Json = {
        "id": collection.name,
        "config": {**collection.config, "uuid": None if node.standalone else collection.uuid},
        "transfers": [move.listed() for move in collection.transfers],
    }
    if level >= 3:
        shown["resharding"] = _reshardings(collection)
        shown["shards"] = [
            _shard(node, collection, number, level=level) for number in sorted(collection.shards)
        ]
    return shown


def _reshardings(collection: Collection) -> list[Json]:
    return [] if collection.resharding is None else [collection.resharding.listed()]


def _shard(node: Node, collection: Collection, number: int, *, level: int) -> Json:
    shard = collection.shards[number]
    local = node.shards.get((collection.uuid, number))
    return {
        "id": number,
        "key": shard.key,
        "local": local and _local(local, level),
        "remote": [
            {"shard_id": number, "peer_id": peer} for peer in shard.replicas if peer != node.peer_id
        ],
        "replicate_states": {str(peer): state for peer, state in shard.replicas.items()},
    }


def _local(local: LocalShard, level: int) -> Json:
    """A shard that could not be loaded is a dummy, and green."""
    if local.damage:
        return {"variant_name": "dummy shard", "status": "green", "optimizations": None}
    return {
        "variant_name": "local shard",
        "status": local.status,
        **({"segments": [{"info": info} for info in local.segments()]} if level >= 4 else {}),
        "optimizations": {
            "status": "ok",
            **({"log": local.optimization_log()} if level >= 4 else {}),
        },
        "update_queue": {"length": 0, "op_num": local.op_num},
    }


def cluster(node: Node) -> Json:
    """The answer to GET /cluster."""
    if node.standalone:
        return {"status": "disabled"}
    return {
        "status": "enabled",
        "peer_id": node.peer_id,
        "peers": {str(peer): {"uri": uri} for peer, uri in node.state.peers.items()},
        "raft_info": {
            "term": 1,
            "commit": node.state.index,
            "pending_operations": int(bool(node.consensus.stopped)),
            "leader": _leader(node),
            "role": _status(node)["role"],
            "is_voter": True,
        },
        "consensus_thread_status": _thread_status(node),
        "message_send_failures": {},
    }


def _thread_status(node: Node) -> Json:
    if node.consensus.stopped:
        return {"consensus_thread_status": "stopped_with_err", "err": node.consensus.stopped}
    return {"consensus_thread_status": "working", "last_update": _instant()}


async def placement(node: Node, name: str) -> Json:
    """The answer to GET /collections/<name>/cluster."""
    collection = node.collection(name)
    local, remote = [], []
    for number, shard in sorted(collection.shards.items()):
        key = {} if shard.key is None else {"shard_key": shard.key}
        for peer, state in sorted(shard.replicas.items()):
            if peer == node.peer_id:
                points = await _points_here(node, collection, number)
                local.append({"shard_id": number, **key, "points_count": points, "state": state})
            else:
                remote.append({"shard_id": number, **key, "peer_id": peer, "state": state})
    return {
        "peer_id": node.peer_id,
        "shard_count": len(collection.shards),
        "local_shards": local,
        "remote_shards": remote,
        "shard_transfers": [move.listed() for move in collection.transfers],
        **({"resharding_operations": shown} if (shown := _reshardings(collection)) else {}),
    }


async def _points_here(node: Node, collection: Collection, number: int) -> int:
    shard = node.shards.get((collection.uuid, number))
    if shard is None or shard.damage:
        return 0
    return int((await shard.engine()).info().points_count)


async def collection_info(node: Node, name: str) -> Json:
    """The answer to GET /collections/<name>: counts over one replica of each shard."""
    collection = node.collection(name)
    infos: list[Any] = []
    for number in sorted(collection.shards):
        infos.append(await read_shard(node, collection, number, ReplicaRead("info", {})))
    first = min(collection.shards, default=0)
    remote = first in collection.shards and not node.holds_active(collection, first)
    return {
        "status": "green",
        "optimizer_status": "ok",
        "points_count": sum(info["points"] for info in infos),
        "indexed_vectors_count": sum(info["indexed"] for info in infos),
        "segments_count": sum(info["segments"] for info in infos),
        "config": collection.config,
        "payload_schema": {
            field: {**_schema(schema, remote=remote), "points": _indexed(infos, field)}
            for field, schema in collection.schema.items()
        },
        "update_queue": {"length": 0},
    }


def _schema(schema: Any, *, remote: bool) -> Json:
    """`remote`: as it comes over gRPC from another peer, in which one language is a list and empty
    lists are gone. Source: measured, Qdrant 1.18.3"""
    if isinstance(schema, str):
        return {"data_type": schema}
    words = schema.get("stopwords")
    if remote and isinstance(words, str):
        schema = {**schema, "stopwords": {"languages": [words]}}
    elif remote and isinstance(words, dict):
        schema = {**schema, "stopwords": {key: some for key, some in words.items() if some}}
    return {"data_type": schema["type"], "params": schema}


def _indexed(infos: list[Any], field: str) -> int:
    return sum(info["fields"].get(field, 0) for info in infos)
