"""Sizes of all replicas of a cluster, as one peer collects them from their peers."""

from __future__ import annotations

from typing import Any

from cleancut.engine.config import Json, vector_params
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.consensus.state import Collection
from cleancut_devcluster.peer.engine.errors import Problem, Unreachable

WEIGH_S = 5.0
_FLOAT_BYTES = 4
_PAYLOAD_BYTES = 100


async def weigh_here(node: Node) -> Json:
    """This peer's replicas, by collection and shard."""
    shown: dict[str, dict[str, Json]] = {}
    for name, collection in node.state.collections.items():
        for number in collection.shards:
            shard = node.shards.get((collection.uuid, number))
            if shard is None or shard.damage:
                continue
            points = int((await shard.engine()).info().points_count)
            shown.setdefault(name, {})[str(number)] = {
                "status": "green",
                "num_points": points,
                "vectors_size_bytes": points * _floats(collection) * _FLOAT_BYTES,
                "payloads_size_bytes": points * _PAYLOAD_BYTES,
            }
    return shown


def _floats(collection: Collection) -> int:
    return sum(int(params["size"]) for params in vector_params(collection.config).values())


async def cluster_telemetry(node: Node) -> Json:
    """The answer to GET /cluster/telemetry; silent peers are reported as such."""
    told: dict[int, Any] = {}
    for peer in node.state.peers:
        try:
            here = peer == node.peer_id
            told[peer] = await (weigh_here(node) if here else _ask(node, peer))
        except (Problem, Unreachable):
            continue
    return {
        "collections": {
            name: _collection(collection, told) for name, collection in _sorted(node).items()
        },
        "cluster": {
            "enabled": True,
            "number_of_peers": len(node.state.peers),
            "peers": {
                str(peer): {"uri": uri, "responsive": peer in told, "details": None}
                for peer, uri in node.state.peers.items()
            },
        },
    }


async def _ask(node: Node, peer: int) -> Any:
    return await node.peers.call(peer, "weigh", None, WEIGH_S)


def _sorted(node: Node) -> dict[str, Collection]:
    return dict(sorted(node.state.collections.items()))


def _collection(collection: Collection, told: dict[int, Any]) -> Json:
    shards = []
    for number, shard in sorted(collection.shards.items()):
        replicas = [
            {
                "peer_id": peer,
                "state": state,
                **told.get(peer, {}).get(collection.name, {}).get(str(number), {}),
            }
            for peer, state in sorted(shard.replicas.items())
        ]
        key = {} if shard.key is None else {"key": shard.key}
        shards.append({"id": number, **key, "replicas": replicas})
    return {
        "id": collection.name,
        "shards": shards,
        **({} if (one := collection.resharding) is None else {"reshardings": [one.listed()]}),
        "shard_transfers": [move.listed() for move in collection.transfers],
    }
