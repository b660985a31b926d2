"""Recover and upload of a shard: the tar is fetched, checked, and put in the replica's place."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from cleancut.engine.config import Json
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.cluster.shard_tars import install, shard_file
from cleancut_devcluster.peer.cluster.writes import set_replica
from cleancut_devcluster.peer.consensus.state import ACTIVE, Collection
from cleancut_devcluster.peer.engine.errors import Problem, bad_request, not_found, service_error

IDLE_S = 60.0
_PRIORITIES = ("no_sync", "snapshot", "replica")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


async def recover(node: Node, collection: Collection, shard_id: int, body: Json) -> bool:
    """This peer's replica holds the tar at `location` and is Active; others are untouched.

    Raises: Problem, with the answers of a real server; the old data is kept unless loading fails.
    """
    location, place = str(body["location"]), (collection.uuid, shard_id)
    checksum = _checked(body)
    scheme = urlsplit(location).scheme
    if scheme in {"http", "https"}:
        async with _scratch_file(node) as tar:
            await _download(location, tar, body.get("api_key"))
            return await _put_in_place(node, place, tar, checksum)
    if scheme:
        raise bad_request(f"Invalid snapshot URL, URLs with {scheme} scheme are not supported")
    tar = shard_file(node, collection, shard_id, location)
    return await _put_in_place(node, place, tar, checksum)


async def upload(
    node: Node, place: tuple[str, int], chunks: AsyncIterator[bytes], body: Json
) -> bool:
    """As `recover`, with the tar in the request. Shape: `place` is a name, which is looked up once
    the tar is whole, and a shard."""
    checksum, (name, shard_id) = _checked(body), place
    async with _scratch_file(node) as tar:
        await write_chunks(tar, chunks)
        _check_sum(tar, checksum)
        collection = node.collection(name)
        if shard_id not in collection.shards:
            raise not_found(f"shard {shard_id} not found")
        return await _put_in_place(node, (collection.uuid, shard_id), tar, None)


@asynccontextmanager
async def _scratch_file(node: Node) -> AsyncIterator[Path]:
    tar = node.scratch / f"{uuid.uuid4().hex}.tar"
    try:
        yield tar
    finally:
        tar.unlink(missing_ok=True)


async def write_chunks(path: Path, chunks: AsyncIterator[bytes]) -> None:
    with path.open("wb") as file:
        async for chunk in chunks:
            file.write(chunk)


def _checked(body: Json) -> str | None:
    priority, checksum = body.get("priority") or "snapshot", body.get("checksum")
    if priority not in _PRIORITIES:
        raise bad_request(f"unknown variant `{priority}`, expected one of {_PRIORITIES}")
    if checksum is not None and not _SHA256.fullmatch(checksum):
        raise Problem(422, "Validation error in JSON body: [checksum: invalid sha256 hash]")
    return None if checksum is None else str(checksum).lower()


async def _download(location: str, tar: Path, api_key: str | None) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=IDLE_S)
    headers = {"api-key": api_key} if api_key else {}
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout,
                headers=headers,
                trust_env=True,  # http_proxy, as the server does
            ) as session,
            session.get(location) as response,
        ):
            if response.status != 200:
                raise bad_request(
                    f"Failed to download tar from {location}: status {response.status}"
                )
            await write_chunks(tar, response.content.iter_chunked(1 << 20))
    except aiohttp.ClientPayloadError as error:
        raise service_error(f"Failed to unpack tar archive: {error}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise service_error(f"Http request error: {error!r}") from error


async def _put_in_place(
    node: Node, place: tuple[str, int], tar: Path, checksum: str | None
) -> bool:
    _check_sum(tar, checksum)
    if place not in node.shards:
        await set_replica(node, place, peer=node.peer_id, state=ACTIVE)
        await node.consensus.settled()
    collection = node.state.by_uuid(place[0])
    if collection is None:
        raise not_found("the collection was deleted")
    await install(node, collection, node.local(collection, place[1]), tar)
    await set_replica(node, place, peer=node.peer_id, state=ACTIVE)
    return True


def _check_sum(tar: Path, checksum: str | None) -> None:
    if checksum is not None and _sha256(tar) != checksum:
        raise bad_request(f"Snapshot checksum mismatch: expected {checksum}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
