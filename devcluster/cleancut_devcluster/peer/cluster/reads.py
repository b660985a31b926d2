"""Reads of a collection: each shard asked at one replica, answers merged as Qdrant does."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cleancut.engine.config import Json, vector_params
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.cluster.peer_calls import by_key
from cleancut_devcluster.peer.cluster.writes import rings
from cleancut_devcluster.peer.consensus.resharding import is_read
from cleancut_devcluster.peer.consensus.state import Collection
from cleancut_devcluster.peer.engine.errors import (
    Panic,
    Problem,
    Unreachable,
    not_found,
    service_error,
    wrong_input,
)
from cleancut_devcluster.peer.engine.queries import run

MAX_LIMIT = 1_000_000


def chosen_shards(collection: Collection, keys: Any) -> list[int]:
    rings_asked = rings(collection, keys, required=False)
    return sorted(shard for ring in rings_asked for shard in ring if is_read(collection, shard))


@dataclass(frozen=True, slots=True)
class ReplicaRead:
    """What each replica is asked: one of the kinds of `queries`, and its JSON."""

    kind: str
    body: Json


async def read(
    node: Node, collection: Collection, shards: Iterable[int], asked: ReplicaRead
) -> dict[int, Any]:
    """One answer a shard: from the replica here if it is active, else from another peer's."""
    return await by_key({shard: read_shard(node, collection, shard, asked) for shard in shards})


async def read_shard(node: Node, collection: Collection, shard_id: int, asked: ReplicaRead) -> Any:
    """Raises: Problem; 500, if no active replica answers; Panic, if there is none at all."""
    if shard_id not in collection.shards:
        raise not_found(f"shard {shard_id} not found")
    if not collection.shards[shard_id].replicas and asked.kind != "info":
        raise Panic(f"shard {shard_id} of {collection.name} has no replica")
    if node.holds_active(collection, shard_id):
        engine = await node.local(collection, shard_id).engine()
        return run(engine, asked.kind, asked.body)
    failures = []
    active = collection.shards[shard_id].active()
    where = {"uuid": collection.uuid, "shard": shard_id}
    request = {**where, "kind": asked.kind, "body": asked.body}
    for peer in active:
        try:
            return await node.peers.call(peer, "read", request)
        except Unreachable as error:
            failures.append(str(error))
    why = "; ".join(failures) or "no active replica"
    raise service_error(f"{len(failures)} of {len(active)} read operations failed: {why}")


async def serve_read(node: Node, request: Json) -> Any:
    """The answer of this peer's replica, for another peer."""
    shard = node.shards.get((request["uuid"], request["shard"]))
    if shard is None:
        raise not_found(f"Shard {request['shard']} not found")
    return run(await shard.engine(), request["kind"], request["body"])


async def query(node: Node, name: str, body: Json) -> list[Json]:
    """The best `limit` points over all shards. Raises: Problem."""
    collection = node.collection(name)
    limit, offset = body.get("limit", 10), body.get("offset") or 0
    if body.get("prefetch"):
        raise wrong_input("prefetch is not supported by this development server")
    scoring, excluded = await _resolved(node, collection, body)
    asked = {**body, "query": scoring, "limit": min(limit + offset, MAX_LIMIT)}
    if excluded:
        condition = {"must_not": [{"has_id": excluded}]}
        given = body.get("filter")
        asked["filter"] = {**condition, "must": [given]} if given else condition
    shards = chosen_shards(collection, body.get("shard_key"))
    answers = await read(node, collection, shards, ReplicaRead("query", asked))
    points = _with_shard_keys(collection, answers)
    _sort(points, scoring, _ascending(collection, body.get("using")))
    best = {(_typed(point.get("shard_key")), point["id"]): point for point in reversed(points)}
    return list(best.values())[::-1][offset : offset + limit]


def _typed(key: Any) -> tuple[str, Any]:
    return type(key).__name__, key


def _merged(points: list[Json]) -> list[Json]:
    """The first of the points with one id: shards of several keys may hold the same ids, and so may
    two of one key until a resharding's cleanup. Qdrant keeps one of them.

    Source: lib/collection/src/collection/point_ops.rs, Qdrant 1.18.3
    """
    return list({point["id"]: point for point in reversed(points)}.values())[::-1]


def _sort(points: list[Json], scoring: Json | None, ascending: bool) -> None:
    if scoring is None:
        points.sort(key=lambda point: _id_order(point["id"]))
    elif "order_by" in scoring:
        order = scoring["order_by"]
        down = isinstance(order, dict) and order.get("direction") == "desc"
        points.sort(key=lambda point: point["order_value"], reverse=down)
    else:
        by_distance = ascending and "nearest" in scoring
        points.sort(key=lambda point: point["score"], reverse=not by_distance)


def _ascending(collection: Collection, using: str | None) -> bool:
    params = vector_params(collection.config).get(using or "")
    return bool(params and params["distance"] in {"Euclid", "Manhattan"})


