"""Updates: from the peer they enter by, to each shard's first active replica, to the others.

One replica orders all updates of a shard, so that all apply them in the same order.
"""

from __future__ import annotations

from typing import Any

from cleancut.core.cluster.hash_ring import HashRing
from cleancut.engine.config import Json
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.cluster.peer_calls import all_of
from cleancut_devcluster.peer.cluster.resharding import send
from cleancut_devcluster.peer.consensus.resharding import MIGRATING, READS, of_key, rings_of
from cleancut_devcluster.peer.consensus.state import (
    ACTIVE,
    DEAD,
    TAKES_UPDATES,
    ClusterState,
    Collection,
    ShardTransfer,
)
from cleancut_devcluster.peer.engine.errors import Problem, Unreachable, bad_request, service_error
from cleancut_devcluster.peer.engine.shard import LocalShard
from cleancut_devcluster.peer.engine.updates import Operation, parse_id, split

_MOVED = 421
_ATTEMPTS = 20


async def update(node: Node, name: str, operation: Operation, shard_keys: Any = None) -> int:
    """Every replica that takes updates has applied it; its number, the largest of all shards.

    Raises: Problem, if it was refused, or a shard has no replica that could apply it.
    """
    collection = node.collection(name)
    async with node.gate(collection).writing():
        parts = _route(collection, operation, shard_keys)
        writes = [_write_all(node, collection, shard, part) for shard, part in parts.items()]
        return max(await all_of(writes), default=0)


def _route(collection: Collection, operation: Operation, keys: Any) -> dict[int, Operation]:
    if operation["kind"] in {"create_index", "delete_index"}:
        return dict.fromkeys(sorted(collection.shards), operation)
    parts: dict[int, Operation] = {}
    for shards in rings(collection, keys, required=True):
        by_old, by_new = rings_of(collection, shards[0])
        routes = [HashRing(by_old)] if by_old == by_new else [HashRing(by_old), HashRing(by_new)]
        parts.update(split(operation, routes, shards))
    return parts


async def _write_all(node: Node, collection: Collection, shard: int, operation: Operation) -> int:
    """What a resharding divides is applied in two parts; points that must be there already may be
    missing.

    Source: lib/collection/src/shards/shard_holder/resharding.rs (split_by_mode), Qdrant 1.18.3
    """
    everything, existing = split_by_mode(collection, shard, operation)
    number = 0
    if everything is not None:
        number = await _write(node, collection.uuid, shard, everything)
    if existing is not None:
        try:
            number = await _write(node, collection.uuid, shard, existing)
        except Problem as problem:
            if problem.status != 404:
                raise
    return number


def split_by_mode(
    collection: Collection, shard: int, operation: Operation
) -> tuple[Operation | None, Operation | None]:
    """The part that is applied as it is, and the one that changes only points that are there."""
    field = "points" if "points" in operation else "ids"
    one = of_key(collection, collection.shards[shard].key)
    if one is None or operation["kind"] == "delete" or operation.get(field) is None:
        return operation, None
    upsert = operation["kind"] == "upsert"
    receives = one.receives(shard) and one.stage == MIGRATING and not upsert
    sends = not one.receives(shard) and one.stage >= READS and one.up
    if not receives and not sends:
        return operation, None
    items = operation[field]
    ids = [parse_id(item["id"] if isinstance(item, dict) else item) for item in items]
    owners = HashRing(collection.ring_of(shard)).shards_of(ids)
    moving = [item for item, at in zip(items, owners, strict=True) if at == one.shard_id]
    staying = [item for item, at in zip(items, owners, strict=True) if at != one.shard_id]
    more = {"update_mode": "update_only"} if upsert else {}
    return (
        {**operation, field: staying} if staying else None,
        {**operation, field: moving, **more} if moving else None,
    )


def rings(collection: Collection, keys: Any, *, required: bool) -> list[list[int]]:
    """The shards of each ring that a request with these shard keys goes to.

    Raises: Problem 400, for an unknown key, or none where one is `required`.
    """
    if isinstance(keys, dict):
        keys = keys["target"]
    if keys is None:
        if not collection.custom:
            return [sorted(collection.shards)]
        if required:
            raise bad_request("Shard key not specified")
        keys = collection.keys()
    found = [collection.shards_of(key) for key in (keys if isinstance(keys, list) else [keys])]
    if not all(found):
        raise bad_request(f"Shard key {keys} not found")
    return found


