"""Builder of shards: new ones, filled in this process by Qdrant's engine, indexed, and packed as
Qdrant streams them.

Every call holds the interpreter until it is answered.
Source: qdrant-edge-py 0.9.0; lib/segment/src/segment/snapshot.rs and
lib/collection/src/shards/local_shard/snapshot.rs, Qdrant 1.18.3
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cleancut.engine.config import engine_config, index_schema
from cleancut.engine.shard import engine_errors
from cleancut.engine.tar_format import TarEntry, tar_chunks

_LAST_MEMBERS = ("segment.json", "version.info")
_WAL_BYTES = 4 << 20
_WAL_MAGIC = b"wal\0"


class ShardBuilder:
    """One new shard in a directory of its own. Raises: Corrupt, for what the engine cannot do.

    Order: `create` or `load`, any calls, `close`; then `tar_of` packs the directory.
    """

    def __init__(self, shard: Any) -> None:
        import qdrant_edge as edge

        self._edge, self._shard = edge, shard

    @classmethod
    def create(cls, directory: Path, config: Mapping[str, Any]) -> ShardBuilder:
        """An empty shard. `config`: of the collection, as Qdrant's API has it."""
        import qdrant_edge as edge

        directory.mkdir(parents=True)
        with engine_errors("create"):
            made = cls(edge.EdgeShard.create(str(directory), engine_config(config)))
            # The engine numbers from 0 on, and Qdrant takes version 0 for a shard without data.
            made._shard.update(edge.UpdateOperation.upsert_points([]))
        return made

    @classmethod
    def load(cls, directory: Path, config: Mapping[str, Any]) -> ShardBuilder:
        """The shard that was closed there."""
        import qdrant_edge as edge

        with engine_errors("open"):
            return cls(edge.EdgeShard.load(str(directory), engine_config(config)))

    def add(self, records: Iterable[Any]) -> None:
        """Puts records of another shard, with their vectors and payloads, as they are."""
        edge = self._edge
        points = [edge.Point(one.id, _vector(one), one.payload or {}) for one in records]
        with engine_errors("fill"):
            self._shard.update(edge.UpdateOperation.upsert_points(points))

    def index(self, schema: Mapping[str, Any]) -> None:
        """Payload indexes: field and definition, as Qdrant's API takes them."""
        for field, definition in schema.items():
            with engine_errors("index"):
                made = self._edge.UpdateOperation.create_field_index(
                    field, index_schema(definition)
                )
                self._shard.update(made)

    def optimize(self) -> None:
        """Segments are merged, indexed and quantized as the configuration wants."""
        with engine_errors("optimize"):
            self._shard.optimize()

    def count(self) -> int:
        """Its points, exactly."""
        with engine_errors("read"):
            return int(self._shard.count(self._edge.CountRequest(exact=True)))

    def flush(self) -> None:
        """What was put is in the files, and the engine's log is short again."""
        with engine_errors("write"):
            self._shard.flush()

    def close(self) -> dict[str, Any]:
        """The manifest of its segments. Order: the last call."""
        self.flush()
        with engine_errors("close"):
            manifest: dict[str, Any] = self._shard.snapshot_manifest()
            self._shard.close()
        return manifest


def tar_of(directory: Path, manifest: Mapping[str, Any]) -> Iterator[bytes]:
    """The tar of a closed shard, as Qdrant streams it. Its log is empty, and goes on after what
    was put; whose replica it is, is Qdrant's to say. Raises: OSError."""
    versions = [int(one["segment_version"] or 0) for one in manifest.values()]
    log = directory / "empty-log"
    with log.open("wb") as file:
        file.write(_WAL_MAGIC + secrets.token_bytes(4))
        file.truncate(_WAL_BYTES)
    state = {"is_local": True, "this_peer_id": 0, "peers": {}}
    segments = directory / "segments"
    members = [
        *(entry for name, one in manifest.items() for entry in _segment(segments, name, one)),
        TarEntry("wal/"),
        TarEntry(f"wal/closed-{max(versions, default=0) + 1}", path=log),
        TarEntry("replica_state.json", data=json.dumps(state).encode()),
        TarEntry("shard_config.json", data=b'{"type":"ReplicaSet"}'),
    ]
    return tar_chunks(iter(members))


def _segment(segments: Path, name: str, manifest: Mapping[str, Any]) -> list[TarEntry]:
    """What the manifest names, and what every segment ends with, which makes it valid."""
    root = segments / name
    wanted = frozenset(manifest["file_versions"])
    files = sorted(str(one.relative_to(root)) for one in root.rglob("*") if one.is_file())
    kept = [one for one in files if one in wanted and one not in _LAST_MEMBERS]
    last = [one for one in _LAST_MEMBERS if one in files]
    return [TarEntry(f"segments/{name}/files/{one}", path=root / one) for one in (*kept, *last)]


def _vector(record: Any) -> Any:
    """Of a point without any vector too."""
    return {} if record.vector is None else record.vector


def by_owner(records: Sequence[Any], owners: Sequence[int]) -> dict[int, list[Any]]:
    """The records of each shard."""
    parts: dict[int, list[Any]] = {}
    for record, owner in zip(records, owners, strict=True):
        parts.setdefault(owner, []).append(record)
    return parts
