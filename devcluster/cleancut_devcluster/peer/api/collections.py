"""Routes about the peer, the cluster and collections, spelled as Qdrant's route templates."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from cleancut.engine.config import Json
from cleancut_devcluster.peer.api.http import (
    answer,
    body_of,
    flag,
    json_of,
    json_route,
    name_of,
    node_of,
    server_of,
    timeout_of,
)
from cleancut_devcluster.peer.cluster import collection_changes, transfers
from cleancut_devcluster.peer.cluster.shard_sizes import cluster_telemetry
from cleancut_devcluster.peer.cluster.telemetry import (
    COMMIT,
    VERSION,
    cluster,
    collection_info,
    placement,
    telemetry,
)
from cleancut_devcluster.peer.engine.errors import Problem, bad_request, service_error

COLLECTION = "/collections/{collection_name:[^/]+}"


def routes() -> list[web.RouteDef]:
    calls = [
        web.get("/telemetry", json_route(_telemetry)),
        web.get("/cluster", json_route(_cluster)),
        web.get("/cluster/telemetry", json_route(_cluster_telemetry)),
        web.delete("/cluster/peer/{peer_id}", json_route(_remove_peer)),
        web.get("/cluster/metadata/keys", json_route(_metadata_keys)),
        web.get("/cluster/metadata/keys/{key}", json_route(_metadata)),
        web.put("/cluster/metadata/keys/{key}", json_route(_put_metadata)),
        web.delete("/cluster/metadata/keys/{key}", json_route(_delete_metadata)),
        web.get("/collections", json_route(_collections)),
        web.get("/aliases", json_route(_aliases)),
        web.post("/collections/aliases", json_route(_change_aliases)),
        web.get(COLLECTION, json_route(_info)),
        web.put(COLLECTION, json_route(_create)),
        web.patch(COLLECTION, json_route(_patch)),
        web.delete(COLLECTION, json_route(_delete)),
        web.get(COLLECTION + "/exists", json_route(_exists)),
        web.get(COLLECTION + "/aliases", json_route(_collection_aliases)),
        web.get(COLLECTION + "/cluster", json_route(_placement)),
        web.post(COLLECTION + "/cluster", json_route(_reshape)),
        web.get(COLLECTION + "/shards", json_route(_shard_keys)),
        web.put(COLLECTION + "/shards", json_route(_create_shard_key)),
        web.post(COLLECTION + "/shards/delete", json_route(_delete_shard_key)),
        web.post(COLLECTION + "/truncate_unapplied_wal", json_route(_truncate_unapplied)),
        web.put(COLLECTION + "/index", json_route(_create_index)),
        web.delete(COLLECTION + "/index/{field_name}", json_route(_delete_index)),
        web.get("/", _root),
    ]
    probes = [web.get(path, _alive) for path in ("/healthz", "/livez", "/readyz")]
    return calls + probes


async def _root(_: web.Request) -> web.Response:
    shown = {"title": "qdrant - vector search engine", "version": VERSION, "commit": COMMIT}
    return web.json_response(shown)


async def _alive(request: web.Request) -> web.Response:
    ready = request.path == "/readyz"
    return web.Response(text="all shards are ready" if ready else "healthz check passed")


async def _telemetry(request: web.Request) -> Json:
    server = server_of(request)
    level = int(request.query.get("details_level", "0"))
    return telemetry(server.node, server.requests, level)


async def _cluster(request: web.Request) -> Json:
    return cluster(node_of(request))


async def _cluster_telemetry(request: web.Request) -> Json:
    node = node_of(request)
    if node.standalone:
        raise service_error("Could not get telemetry from cluster")
    return await cluster_telemetry(node)


async def _remove_peer(request: web.Request) -> bool:
    peer = int(request.match_info["peer_id"])
    return await collection_changes.remove_peer(
        node_of(request), peer, force=flag(request, "force", False)
    )


def _metadata_of(request: web.Request) -> dict[str, Any]:
    node = node_of(request)
    if node.standalone:
        raise service_error("Qdrant is running in standalone mode")
    return node.state.metadata


async def _metadata_keys(request: web.Request) -> list[str]:
    return sorted(_metadata_of(request))


async def _metadata(request: web.Request) -> web.Response:
    return answer(_metadata_of(request).get(request.match_info["key"]), 0.0)


async def _put_metadata(request: web.Request) -> bool:
    _metadata_of(request)
    key = request.match_info["key"]
    return await collection_changes.put_metadata(node_of(request), key, await json_of(request))


async def _delete_metadata(request: web.Request) -> bool:
    _metadata_of(request)
    return await collection_changes.put_metadata(node_of(request), request.match_info["key"], None)


async def _collections(request: web.Request) -> Json:
    return {"collections": [{"name": name} for name in sorted(node_of(request).state.collections)]}


async def _aliases(request: web.Request) -> Json:
    return _shown_aliases(node_of(request).state.aliases)


def _shown_aliases(aliases: dict[str, str]) -> Json:
    return {
        "aliases": [
            {"alias_name": alias, "collection_name": target} for alias, target in aliases.items()
        ]
    }


async def _collection_aliases(request: web.Request) -> Json:
    node = node_of(request)
    name = node.collection(name_of(request)).name
    return _shown_aliases({a: c for a, c in node.state.aliases.items() if c == name})


async def _change_aliases(request: web.Request) -> bool:
    actions = (await body_of(request))["actions"]
    return await collection_changes.change_aliases(node_of(request), actions, timeout_of(request))


async def _info(request: web.Request) -> Json:
    return await collection_info(node_of(request), name_of(request))


async def _create(request: web.Request) -> bool:
    body = await body_of(request)
    return await collection_changes.create_collection(
        node_of(request), name_of(request), body, timeout_of(request)
    )


async def _patch(request: web.Request) -> bool:
    body = await body_of(request)
    return await collection_changes.patch_collection(
        node_of(request), name_of(request), body, timeout_of(request)
    )


async def _delete(request: web.Request) -> bool:
    return await collection_changes.delete_collection(
        node_of(request), name_of(request), timeout_of(request)
    )


async def _exists(request: web.Request) -> Json:
    try:
        node_of(request).collection(name_of(request))
    except Problem:
        return {"exists": False}
    return {"exists": True}


async def _placement(request: web.Request) -> Json:
    return await placement(node_of(request), name_of(request))


async def _reshape(request: web.Request) -> bool:
    body = await body_of(request)
    return await transfers.reshape(node_of(request), name_of(request), body, timeout_of(request))


async def _shard_keys(request: web.Request) -> Json:
    keys = node_of(request).collection(name_of(request)).keys()
    return {"shard_keys": [{"key": key} for key in keys]}


async def _create_shard_key(request: web.Request) -> bool:
    body = await body_of(request)
    return await collection_changes.create_shard_key(
        node_of(request), name_of(request), body, timeout_of(request)
    )


async def _delete_shard_key(request: web.Request) -> bool:
    key = (await body_of(request))["shard_key"]
    return await collection_changes.delete_shard_key(
        node_of(request), name_of(request), key, timeout_of(request)
    )


async def _truncate_unapplied(request: web.Request) -> int:
    """Of the replicas here alone. Source: measured on Qdrant 1.18.3"""
    node = node_of(request)
    uuid = node.collection(name_of(request)).uuid
    return sum(shard.truncate_log() for key, shard in node.shards.items() if key[0] == uuid)


async def _create_index(request: web.Request) -> Json:
    body = await body_of(request)
    if not body.get("field_schema"):
        raise bad_request("field_schema is required")
    field, schema = body["field_name"], body["field_schema"]
    await collection_changes.create_index(node_of(request), name_of(request), field, schema)
    return {"operation_id": 0, "status": "completed"}


async def _delete_index(request: web.Request) -> Json:
    field = request.match_info["field_name"]
    await collection_changes.delete_index(node_of(request), name_of(request), field)
    return {"operation_id": 0, "status": "completed"}
