"""Routes about points: updates in all their forms, and reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from cleancut.engine.config import Json
from cleancut_devcluster.peer.api.http import body_of, flag, json_route, name_of, node_of
from cleancut_devcluster.peer.cluster import reads
from cleancut_devcluster.peer.cluster.writes import update
from cleancut_devcluster.peer.engine.errors import bad_request, not_found
from cleancut_devcluster.peer.engine.updates import Operation, from_batch, parse_id

POINTS = "/collections/{collection_name:[^/]+}/points"


def routes() -> list[web.RouteDef]:
    return [
        web.put(POINTS, _updating(_upsert)),
        web.post(POINTS + "/delete", _updating(_selecting("delete"))),
        web.put(POINTS + "/vectors", _updating(_update_vectors)),
        web.post(POINTS + "/vectors/delete", _updating(_delete_vectors)),
        web.post(POINTS + "/payload", _updating(_payload("set_payload"))),
        web.put(POINTS + "/payload", _updating(_payload("overwrite_payload"))),
        web.post(POINTS + "/payload/delete", _updating(_delete_payload)),
        web.post(POINTS + "/payload/clear", _updating(_selecting("clear_payload"))),
        web.post(POINTS + "/batch", json_route(_batch)),
        web.post(POINTS, json_route(_retrieve)),
        web.get(POINTS + "/{id}", json_route(_retrieve_one)),
        web.post(POINTS + "/scroll", json_route(_scroll)),
        web.post(POINTS + "/count", json_route(_count)),
        web.post(POINTS + "/query", json_route(_query)),
        web.post(POINTS + "/query/batch", json_route(_query_batch)),
        web.post(POINTS + "/search", json_route(_search)),
        web.post("/collections/{collection_name:[^/]+}/facet", json_route(_facet)),
    ]


def _upsert(body: Json) -> Operation:
    points = body["points"] if "points" in body else from_batch(body["batch"])
    extra = {key: body[key] for key in ("update_filter", "update_mode") if body.get(key)}
    return {"kind": "upsert", "points": points, **extra}


def _update_vectors(body: Json) -> Operation:
    extra = {"update_filter": body["update_filter"]} if body.get("update_filter") else {}
    return {"kind": "update_vectors", "points": body["points"], **extra}


def _selection(body: Json) -> Json:
    """Which points: by ids, which go to their shards, or by filter, which goes to all."""
    if body.get("points") is not None:
        return {"ids": body["points"]}
    if body.get("filter") is not None:
        return {"filter": body["filter"]}
    raise bad_request("Either list of ids or filter must be provided")


def _selecting(kind: str) -> Callable[[Json], Operation]:
    return lambda body: {"kind": kind, **_selection(body)}


def _payload(kind: str) -> Callable[[Json], Operation]:
    return lambda body: {
        "kind": kind,
        "payload": body["payload"],
        "key": body.get("key"),
        **_selection(body),
    }


def _delete_payload(body: Json) -> Operation:
    return {"kind": "delete_payload", "keys": body["keys"], **_selection(body)}


def _delete_vectors(body: Json) -> Operation:
    return {"kind": "delete_vectors", "names": body["vector"], **_selection(body)}


def _updating(parse: Callable[[Json], Operation]) -> Any:
    async def call(request: web.Request) -> Json:
        body = await body_of(request)
        return _updated(request, await _apply(request, parse(body), body.get("shard_key")))

    return json_route(call)


async def _apply(request: web.Request, operation: Operation, keys: Any) -> int:
    _check_strict(request, operation)
    for point in operation.get("points") or operation.get("ids") or ():
        parse_id(point["id"] if isinstance(point, dict) else point)
    return await update(node_of(request), name_of(request), operation, keys)


def _check_strict(request: web.Request, operation: Operation) -> None:
    """Refuses what the collection's strict mode does; a peer asks another one with its own bound of
    60 s, unless the client has given one. Of rate limits nothing is known here."""
    strict = node_of(request).collection(name_of(request)).config.get("strict_mode_config") or {}
    if operation["kind"] != "upsert" or not strict.get("enabled"):
        return
    asked = (
        ("upsert limit", len(operation["points"]), strict.get("upsert_max_batchsize")),
        ("timeout", int(request.query.get("timeout", "60")), strict.get("max_timeout")),
    )
    for what, number, most in asked:
        if most is not None and number > most:
            raise bad_request(
                f'Limit exceeded {number} > {most} for "{what}". Help: Reduce the "{what}"'
                f" parameter to or below {most}."
            )


def _updated(request: web.Request, number: int) -> Json:
    done = flag(request, "wait", default=False)
    return {"operation_id": number, "status": "completed" if done else "acknowledged"}


_BATCH: dict[str, Callable[[Json], Operation]] = {
    "upsert": _upsert,
    "delete": _selecting("delete"),
    "set_payload": _payload("set_payload"),
    "overwrite_payload": _payload("overwrite_payload"),
    "delete_payload": _delete_payload,
    "clear_payload": _selecting("clear_payload"),
    "update_vectors": _update_vectors,
    "delete_vectors": _delete_vectors,
}


async def _batch(request: web.Request) -> list[Json]:
    """Order: one after the other; a failing one stops the rest."""
    results = []
    for entry in (await body_of(request))["operations"]:
        kind, body = next(iter(entry.items()))
        if kind not in _BATCH:
            raise bad_request(f"unknown operation {kind!r}")
        number = await _apply(request, _BATCH[kind](body), body.get("shard_key"))
        results.append(_updated(request, number))
    return results


async def _retrieve(request: web.Request) -> list[Json]:
    body = await body_of(request)
    for point in body["ids"]:
        parse_id(point)
    return await reads.retrieve(node_of(request), name_of(request), body)


async def _retrieve_one(request: web.Request) -> Json:
    text = request.match_info["id"]
    point = int(text) if text.isdigit() else text
    body = {"ids": [point], "with_payload": True, "with_vector": True}
    found = await reads.retrieve(node_of(request), name_of(request), body)
    if not found:
        raise not_found(f"Point with id {text} does not exists!")
    return found[0]


async def _scroll(request: web.Request) -> Json:
    node, body = node_of(request), await body_of(request)
    collection = node.collection(name_of(request))
    shards = reads.chosen_shards(collection, body.get("shard_key"))
    return await reads.scroll(node, collection, shards, body)


async def _count(request: web.Request) -> Json:
    body = await body_of(request)
    return {"count": await reads.count(node_of(request), name_of(request), body)}


async def _query(request: web.Request) -> Json:
    body = await body_of(request)
    return {"points": await reads.query(node_of(request), name_of(request), body)}


async def _query_batch(request: web.Request) -> list[Json]:
    answers = []
    for body in (await body_of(request))["searches"]:
        answers.append({"points": await reads.query(node_of(request), name_of(request), body)})
    return answers


async def _search(request: web.Request) -> list[Json]:
    body = await body_of(request)
    vector = body.pop("vector")
    if isinstance(vector, dict) and "name" in vector:
        body["using"], vector = vector["name"], vector["vector"]
    body["query"] = {"nearest": vector}
    return await reads.query(node_of(request), name_of(request), body)


async def _facet(request: web.Request) -> Json:
    body = await body_of(request)
    return {"hits": await reads.facet(node_of(request), name_of(request), body)}