async def _resolved(
    node: Node, collection: Collection, body: Json
) -> tuple[Json | None, list[Any]]:
    """The query with vectors in place of point ids, and the ids it must not return."""
    given, using = body.get("query"), body.get("using")
    if given is None:
        return None, []
    if not isinstance(given, dict) or "indices" in given:
        given = {"nearest": given}
    kind, inner = next(item for item in [*given.items(), ("", {})] if item[1] is not None)
    source = _Vectors(node, collection, using)
    if kind == "nearest":
        return {"nearest": await source.of(inner)}, source.used
    if kind == "recommend":
        return await _recommend(inner, source), source.used
    if kind in {"discover", "context"}:
        pairs = inner["context"] if kind == "discover" else inner
        resolved: Json = {
            "context": [
                {side: await source.of(pair[side]) for side in ("positive", "negative")}
                for pair in (pairs if isinstance(pairs, list) else [pairs] if pairs else [])
            ]
        }
        if kind == "discover":
            resolved["target"] = await source.of(inner["target"])
        return {kind: resolved}, source.used
    return {kind: inner}, []


async def _recommend(body: Json, source: _Vectors) -> Json:
    sides = {
        side: [await source.of(one) for one in body.get(side) or ()]
        for side in ("positive", "negative")
    }
    strategy = body.get("strategy") or "average_vector"
    if strategy != "average_vector":
        return {strategy: sides}
    if not sides["positive"]:
        raise wrong_input("At least one positive vector ID required")
    mean = _mean(sides["positive"])
    if sides["negative"]:
        other = _mean(sides["negative"])
        mean = [2 * plus - minus for plus, minus in zip(mean, other, strict=True)]
    return {"nearest": mean}


def _mean(vectors: Sequence[Sequence[float]]) -> list[float]:
    return [math.fsum(column) / len(vectors) for column in zip(*vectors, strict=True)]


class _Vectors:
    """Vectors as given, or of the points that were named; remembers which were."""

    def __init__(self, node: Node, collection: Collection, using: str | None) -> None:
        self._node, self._collection, self._using = node, collection, using
        self.used: list[Any] = []

    async def of(self, given: Any) -> Any:
        if not isinstance(given, str | int) or isinstance(given, bool):
            return given
        body = {"ids": [given], "with_payload": False, "with_vector": True}
        shards = chosen_shards(self._collection, None)
        answers = await read(self._node, self._collection, shards, ReplicaRead("retrieve", body))
        found = [record for answer in answers.values() for record in answer]
        if not found:
            raise not_found(f"No point with id {given} found")
        self.used.append(given)
        vector = found[0]["vector"]
        return vector[self._using or ""] if isinstance(vector, dict) else vector


async def scroll(node: Node, collection: Collection, shards: list[int], body: Json) -> Json:
    """A page of points by id (or by a payload value), and where the next one starts."""
    answers = await read(node, collection, shards, ReplicaRead("scroll", one_more(body)))
    return page(_with_shard_keys(collection, answers), body)


def _with_shard_keys(collection: Collection, answers: dict[int, list[Json]]) -> list[Json]:
    """All points of all shards. Those of a shard with a key carry it, as in Qdrant's responses."""
    return [
        point if (key := collection.shards[shard].key) is None else {**point, "shard_key": key}
        for shard, answer in answers.items()
        for point in answer
    ]


def one_more(body: Json) -> Json:
    """What a replica is asked for a page: a point more, which shows where the next one starts."""
    limit = body.get("limit") or 10
    return {**body, "limit": limit if body.get("order_by") else limit + 1}


def page(points: list[Json], body: Json) -> Json:
    """The page out of what replicas answered to `one_more`."""
    limit, order = body.get("limit") or 10, body.get("order_by")
    if order:
        _sort(points, {"order_by": order}, ascending=True)
        return {"points": points[:limit], "next_page_offset": None}
    points = sorted(_merged(points), key=lambda point: _id_order(point["id"]))
    rest = points[limit:]
    return {"points": points[:limit], "next_page_offset": rest[0]["id"] if rest else None}


def _id_order(given: int | str) -> tuple[int, int, str]:
    """Numbers before uuids, as Qdrant sorts ids."""
    return (0, given, "") if isinstance(given, int) else (1, 0, given)


async def retrieve(node: Node, name: str, body: Json) -> list[Json]:
    collection = node.collection(name)
    shards = chosen_shards(collection, body.get("shard_key"))
    answers = await read(node, collection, shards, ReplicaRead("retrieve", body))
    found = {one["id"]: one for one in _merged(_with_shard_keys(collection, answers))}
    return [found[one] for one in dict.fromkeys(body["ids"]) if one in found]


async def count(node: Node, name: str, body: Json) -> int:
    collection = node.collection(name)
    shards = chosen_shards(collection, body.get("shard_key"))
    return sum((await read(node, collection, shards, ReplicaRead("count", body))).values())


async def facet(node: Node, name: str, body: Json) -> list[Json]:
    collection = node.collection(name)
    shards = chosen_shards(collection, body.get("shard_key"))
    answers = await read(
        node, collection, shards, ReplicaRead("facet", {**body, "limit": MAX_LIMIT})
    )
    totals: dict[Any, int] = {}
    for hit in (hit for answer in answers.values() for hit in answer):
        totals[hit["value"]] = totals.get(hit["value"], 0) + hit["count"]
    ranked = sorted(totals.items(), key=lambda item: (-item[1], str(item[0])))
    return [
        {"value": value, "count": number} for value, number in ranked[: body.get("limit") or 10]
    ]


def ring_of(collection: Collection, shard_id: int) -> Json:
    """What `hash_ring_filter` means for a shard. Raises: Problem 400, for an unknown one."""
    if shard_id not in collection.shards:
        raise Problem(
            400, f"Bad request: shard {shard_id} does not exist in collection {collection.name}"
        )
    return {"shards": collection.ring_of(shard_id), "expected": shard_id}
