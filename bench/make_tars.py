"""Makes shard tars for measuring: real segments, ids, HNSW graphs and payload of Qdrant's own
storage engine (qdrant-edge-py), tarred as a shard's stream is. Random vectors, so the worst case
for compression.

Usage: python -m bench.make_tars DIRECTORY [POINTS [SHARDS]]
Writes DIRECTORY/t0/shard<n>.tar; t1/: the same shards after 1 % of the points were upserted with
new vectors, as ids spread at random; and t2/: after 1 % more points were appended to those.
"""

from __future__ import annotations

import random
import shutil
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import qdrant_edge as edge

from cleancut.engine.tar_format import TarEntry, tar_chunks

DIMENSION = 256
BATCH = 2000
CHANGED = 0.01


def make(
    directory: Path, points: int = 112_000, shards: int = 3, dimension: int = DIMENSION
) -> None:
    """Makes what is missing in `directory`: a second call is free."""
    for number in range(shards):
        targets = [directory / state / f"shard{number}.tar" for state in ("t0", "t1", "t2")]
        if all(target.exists() for target in targets):
            continue
        work = directory / f"work-{uuid.uuid4().hex}"
        work.mkdir(parents=True)
        shard = edge.EdgeShard.create(str(work), _config(dimension))
        vectors = _Vectors(np.random.default_rng(number), dimension)
        first = number << 32  # no id is in two shards
        ids = range(first, first + points)
        _upsert(shard, vectors, ids)
        shard.optimize()
        _write(shard, work, targets[0], points)
        changed = random.Random(number).sample(ids, int(points * CHANGED))
        _upsert(shard, vectors, changed)
        _write(shard, work, targets[1], points + len(changed))
        _upsert(shard, vectors, range(first + points, first + points + len(changed)))
        _write(shard, work, targets[2], points + 2 * len(changed))
        shard.close()
        shutil.rmtree(work)


@dataclass(frozen=True, slots=True)
class _Vectors:
    generator: np.random.Generator
    dimension: int

    def some(self, number: int) -> list[list[float]]:
        found = self.generator.normal(size=(number, self.dimension)).astype("f4")
        return found.tolist()  # type: ignore[no-any-return]


def _config(dimension: int) -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(dimension, edge.Distance.Cosine),
        hnsw_config=edge.HnswIndexConfig(m=8, ef_construct=32, full_scan_threshold=10_000),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=10_000),
    )


def _upsert(shard: edge.EdgeShard, vectors: _Vectors, ids: range | list[int]) -> None:
    for start in range(0, len(ids), BATCH):
        part = ids[start : start + BATCH]
        batch = [
            edge.Point(n, vector, {"tag": f"t{n % 100}", "text": f"document number {n} " * 4})
            for n, vector in zip(part, vectors.some(len(part)), strict=True)
        ]
        shard.update(edge.UpdateOperation.upsert_points(batch))


def _write(shard: edge.EdgeShard, work: Path, target: Path, operations: int) -> None:
    shard.flush()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with partial.open("wb") as tar:
        for chunk in tar_chunks(_members(shard, work, operations)):
            tar.write(chunk)
    partial.rename(target)


def _members(shard: edge.EdgeShard, work: Path, operations: int) -> Iterator[TarEntry]:
    for segment in shard.snapshot_manifest():
        root = work / "segments" / segment
        files = [p.relative_to(root) for p in sorted(root.rglob("*")) if p.is_file()]
        last = [name for name in files if str(name) in {"segment.json", "version.info"}]
        for name in [n for n in files if n not in last] + last:
            yield TarEntry(f"segments/{segment}/files/{name}", path=root / name)
    wal = work / "empty-wal"
    with wal.open("wb") as file:
        file.write(b"wal\0" + random.randbytes(4))
        file.truncate(4 << 20)
    yield TarEntry("wal/")
    yield TarEntry(f"wal/closed-{operations}", path=wal)
    yield TarEntry("replica_state.json", data=b'{"is_local":true,"this_peer_id":1,"peers":{}}')
    yield TarEntry("shard_config.json", data=b'{"type":"ReplicaSet"}')


if __name__ == "__main__":
    make(Path(sys.argv[1]), *map(int, sys.argv[2:]))