async def _write(node: Node, uuid: str, shard_id: int, operation: Operation) -> int:
    body = {"uuid": uuid, "shard": shard_id, "operation": operation}
    for _ in range(_ATTEMPTS):
        collection = node.state.by_uuid(uuid)
        if collection is None or shard_id not in collection.shards:
            raise Problem(404, "Not found: the collection or shard was deleted")
        active = collection.shards[shard_id].leaders()
        if not active:
            raise service_error(f"The replica set for shard {shard_id} has no active replica")
        try:
            if active[0] == node.peer_id:
                return await lead(node, body)
            return int(await node.peers.call(active[0], "lead", body))
        except Unreachable as error:
            if len(active) == 1:
                raise service_error(f"1 of 1 write operations failed: {error}") from error
            await set_replica(node, (uuid, shard_id), peer=active[0], state=DEAD)
        except Problem as problem:
            if problem.status != _MOVED:
                raise
            await node.consensus.catch_up()
    raise service_error(f"shard {shard_id} has no stable leader")


async def lead(node: Node, body: Json) -> int:
    """Applied here, the shard's first active replica, and by all others that take updates; its
    number here.

    Raises: Problem 421, if this is not the first active replica any more.
    """
    uuid, shard_id = body["uuid"], body["shard"]
    collection = node.state.by_uuid(uuid)
    if collection is None or (uuid, shard_id) not in node.shards:
        raise Problem(_MOVED, "this peer has no such replica")
    shard = node.shards[uuid, shard_id]
    async with shard.order:
        active = collection.shards[shard_id].leaders() if shard_id in collection.shards else []
        if active[:1] != [node.peer_id]:
            raise Problem(_MOVED, "this peer does not lead the shard")
        body = {**body, "operation": {**body["operation"], "clock": shard.tick(node.peer_id)}}
        number = await _apply_first(node, body, shard, spare=len(active) > 1)
        others = [
            peer
            for peer, state in collection.shards[shard_id].replicas.items()
            if peer != node.peer_id and state in TAKES_UPDATES
        ]
        await all_of([_forward(node, peer, body) for peer in others])
        return number


async def _apply_first(node: Node, body: Json, shard: LocalShard, *, spare: bool) -> int:
    """Raises: Problem 421 for damaged data, if another active replica can take over."""
    try:
        return await _apply_here(node, body, shard)
    except Problem as problem:
        if problem.status < 500 or not spare:
            raise
        await set_replica(node, (body["uuid"], body["shard"]), peer=node.peer_id, state=DEAD)
        raise Problem(_MOVED, problem.text) from problem


async def _apply_here(node: Node, body: Json, shard: LocalShard) -> int:
    """Applied by the replica here and, while its points are streamed, sent on. Order: not while a
    page of them is on its way."""
    operation, place = body["operation"], (body["uuid"], body["shard"])
    async with shard.forwarding:
        number = await shard.apply(operation)
        move = node.forwards.get(place)
        if move is not None:
            await _send_on(node, body["uuid"], move, operation)
        return number


async def _send_on(node: Node, uuid: str, move: ShardTransfer, operation: Operation) -> None:
    """A stream that misses an update fails."""
    collection = node.state.by_uuid(uuid)
    if collection is None or move.fills not in collection.shards:
        return
    new = rings_of(collection, move.shard_id)[1]
    part = split(operation, [HashRing(new)], new).get(move.fills)
    if part is None:
        return
    try:
        await send(node, uuid, move, part)
    except (Problem, Unreachable):
        node.forwards.pop((uuid, move.shard_id), None)


async def _forward(node: Node, peer: int, body: Json) -> None:
    try:
        await node.peers.call(peer, "apply", body)
    except (Unreachable, Problem):
        await set_replica(node, (body["uuid"], body["shard"]), peer=peer, state=DEAD)


async def apply(node: Node, body: Json) -> None:
    """Applied by this replica, as its leader did."""
    shard = node.shards.get((body["uuid"], body["shard"]))
    if shard is None:
        raise Problem(404, "Not found: this peer has no such replica")
    try:
        await _apply_here(node, body, shard)
    except Problem as problem:
        if problem.status != 404:
            raise


async def set_replica(node: Node, shard: tuple[str, int], *, peer: int, state: str) -> None:
    """The cluster agrees on the replica's state; the last active one is never made Dead."""

    uuid, shard_id = shard

    def build(now: ClusterState) -> Json | None:
        collection = now.by_uuid(uuid)
        if collection is None or shard_id not in collection.shards:
            return None
        found = collection.shards[shard_id]
        if found.replicas.get(peer) == state or (state == DEAD and found.leaders() == [peer]):
            return None
        if state != ACTIVE and peer not in found.replicas:
            return None
        entry = {"op": "set_replica", "uuid": uuid, "shard": shard_id}
        return {**entry, "peer": peer, "state": state}

    await node.propose(build, wait=False)
