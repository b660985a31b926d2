"""Backups of a collection `docs` in a file store: of the recorded tars of a real Qdrant, two
shards, or of tars made by the stand-in's engine."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from cleancut.core.format.manifest import (
    FORMAT,
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
)
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Reading
from cleancut.engine.tar_format import TarEntry, tar_chunks
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from cleancut_devcluster.peer.engine.config import new_config
from cleancut_devcluster.peer.engine.shard import LocalShard
from cleancut_devcluster.peer.engine.shard_log import LogPlace
from tests.support.capturing import PATHS, RECORDED, capture, recorded
from tests.support.groups import SOUND

DOCS = "docs"
COUNTS = {"t0": (1566, 1434), "t1": (1564, 1433)}


def recorded_info() -> dict[str, Any]:
    """What Qdrant says of the recorded collection."""
    found: dict[str, Any] = json.loads((RECORDED / "t0.json").read_bytes())["collection"]["result"]
    return found


_AFTER = (
    TarEntry(
        "replica_state.json", data=b'{"is_local":true,"this_peer_id":1,"peers":{"1":"Active"}}'
    ),
    TarEntry("shard_config.json", data=b'{"type":"ReplicaSet"}'),
)


class RecordedStore:
    """A file store, the flags that name it, and backups of given tars."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "store"
        self.root.mkdir(parents=True)
        self._spill = folder / "spill"
        self.flags = ["--store", f"file://{self.root}", "--cluster", "prod"]
        self._store = open_store(f"file://{self.root}", SystemClock())
        self._shards: dict[str, ShardEntry] = {}

    def publish_recorded(self, epoch: int, state: str) -> Manifest:
        """The backup of what the two shards of `docs` were at `state`: `t0` or `t1`."""
        tars = {at: recorded(f"{state}-shard{at}") for at in (0, 1)}
        return self.publish(epoch, tars, recorded_info())

    def publish(
        self,
        epoch: int,
        tars: Mapping[int, bytes],
        info: Mapping[str, Any],
        keys: Sequence[tuple[str | int, tuple[int, ...]]] = (),
    ) -> Manifest:
        """The backup of a collection with these shards; those of `keys` are under shard keys."""
        key_of = {shard: key for key, shards in keys for shard in shards}
        shards = tuple(self._shard(at, tar, key_of.get(at)) for at, tar in sorted(tars.items()))
        manifest = Manifest(
            format=FORMAT,
            cluster="prod",
            cluster_id="c",
            epoch=Epoch(epoch),
            operation=OperationId(f"bk-{epoch}"),
            created_by="test",
            cut_at="2026-01-02T03:04:05Z",
            skew_ms=12,
            collections=(
                CollectionEntry(
                    name=DOCS,
                    uuid="u",
                    info=dict(info),
                    shard_ids=tuple(ShardId(at) for at in sorted(tars)),
                    shard_keys=tuple(
                        (key, tuple(ShardId(one) for one in ids)) for key, ids in keys
                    ),
                ),
            ),
            shards=shards,
            source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
            view="v",
        )
        asyncio.run(self._store.put(PATHS.group(Epoch(epoch)), encode(manifest)))
        asyncio.run(self._store.put(PATHS.id_of(manifest.operation, Epoch(epoch)), b""))
        return manifest

    def _shard(self, number: int, tar: bytes, key: str | int | None) -> ShardEntry:
        """Equal tars are captured once."""
        known = hashlib.sha256(tar).hexdigest()
        if known not in self._shards:
            captured = capture(self._store, self._spill, tar)
            reading = Reading(number=5, incarnation="s", arrivals=0, state=SOUND)
            self._shards[known] = ShardEntry(
                collection=DOCS,
                shard_id=ShardId(number),
                peer_id=PeerId(7),
                agent="node-0",
                recipe=captured.recipe_digest,
                tar_sha256=captured.tar_sha256,
                size_bytes=captured.size_bytes,
                new_bytes=captured.new_bytes,
                stored_bytes=captured.stored_bytes,
                first=reading,
                second=reading,
                drained=True,
            )
        return replace(self._shards[known], shard_id=ShardId(number), shard_key=key)


def made_tar(folder: Path, body: Mapping[str, Any], *operations: dict[str, Any]) -> bytes:
    """The tar of a shard to which `operations` were applied, as the stand-in streams it; `body`: of
    the request that creates its collection."""
    folder.mkdir(parents=True)
    config = new_config(body, 1)

    async def make() -> bytes:
        shard = LocalShard(folder / "data", config, LogPlace(folder / "logs" / "wal"))
        for operation in operations:
            await shard.apply(operation)
        (scratch := folder / "scratch").mkdir()
        members = [*shard.cut(scratch), *_AFTER]
        tar = b"".join(tar_chunks(iter(members)))
        shard.close()
        return tar

    return asyncio.run(make())


def made_info(body: Mapping[str, Any]) -> dict[str, Any]:
    """What Qdrant says of the collection that `body` creates."""
    return {"config": new_config(body, 1), "payload_schema": {}}
