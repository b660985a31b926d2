"""Shard tars of this peer: the stream of a cut, and putting one in a replica's place."""

from __future__ import annotations

import re
import shutil
import tarfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import qdrant_edge as edge

from cleancut.engine.config import Json
from cleancut.engine.tar_format import TarEntry, tar_chunks
from cleancut_devcluster.peer.cluster.node import Node
from cleancut_devcluster.peer.consensus.state import Collection
from cleancut_devcluster.peer.engine.errors import (
    Problem,
    bad_request,
    engine_errors,
    service_error,
)
from cleancut_devcluster.peer.engine.shard import LocalShard

_WAL = re.compile(r"wal/(?:open|closed)-(\d+)\Z")
_SEGMENT = re.compile(r"segments/([^/]+?)(?:\.tar)?(?:/|\Z)")


@asynccontextmanager
async def cut_tar(
    node: Node,
    collection: Collection,
    shard_id: int,
    shard: LocalShard,
    *,
    known: Json | None = None,
) -> AsyncIterator[Iterator[bytes]]:
    """The tar of the shard as it is at this instant: the cut is made before the block begins.
    `known`: see `LocalShard.cut`.

    It ends early, without an error, once the replica is dropped or replaced: as Qdrant's does.
    """
    scratch = node.scratch / uuid.uuid4().hex
    scratch.mkdir(parents=True)
    try:
        async with shard.maintenance:
            await shard.engine()
            members = [*shard.cut(scratch, known), *_state_members(node, collection, shard_id)]
            incarnation = shard.incarnation
        yield _until_replaced(tar_chunks(iter(members)), shard, incarnation)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _until_replaced(
    chunks: Iterator[bytes], shard: LocalShard, incarnation: int
) -> Iterator[bytes]:
    for chunk in chunks:
        if shard.incarnation != incarnation:
            return
        yield chunk


def _state_members(node: Node, collection: Collection, shard_id: int) -> list[TarEntry]:
    replicas = collection.shards[shard_id].replicas
    state = {
        "is_local": True,
        "this_peer_id": node.peer_id,
        "peers": {str(peer): state for peer, state in replicas.items()},
    }
    return [
        TarEntry("replica_state.json", data=msgspec.json.encode(state)),
        TarEntry("shard_config.json", data=b'{"type":"ReplicaSet"}'),
    ]


async def install(node: Node, collection: Collection, shard: LocalShard, tar: Path) -> None:
    """The replica holds what the tar holds.

    Raises: Problem, as Qdrant for a broken tar; only the last step can cost the old data.
    """
    whole = _is_whole(tar)
    unpacked = node.scratch / uuid.uuid4().hex
    try:
        with engine_errors():
            edge.EdgeShard.unpack_snapshot(str(tar), str(unpacked))
        if not whole:
            shutil.rmtree(unpacked / "segments", ignore_errors=True)
        _drop_unversioned(unpacked)
        async with shard.maintenance:
            shard.replace(unpacked, collection.schema)
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _drop_unversioned(unpacked: Path) -> None:
    """Segments without version.info vanish silently, as on a real server."""
    for segment in (unpacked / "segments").glob("*"):
        if not (segment / "version.info").exists():
            shutil.rmtree(segment, ignore_errors=True)


def _is_whole(tar: Path) -> bool:
    """Whether the tar says that it has data. Raises: Problem."""
    if tar.stat().st_size == 0:
        raise bad_request("Invalid snapshot: the archive is empty")
    try:
        with tarfile.open(tar, "r:") as archive:
            names = [member.name for member in archive]
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise service_error(f"Failed to unpack tar archive: {error}") from error
    if not any(_WAL.match(name) for name in names):
        raise bad_request("Invalid snapshot: no wal in the archive")
    return "replica_state.json" in names


def shard_file(node: Node, collection: Collection, shard_id: int, name: str) -> Path:
    """A tar next to the data. Raises: Problem 404."""
    path = node.directory / "snapshots" / collection.name / "shards" / str(shard_id) / name
    if "/" in name or not path.is_file():
        raise Problem(404, f"Not found: Snapshot {name} not found")
    return path
