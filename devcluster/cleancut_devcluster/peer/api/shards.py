"""Routes about single shards (reads, streams, recovery), and those that peers use themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
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
    shard_of,
)
from cleancut_devcluster.peer.cluster import reads, recovery, resharding, transfers, writes
from cleancut_devcluster.peer.cluster.shard_sizes import weigh_here
from cleancut_devcluster.peer.cluster.shard_tars import cut_tar
from cleancut_devcluster.peer.engine.errors import Problem, bad_request, service_error
from cleancut_devcluster.peer.engine.queries import run

SHARD = "/collections/{collection_name:[^/]+}/shards/{shard}"
LONGEST_NAME = 207
"""Bytes of a collection's name and of its shard's number."""
LONGEST_MANIFEST = 2 << 20
STREAM_IDLE_S = 300.0
_NO_URLS = "Forbidden: Snapshot recovery from remote URLs is disabled in the configuration"


def routes() -> list[web.RouteDef]:
    return [
        web.post(SHARD + "/points", json_route(_retrieve)),
        web.post(SHARD + "/points/scroll", json_route(_scroll)),
        web.post(SHARD + "/points/count", json_route(_count)),
        web.get(SHARD + "/snapshot", _stream),
        web.get(SHARD + "/snapshot/partial/manifest", json_route(_manifest)),
        web.post(SHARD + "/snapshot/partial/create", _stream_partial),
        web.put(SHARD + "/snapshots/recover", json_route(_recover)),
        web.post(SHARD + "/snapshots/upload", json_route(_upload)),
        web.post(SHARD + "/cleanup", json_route(_cleanup)),
        web.post("/internal/poke", json_route(_poke)),
        web.post("/internal/weigh", json_route(_weigh)),
        web.post("/internal/lead", json_route(_lead)),
        web.post("/internal/apply", json_route(_apply)),
        web.post("/internal/read", json_route(_read)),
        web.post("/internal/receive", json_route(_receive)),
    ]


async def _read_here(request: web.Request, kind: str, body: Json) -> Any:
    """Only the replica of this very peer is asked, whatever its state."""
    node, number = node_of(request), shard_of(request)
    collection = node.collection(name_of(request))
    if (only := body.pop("hash_ring_filter", None)) is not None:
        body["ring"] = reads.ring_of(collection, only["expected_shard_id"])
    shard = node.shards.get((collection.uuid, number))
    if shard is None:
        raise service_error(f"Local shard {number} not found")
    return run(await shard.engine(), kind, body)


async def _retrieve(request: web.Request) -> Any:
    return await _read_here(request, "retrieve", await body_of(request))


async def _scroll(request: web.Request) -> Json:
    body = await body_of(request)
    if "hash_ring_filter" in body:
        raise bad_request("hash_ring_filter is only supported for count by this server")
    return reads.page(await _read_here(request, "scroll", reads.one_more(body)), body)


async def _count(request: web.Request) -> Json:
    return {"count": await _read_here(request, "count", await body_of(request))}


async def _manifest(request: web.Request) -> Json:
    node = node_of(request)
    collection = node.collection(name_of(request))
    engine = await node.local(collection, shard_of(request)).engine()
    manifest: Json = engine.snapshot_manifest()
    return manifest


async def _stream(request: web.Request) -> web.StreamResponse:
    return await _stream_cut(request)


async def _stream_partial(request: web.Request) -> web.StreamResponse:
    """What the manifest in the body lacks.

    Source: measured, Qdrant 1.18.3
    """
    if (request.content_length or 0) > LONGEST_MANIFEST:
        return web.Response(text="Payload too large", status=413)
    try:
        return await _stream_cut(request, await body_of(request))
    except Problem as problem:
        return web.Response(text=problem.text, status=problem.status)


async def _stream_cut(request: web.Request, known: Json | None = None) -> web.StreamResponse:
    """The tar of one cut; a second stream of the shard gets no byte until the first has ended."""
    node, number = node_of(request), shard_of(request)
    try:
        collection = node.collection(name_of(request))
        shard = node.local(collection, number)
        _check_file_name(collection.name, number)
        await shard.engine()
    except Problem as problem:
        return web.Response(text=problem.text, status=problem.status)
    response = web.StreamResponse()
    response.content_type = "application/x-tar"
    filename = f"{collection.name}-shard-{number}.snapshot"
    with contextlib.suppress(UnicodeEncodeError):
        response.headers["content-disposition"] = f'attachment; filename="{filename}"'
    await response.prepare(request)
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with shard.streaming, cut_tar(node, collection, number, shard, known=known) as chunks:
            for chunk in chunks:
                async with asyncio.timeout(STREAM_IDLE_S):
                    await response.write(chunk)
                    await asyncio.sleep(0)  # other shards' cuts are not to wait for this stream
        await response.write_eof()
    return response


def _check_file_name(name: str, number: int) -> None:
    """A stream goes by a temporary file, and its name by a header. Raises: Problem 500.

    Source: measured, Qdrant 1.18.3
    """
    if len(name.encode()) + len(str(number)) > LONGEST_NAME:
        raise Problem(500, "Service internal error: File name too long (os error 36)")
    if any((ord(c) < 32 and c != "\t") or ord(c) == 127 for c in name):
        raise Problem(500, "failed to parse header value")


async def _recover(request: web.Request) -> Any:
    body, node, shard = await body_of(request), node_of(request), shard_of(request)
    if not server_of(request).url_recovery and "://" in str(body["location"]):
        raise Problem(403, _NO_URLS)
    collection = node.collection(name_of(request))
    if shard not in collection.shards:
        raise Problem(404, f"Not found: shard {shard} not found")
    if flag(request, "wait", default=True):
        return await recovery.recover(node, collection, shard, body)
    server_of(request).spawn(recovery.recover(node, collection, shard, body))
    return answer(None, 0.0, status=202)


async def _upload(request: web.Request) -> bool:
    node, shard = node_of(request), shard_of(request)
    reader = await request.multipart()
    async for part in reader:
        if getattr(part, "name", None) == "snapshot":
            place = name_of(request), shard
            return await recovery.upload(node, place, _part_chunks(part), dict(request.query))
    raise bad_request("Field `snapshot` is missing")


async def _part_chunks(part: Any) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(1 << 20):
        yield chunk


async def _cleanup(request: web.Request) -> Json:
    return await resharding.cleanup(node_of(request), name_of(request), shard_of(request))


async def _poke(request: web.Request) -> bool:
    await node_of(request).consensus.catch_up()
    return True


async def _weigh(request: web.Request) -> Json:
    return await weigh_here(node_of(request))


async def _lead(request: web.Request) -> int:
    return await writes.lead(node_of(request), await body_of(request))


async def _apply(request: web.Request) -> bool:
    await writes.apply(node_of(request), await body_of(request))
    return True


async def _read(request: web.Request) -> web.Response:
    result = await reads.serve_read(node_of(request), await json_of(request))
    body = msgspec.json.encode({"result": result})
    return web.Response(body=body, content_type="application/json")


async def _receive(request: web.Request) -> bool:
    requests = server_of(request).requests
    requests.count_grpc("/qdrant.CollectionsInternal/Initiate")
    requests.count_grpc("/qdrant.ShardSnapshots/Recover")
    chunks = request.content.iter_chunked(1 << 20)
    uuid, shard = request.query["uuid"], int(request.query["shard"])
    await transfers.receive(node_of(request), uuid, shard, chunks)
    return True
