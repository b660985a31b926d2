"""Changes of what the cluster agrees on about collections: checked, proposed, applied."""

from __future__ import annotations

import random
import uuid
from typing import Any

from cleancut.engine.config import Json, engine_config, index_schema
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.cluster.writes import update
from cleancut_devcluster.peer.consensus.proposals import STOPS
from cleancut_devcluster.peer.consensus.state import ClusterState, Collection
from cleancut_devcluster.peer.engine.config import new_config
from cleancut_devcluster.peer.engine.errors import (
    Problem,
    bad_request,
    engine_errors,
    not_found,
    service_error,
    wrong_input,
)

MAX_NAME = 255
_FORBIDDEN = '<>:"/\\|?*\0'


async def create_collection(node: Node, name: str, body: Json, timeout_s: float) -> bool:
    """Raises: Problem 409, if it exists; 422, for a name that cannot be."""
    _check_name(name)
    if _stops_consensus(body):
        await node.propose(lambda _: {"op": STOPS}, wait=False)
        raise service_error("Segment DB create panicked with: turbo4 is not implemented")
    with engine_errors():
        engine_config(new_config(body, 1))

    def build(state: ClusterState) -> Json:
        if name in state.collections:
            raise Problem(409, f"Wrong input: Collection `{name}` already exists!")
        if name in state.aliases:
            raise wrong_input(
                f"Can't create collection with name {name}. Alias with the same name already exists"
            )
        config = new_config(body, len(state.peers))
        params = config["params"]
        custom = params.get("sharding_method") == "custom"
        numbers = [] if custom else list(range(params["shard_number"]))
        return {
            "op": "create_collection",
            "name": name,
            "uuid": str(uuid.uuid4()),
            "config": config,
            "shards": _spread(state, numbers, params["replication_factor"], key=None, allowed=None),
        }

    await node.propose(build, timeout_s)
    return True


def _stops_consensus(body: Json) -> bool:
    """True for what every peer agrees on, and none can apply. Source: measured, Qdrant 1.18.3"""
    vectors = body.get("vectors") or {}
    params = [vectors, *vectors.values()] if isinstance(vectors, dict) else []
    return any(isinstance(one, dict) and one.get("datatype") == "turbo4" for one in params)


def _check_name(name: str) -> None:
    """`.` and `..` are refused here, though Qdrant takes them: they stop its consensus for good."""
    if name in {"", ".", ".."} or len(name) > MAX_NAME:
        raise Problem(422, "Validation error in path parameters: [collection_name: not allowed]")
    for one in _FORBIDDEN:
        if one in name:
            raise Problem(
                422,
                "Validation error in path parameters: [name: value contains invalid characters, "
                f"collection name cannot contain {one!r}]",
            )


def _spread(
    state: ClusterState, numbers: list[int], factor: int, *, key: Any, allowed: list[int] | None
) -> list[Json]:
    """Each shard on as many peers as asked for and there are: the emptiest, ties at random."""
    load = dict.fromkeys(allowed or state.peers, 0)
    for collection in state.collections.values():
        for shard in collection.shards.values():
            for peer in shard.replicas:
                if peer in load:
                    load[peer] += 1
    placed = []
    for number in numbers:
        order = sorted(load, key=lambda peer: (load[peer], random.random()))
        peers = order[: min(factor, len(order))]
        for peer in peers:
            load[peer] += 1
        placed.append({"shard": number, "key": key, "peers": peers})
    return placed


async def delete_collection(node: Node, name: str, timeout_s: float) -> bool:
    """Whether there was one; an alias' name deletes nothing."""
    known = name in node.state.collections

    def build(state: ClusterState) -> Json | None:
        return {"op": "delete_collection", "name": name} if name in state.collections else None

    await node.propose(build, timeout_s)
    return known


async def patch_collection(node: Node, name: str, diff: Json, timeout_s: float) -> bool:
    """Raises: Problem 404. Returns once the writes that entered by this peer have ended."""

    def build(_: ClusterState) -> Json:
        return {"op": "patch_collection", "name": node.collection(name).name, "diff": diff}

    await node.propose(build, timeout_s)
    return True


