"""Shards on their way from peer to peer: asked for, driven by the shard's leader, ended.

The leader holds back the shard's updates meanwhile; what is moved is the tar of a cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

from cleancut.engine.config import Json
from cleancut_devcluster.peer.cluster import resharding
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.cluster.recovery import write_chunks
from cleancut_devcluster.peer.cluster.shard_tars import cut_tar, install
from cleancut_devcluster.peer.consensus.proposals import Build
from cleancut_devcluster.peer.consensus.resharding import STREAM
from cleancut_devcluster.peer.consensus.state import (
    DEAD,
    SERVES,
    ClusterState,
    Collection,
    ShardTransfer,
)
from cleancut_devcluster.peer.engine.errors import Problem, Unreachable, bad_request, not_found

METHODS = ("stream_records", "snapshot", "wal_delta", STREAM)
SEND_S = 600.0


async def reshape(node: Node, name: str, body: Json, timeout_s: float) -> bool:
    """A change of one collection's replicas. Raises: Problem, with a real server's refusals."""
    if node.standalone:
        raise bad_request("Distributed mode disabled")
    kind, request = next(iter(body.items()))
    builds: dict[str, Any] = {
        "move_shard": lambda: _start(node, name, request, sync=False),
        "replicate_shard": lambda: _start(node, name, request, sync=True),
        "abort_transfer": lambda: _abort(node, name, request),
        "drop_replica": lambda: _drop(node, name, request),
    }
    builds |= resharding.builds(node, name, request)
    if kind not in builds:
        raise bad_request(f"unknown cluster operation {kind!r}")
    if kind == "replicate_shard" and (why := _stops_consensus(node, name, request)):
        await resharding.stop_consensus(node, why)
    await node.propose(lambda _: builds[kind](), timeout_s)
    return True


def _stops_consensus(node: Node, name: str, request: Json) -> str:
    """Why no peer can apply this, or "". Raises: Problem, for what is refused before."""
    collection, number = _shard(node, name, request)
    move = _move(number, request, sync=True)
    _check_peers(node, move.source, move.target)
    return resharding.check_stream(collection, move)


def _shard(node: Node, name: str, request: Json) -> tuple[Collection, int]:
    collection = node.collection(name)
    number = request["shard_id"]
    if number not in collection.shards:
        raise bad_request(f"Shard {number} does not exist")
    return collection, number


def _start(node: Node, name: str, request: Json, *, sync: bool) -> Json:
    collection, number = _shard(node, name, request)
    source, target = request["from_peer_id"], request["to_peer_id"]
    _check_peers(node, source, target)
    if source == target and request.get("method") != STREAM:
        raise bad_request(f"Source and target peer are the same: {source}")
    replicas = collection.shards[number].replicas
    if replicas.get(source) not in SERVES:
        raise bad_request(f"Shard {number} is not active on peer {source}")
    if (move := collection.transfer(number)) is not None:
        raise bad_request(
            f"Shard {number} is already involved in transfer {move.source} -> {move.target}"
        )
    move = _move(number, request, sync=sync)
    if move.method not in METHODS:
        raise bad_request(f"unknown transfer method {move.method!r}")
    resharding.check_stream(collection, move)
    return _entry(collection, "start", move)


def _check_peers(node: Node, *peers: int) -> None:
    for peer in peers:
        if peer not in node.state.peers:
            raise bad_request(f"Peer {peer} does not exist")


def _move(number: int, request: Json, *, sync: bool) -> ShardTransfer:
    return ShardTransfer(
        number,
        request["from_peer_id"],
        request["to_peer_id"],
        sync,
        request.get("method") or "snapshot",
        to_shard=request.get("to_shard_id"),
    )


def _abort(node: Node, name: str, request: Json) -> Json:
    collection, number = _shard(node, name, request)
    move = collection.transfer(number)
    ends = (request["from_peer_id"], request["to_peer_id"])
    if move is None or (move.source, move.target) != ends:
        raise not_found(f"There is no transfer for shard {number}")
    return _entry(collection, "abort", move)


def _drop(node: Node, name: str, request: Json) -> Json:
    collection, number = _shard(node, name, request)
    shard, peer = collection.shards[number], request["peer_id"]
    if peer not in shard.replicas:
        raise bad_request(f"Peer {peer} has no replica of shard {number}")
    if shard.active() in ([peer], []):
        raise bad_request(f"Shard {number} must have at least one active replica")
    return {"op": "drop_replica", "uuid": collection.uuid, "shard": number, "peer": peer}


def _entry(collection: Collection, what: str, move: ShardTransfer) -> Json:
    return {"op": f"{what}_transfer", "uuid": collection.uuid, **move.entry()}


def driven_here(node: Node) -> Iterator[tuple[Collection, ShardTransfer]]:
    """Transfers of shards that this peer leads: it has the data, and orders the updates. Points of
    a resharding are sent by the replica that was named."""
    for collection in node.state.collections.values():
        for move in collection.transfers:
            leader = collection.shards[move.shard_id].active()[:1]
            if ([move.source] if move.method == STREAM else leader) == [node.peer_id]:
                yield collection, move


async def drive(node: Node, collection: Collection, move: ShardTransfer) -> None:
    """The transfer has ended: the target is active, or it was aborted."""
    shard = node.shards.get((collection.uuid, move.shard_id))
    if shard is None or move not in collection.transfers:
        return
    if move.method == STREAM:
        await _drive_stream(node, collection, move)
        return
    async with shard.streaming, shard.order:
        if move not in collection.transfers:
            return
        try:
            if move.target != node.peer_id:
                async with cut_tar(node, collection, move.shard_id, shard) as chunks:
                    path = f"receive?uuid={collection.uuid}&shard={move.shard_id}"
                    await node.peers.send(move.target, path, _paced(chunks), SEND_S)
            ending = "finish"
        except (Unreachable, Problem):
            ending = "abort"
        await node.propose(lambda _: _end(collection, ending, move), wait=False)
    await node.consensus.settled()


async def _drive_stream(node: Node, collection: Collection, move: ShardTransfer) -> None:
    """A stream that fails takes the whole resharding back."""
    try:
        await resharding.stream(node, collection, move)
        ending = "finish"
    except (Unreachable, Problem):
        ending = "abort"
    await node.propose(lambda _: _end(collection, ending, move), wait=False)
    await node.consensus.settled()


def _end(collection: Collection, ending: str, move: ShardTransfer) -> Json | None:
    return _entry(collection, ending, move) if move in collection.transfers else None


async def _paced(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


async def receive(node: Node, uuid: str, shard_id: int, chunks: AsyncIterator[bytes]) -> None:
    """This peer's replica holds what the shard's leader sent. Raises: Problem."""
    await node.consensus.catch_up()
    collection = node.state.by_uuid(uuid)
    if collection is None:
        raise not_found("the collection was deleted")
    shard = node.local(collection, shard_id)
    tar = node.scratch / f"{uuid}-{shard_id}.tar"
    try:
        await write_chunks(tar, chunks)
        await install(node, collection, shard, tar)
    finally:
        tar.unlink(missing_ok=True)


async def repair(node: Node) -> None:
    """Replicas here that are Dead are on their way back from an active one."""
    for collection, number, shard in list(node.state.replicas_on(node.peer_id)):
        dead = shard.replicas[node.peer_id] == DEAD
        if dead and shard.active() and collection.transfer(number) is None:
            await node.propose(_healer(collection.uuid, number, node.peer_id), wait=False)


def _healer(uuid: str, number: int, peer: int) -> Build:
    return lambda state: _repair(state, uuid, number, peer)


def _repair(state: ClusterState, uuid: str, number: int, peer: int) -> Json | None:
    collection = state.by_uuid(uuid)
    if collection is None or number not in collection.shards:
        return None
    shard = collection.shards[number]
    if shard.replicas.get(peer) != DEAD or collection.transfer(number) or not shard.active():
        return None
    move = ShardTransfer(
        number, shard.active()[0], peer, sync=True, method="snapshot", repairs=True
    )
    return _entry(collection, "start", move)
