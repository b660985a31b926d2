"""A group from an earlier time, of collections that are gone, stored by the real pipeline."""

from __future__ import annotations

import functools
import hashlib
import random
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from cleancut.core.format.manifest import (
    ClusterEntry,
    CollectionEntry,
    Manifest,
    ShardEntry,
    format_of,
)
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Reading, ShardState
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import CapturedShard, capture_shard
from cleancut.testing.memory_store import MemoryStore
from simulation.loop import JumpingLoop
from simulation.programs import NoPool
from simulation.qdrant import info_of
from simulation.tars import Held, make_tar

FIRST = Epoch(1)
"""The group that is there from the beginning."""
CLUSTER_ID = "5b" * 16
_CUT = 1_000_000
"""The cuts of this time have numbers that no later one has."""

SOUND = ShardState(status="green", segment="segment", optimizing=0)


class Earlier(NamedTuple):
    """Shards of a collection as they were stored, and the objects that hold them."""

    shards: tuple[CapturedShard, ...]
    objects: dict[str, bytes]


def points_of(collection: int, shard: int) -> int:
    """A number that no writes of a history reach."""
    return 100_000 * (shard + 1) + 1_000_000 * collection


@functools.lru_cache(maxsize=64)
def stored(root: str, collection: int, shards: int) -> Earlier:
    """Collection `r<collection>` with that many shards."""
    loop, paths, store = JumpingLoop(random.Random(0), _failed), Paths(root), MemoryStore()  # type: ignore[arg-type]
    chance = random.Random(collection)

    async def capture() -> tuple[CapturedShard, ...]:
        with tempfile.TemporaryDirectory() as directory:
            async with PackWriter(
                store,
                paths,
                epoch=FIRST,
                session_id=f"{collection:032x}",
                pool=NoPool(),
                spill_dir=Path(directory),
                gather=False,
                token_hex=lambda size: chance.randbytes(size).hex(),
            ) as packs:
                made = [
                    await capture_shard(
                        _chunks(collection, shard),
                        parent=None,
                        packs=packs,
                        on_cut=lambda: None,
                        hashed=shard % 2 == 0,
                    )
                    for shard in range(shards)
                ]
                await packs.flush()
        return tuple(made)

    found = loop.run_until_complete(capture())
    loop.end()
    return Earlier(found, dict(store.objects))


def _failed(context: dict[str, Any]) -> None:
    raise AssertionError(f"prehistory failed: {context}")


async def _chunks(collection: int, shard: int) -> AsyncIterator[bytes]:
    held = Held(points_of(collection, shard), _CUT + 100 * collection + shard)
    yield make_tar(f"r{collection}", shard, held)


def first_group(paths: Paths, rng: random.Random) -> tuple[Manifest, dict[str, bytes]]:
    """Some collections that are gone; quiet, so that counts are known, or bounded."""
    quiet, copies = rng.random() < 0.5, rng.randint(1, 2)
    entries, shards, objects = [], list[ShardEntry](), dict[str, bytes]()
    for index in range(rng.randint(1, 2)):
        name, count = f"r{index}", rng.randint(1, 3)
        earlier = stored(paths.cluster, index, count)
        objects |= earlier.objects
        entries.append(
            CollectionEntry(
                name=name,
                uuid=f"uuid-{name}-old",
                info=info_of(count, copies),
                shard_ids=tuple(ShardId(shard) for shard in range(count)),
                aliases=(f"live-{name}",) if rng.random() < 0.5 else (),
            )
        )
        shards += [
            _entry(name, shard, captured, points_of(index, shard), quiet=quiet)
            for shard, captured in enumerate(earlier.shards)
        ]
    manifest = Manifest(
        format=format_of(shards),
        cluster=paths.cluster,
        cluster_id=CLUSTER_ID,
        epoch=FIRST,
        operation=OperationId("earlier"),
        created_by="sim",
        cut_at="2020-01-01T00:00:00.000Z",
        skew_ms=1,
        collections=tuple(entries),
        shards=tuple(shards),
        source=ClusterEntry(qdrant_version="1.18.3", peers={}, metadata={}),
        view=hashlib.sha256(b"").hexdigest(),
    )
    return manifest, objects


def _entry(
    name: str, shard: int, captured: CapturedShard, points: int, *, quiet: bool
) -> ShardEntry:
    return ShardEntry(
        collection=name,
        shard_id=ShardId(shard),
        peer_id=PeerId(1),
        agent="a1",
        recipe=captured.recipe_digest,
        tar_sha256=captured.tar_sha256,
        size_bytes=captured.size_bytes,
        new_bytes=captured.new_bytes,
        stored_bytes=captured.stored_bytes,
        first=Reading(number=1, incarnation="s", arrivals=0, state=SOUND),
        second=Reading(number=2 if quiet else 9, incarnation="s", arrivals=0, state=SOUND),
        drained=True,
        count=points if quiet else None,
    )
