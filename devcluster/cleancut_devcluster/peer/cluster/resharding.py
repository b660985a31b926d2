"""Resharding: asked for and checked as a real server does, points streamed and cleaned up.

Source: src/common/collections.rs, lib/collection/src/collection/clean.rs, Qdrant 1.18.3; measured
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from typing import Any

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.engine.config import Json
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.cluster.strays import delete_strays
from cleancut_devcluster.peer.consensus import resharding
from cleancut_devcluster.peer.consensus.proposals import STOPS, Build
from cleancut_devcluster.peer.consensus.resharding import READS, STAGES, STREAM, WRITES
from cleancut_devcluster.peer.consensus.state import (
    ACTIVE,
    DEAD,
    ClusterState,
    Collection,
    ShardTransfer,
)
from cleancut_devcluster.peer.engine.errors import (
    Problem,
    bad_request,
    not_found,
    service_error,
    wrong_input,
)
from cleancut_devcluster.peer.engine.queries import run
from cleancut_devcluster.peer.engine.updates import parse_id

STREAM_PAGE = 100


def builds(node: Node, name: str, request: Json) -> dict[str, Callable[[], Json]]:
    """What each operation of a resharding proposes. Raises (each of them): Problem."""
    return {
        "start_resharding": lambda: _start(node, name, request),
        "finish_migrating_points": lambda: _migrated(node, name, request),
        "commit_read_hash_ring": lambda: _commit(node, name, READS),
        "commit_write_hash_ring": lambda: _commit(node, name, WRITES),
        "finish_resharding": lambda: _finish(node, name),
        "abort_resharding": lambda: _abort(node, name),
    }


def _start(node: Node, name: str, request: Json) -> Json:
    if not node.allows_resharding:
        raise bad_request("resharding is only supported in Qdrant Cloud")
    collection, key = node.collection(name), request.get("shard_key")
    if key is not None and not collection.shards_of(key):
        shown = f'"{key}"' if isinstance(key, str) else key
        raise bad_request(f"sharding key {shown} does not exist for collection {name}")
    up = {"up": True, "down": False}[request["direction"]]
    shards = collection.shards if key is None else collection.shards_of(key)
    shard = max(collection.shards) + 1 if up else max(shards)
    peer = request.get("peer_id")
    if peer is None:
        peer = _emptiest(node.state, collection) if up else _any_of(collection, shard)
    elif peer not in node.state.peers:
        raise bad_request(f"Peer {peer} does not exist")
    if collection.resharding is not None:
        raise bad_request(
            f"resharding {collection.resharding.described()} is already in progress for collection"
            f" {name}"
        )
    if collection.custom and key is None:
        raise bad_request("must specify shard key on collection with custom sharding")
    if not up and len(shards) == 1:
        raise bad_request(f"cannot remove shard {shard} by resharding down, it is the last shard")
    entry = {"op": "start_resharding", "uuid": collection.uuid, "up": up, "shard": shard}
    return {**entry, "peer": peer, "key": key, "id": request.get("uuid") or str(uuid.uuid4())}


def _emptiest(state: ClusterState, collection: Collection) -> int:
    load = dict.fromkeys(state.peers, 0)
    for shard in collection.shards.values():
        for peer in shard.replicas:
            load[peer] = load.get(peer, 0) + 1
    return min(load, key=lambda peer: (load[peer], random.random()))


def _any_of(collection: Collection, shard: int) -> int:
    return random.choice(sorted(collection.shards[shard].replicas))


def _under_way(node: Node, name: str) -> tuple[Collection, resharding.Resharding]:
    collection = node.collection(name)
    if collection.resharding is None:
        raise bad_request(f"resharding is not in progress for collection {name}")
    return collection, collection.resharding


def _migrated(node: Node, name: str, request: Json) -> Json:
    collection, one = _under_way(node, name)
    shard, peer = request.get("shard_id"), request.get("peer_id")
    if not one.up and shard is None:
        raise bad_request("shard ID must be specified when resharding down")
    if not one.up and peer is None:
        raise bad_request("peer ID must be specified when resharding down")
    shard = one.shard_id if shard is None else shard
    peer = one.peer_id if peer is None else peer
    if shard not in collection.shards:
        raise not_found(f"shard {shard} not found")
    state = collection.shards[shard].replicas.get(peer)
    if state != one.target_state:
        shown = "None" if state is None else f"Some({state})"
        raise wrong_input(
            f"Replica {peer} of shard {shard} has state {shown}, but expected"
            f" Some({one.target_state})"
        )
    entry = {"op": "set_replica", "uuid": collection.uuid, "shard": shard}
    return {**entry, "peer": peer, "state": ACTIVE}


def _commit(node: Node, name: str, stage: int) -> Json:
    collection, one = _under_way(node, name)
    if one.stage < stage - 1:
        raise _wrong_stage(stage - 1, one)
    entry = {"op": "commit_ring", "uuid": collection.uuid}
    return {**entry, "stage": max(one.stage, stage)}  # a repeated one changes nothing


def _wrong_stage(wanted: int, one: resharding.Resharding) -> Problem:
    return bad_request(
        f"expected resharding stage {STAGES[wanted]}, but resharding is at stage"
        f" {STAGES[one.stage]}"
    )


def _finish(node: Node, name: str) -> Json:
    collection, one = _under_way(node, name)
    if one.stage != WRITES:
        raise _wrong_stage(WRITES, one)
    return {"op": "finish_resharding", "uuid": collection.uuid}


def _abort(node: Node, name: str) -> Json:
    collection, one = _under_way(node, name)
    if one.stage >= READS:
        key = "None" if one.key is None else f"Some({one.key})"
        raise bad_request(
            f"can't abort resharding {one.peer_id}/{one.shard_id}/{key}, because read hash ring has"
            " been committed already, resharding must be completed"
        )
    return {"op": "abort_resharding", "uuid": collection.uuid}


def check_stream(collection: Collection, move: ShardTransfer) -> str:
    """Why the consensus of every peer stops at this transfer, or "". Raises: Problem 400.

    Source: measured, Qdrant 1.18.3
    """
    if move.method != STREAM:
        if move.to_shard is not None:
            raise bad_request(
                f"Target shard {move.to_shard} can only be set for ReshardingStreamRecords or"
                " filtered streaming records transfers"
            )
        return ""
    if move.to_shard not in collection.shards:
        return f"Destination shard {move.shard_id} does not exist"
    if move.to_shard == move.shard_id:
        raise bad_request(
            "Source and target shard must be different for resharding transfer, both are"
            f" {move.to_shard}"
        )
    if collection.shards[move.fills].replicas.get(move.target) == DEAD:
        raise bad_request(
            "Resharding shard transfer can't be started, because destination shard"
            f" {move.target}/{move.to_shard} is dead"
        )
    if collection.resharding is None:
        raise wrong_input("can't start resharding transfer, because resharding is not in progress")
    return ""


async def stop_consensus(node: Node, why: str) -> None:
    """Raises: Problem 500, after no peer applies anything any more."""
    await node.propose(lambda _: {"op": STOPS}, wait=False)
    raise service_error(why)


async def stream(node: Node, collection: Collection, move: ShardTransfer) -> None:
    """The points of the shard here that lie in `move.to_shard` by the new ring are at its replica
    at `move.target`; what is applied here meanwhile is sent on.

    Raises: Problem, Unreachable.
    """
    place = collection.uuid, move.shard_id
    shard = node.local(collection, move.shard_id)
    new = HashRing(resharding.rings_of(collection, move.shard_id)[1])
    async with shard.streaming:
        node.forwards[place] = move
        try:
            offset: Any = None
            while True:
                offset = await _page(node, collection, move, ring=new, offset=offset)
                if node.forwards.get(place) != move:
                    raise service_error("an update of the shard could not be sent on")
                if offset is None:
                    return
        finally:
            node.forwards.pop(place, None)


async def _page(
    node: Node, collection: Collection, move: ShardTransfer, *, ring: HashRing, offset: Any
) -> Any:
    """Sent, with no update in between; where the next one starts."""
    shard = node.local(collection, move.shard_id)
    async with shard.forwarding:
        body = {"limit": STREAM_PAGE + 1, "offset": offset, "with_vector": True}
        points = run(await shard.engine(), "scroll", body)
        page, rest = points[:STREAM_PAGE], points[STREAM_PAGE:]
        owners = ring.shards_of([parse_id(point["id"]) for point in page])
        moving = [one for one, owner in zip(page, owners, strict=True) if owner == move.to_shard]
        if moving:
            await send(node, collection.uuid, move, {"kind": "upsert", "points": moving})
    await asyncio.sleep(0)
    return rest[0]["id"] if rest else None


async def send(node: Node, uuid: str, move: ShardTransfer, operation: Json) -> None:
    body = {"uuid": uuid, "shard": move.to_shard, "operation": operation}
    if move.target == node.peer_id:
        try:
            await node.shards[uuid, move.fills].apply(operation)
        except Problem as problem:
            if problem.status != 404:
                raise
    else:
        await node.peers.call(move.target, "apply", body)


async def cancel_streams(node: Node) -> None:
    """Streams that a restart of this peer broke off are aborted, and their reshardings with them.

    Source: src/main.rs (cancel_related_transfers), Qdrant 1.18.3
    """
    for collection in list(node.state.collections.values()):
        for move in list(collection.transfers):
            if move.method == STREAM and node.peer_id in (move.source, move.target):
                await node.propose(_abortion(collection, move), wait=False)


def _abortion(collection: Collection, move: ShardTransfer) -> Build:
    return lambda _: {"op": "abort_transfer", "uuid": collection.uuid, **move.entry()}


async def cleanup(node: Node, name: str, shard_id: int) -> Json:
    """The replica here holds only what lies there by the newest ring, whatever the stage. One that
    was cleaned is not cleaned again, until a read ring's commit or an abort.

    Raises: Problem 404.
    """
    collection = node.collection(name)
    if shard_id not in collection.shards:
        raise not_found(f"Shard {shard_id} not found not found")
    shard = node.shards.get((collection.uuid, shard_id))
    if shard is None:
        raise not_found(f"Shard {shard_id} is not a local shard not found")
    if (collection.uuid, shard_id) not in node.cleaned:
        await delete_strays(shard, shard_id, resharding.rings_of(collection, shard_id)[1])
        node.cleaned.add((collection.uuid, shard_id))
    return {"status": "completed"}