async def change_aliases(node: Node, actions: list[Json], timeout_s: float) -> bool:
    """All actions up to the first bad one are applied, in one step.

    Raises: Problem, for the bad one, after those before it were applied.
    """
    bad: list[Problem] = []

    def build(state: ClusterState) -> Json | None:
        aliases, good = dict(state.aliases), []
        for action in actions:
            try:
                _check_alias(state, aliases, action)
            except Problem as problem:
                bad.append(problem)
                break
            good.append(action)
        return {"op": "aliases", "actions": good} if good else None

    await node.propose(build, timeout_s)
    if bad:
        raise bad[0]
    return True


def _check_alias(state: ClusterState, aliases: dict[str, str], action: Json) -> None:
    """`aliases` is left as it is after `action`."""
    kind, body = next(iter(action.items()))
    if kind == "create_alias":
        target, alias = body["collection_name"], body["alias_name"]
        if alias in state.collections:
            raise Problem(409, f"Wrong input: Collection `{alias}` already exists!")
        if target not in state.collections:
            raise not_found(f"Collection `{target}` doesn't exist!")
        aliases[alias] = target
    elif kind == "delete_alias":
        aliases.pop(body["alias_name"], None)
    elif kind == "rename_alias":
        if body["old_alias_name"] not in aliases:
            raise not_found(f"Alias {body['old_alias_name']} does not exists!")
        aliases[body["new_alias_name"]] = aliases.pop(body["old_alias_name"])
    else:
        raise bad_request(f"unknown alias action {kind!r}")


async def create_index(node: Node, name: str, field: str, schema: Any) -> None:
    """The field is in the schema, and every shard has built its index."""
    with engine_errors():
        index_schema(schema)
    entry = {"op": "set_index", "uuid": node.collection(name).uuid, "field": field}
    await node.propose(lambda _: {**entry, "schema": schema})
    await update(node, name, {"kind": "create_index", "field": field, "schema": schema})


async def delete_index(node: Node, name: str, field: str) -> None:
    """The field is out of the schema and out of every shard."""
    entry = {"op": "drop_index", "uuid": node.collection(name).uuid, "field": field}
    await node.propose(lambda _: entry)
    await update(node, name, {"kind": "delete_index", "field": field})


async def create_shard_key(node: Node, name: str, body: Json, timeout_s: float) -> bool:
    """The key has its shards, with the next ids. Raises: Problem 400."""

    def build(state: ClusterState) -> Json:
        collection = _custom(node, name)
        key = body["shard_key"]
        if collection.shards_of(key):
            raise bad_request(f"Sharding key {key} already exists for collection {name}")
        placement = body.get("placement")
        for peer in placement or ():
            if peer not in state.peers:
                raise bad_request(f"Peer {peer} does not exist")
        params = collection.config["params"]
        count = body.get("shards_number") or params["shard_number"]
        factor = body.get("replication_factor") or params["replication_factor"]
        first = max(collection.shards, default=0) + 1
        numbers = list(range(first, first + count))
        shards = _spread(state, numbers, factor, key=key, allowed=placement)
        return {"op": "add_shards", "uuid": collection.uuid, "shards": shards}

    await node.propose(build, timeout_s)
    return True


async def delete_shard_key(node: Node, name: str, key: Any, timeout_s: float) -> bool:
    """The key and its shards are gone. Raises: Problem 400, for an unknown one."""

    def build(_: ClusterState) -> Json:
        collection = _custom(node, name)
        numbers = collection.shards_of(key)
        if not numbers:
            raise bad_request(f"Sharding key {key} does not exist for collection {name}")
        return {"op": "drop_shards", "uuid": collection.uuid, "shards": numbers}

    await node.propose(build, timeout_s)
    return True


def _custom(node: Node, name: str) -> Collection:
    collection = node.collection(name)
    if not collection.custom:
        raise bad_request("Shard Key cannot be created with Auto sharding method")
    return collection


async def put_metadata(node: Node, key: str, value: Any) -> bool:
    await node.propose(lambda _: {"op": "metadata", "key": key, "value": value})
    return True


async def remove_peer(node: Node, peer: int, *, force: bool) -> bool:
    """Raises: Problem 400, if it holds shards and `force` is not set; 404, for an unknown one."""

    def build(state: ClusterState) -> Json:
        if peer not in state.peers:
            raise not_found(f"peer {peer}")
        if not force and any(state.replicas_on(peer)):
            raise bad_request(f"Cannot remove peer {peer} as there are shards on it")
        return {"op": "remove_peer", "peer": peer}

    await node.propose(build)
    return True
