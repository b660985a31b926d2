"""Parents whose packs are missing, too short or known to be damaged: the next backup heals."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.format.partial_recipe import PartialRecipe
from cleancut.core.format.recipe import PageRef
from cleancut.core.primitives.ids import Digest, Epoch, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Parent, ShardTask
from cleancut.core.verification.damage import Level, VerificationRecord
from cleancut.repository.damaged_objects import damaged_objects
from cleancut.repository.shards.capture import CapturedShard
from cleancut.repository.verification_log import put_check
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.backup.parents import Parents
from cleancut_agent.backup.partial_recipes import PartialRecipes
from cleancut_agent.context import AgentContext
from tests.support.capturing import PATHS, capture, restored, shard_tar
from tests.support.groups import reading

TAR = shard_tar({"payload": random.Random(1).randbytes(500_000)})
Damage = Callable[[MemoryStore, str, CapturedShard], None]


def flip(store: MemoryStore, path: str, shard: CapturedShard) -> None:
    """A flipped byte can only be known from a reading."""
    data = bytearray(store.objects[path])
    data[100] ^= 1
    store.objects[path] = bytes(data)
    objects = asyncio.run(damaged_objects(store, PATHS, shard.recipe_digest))
    found = VerificationRecord(
        level=Level.ALL,
        epoch=Epoch(7),
        at="2026-01-02T00:00:00.000Z",
        problems=("a flipped byte",),
        damaged=(shard.recipe_digest,),
        objects=tuple(objects),
    )
    asyncio.run(put_check(store, PATHS, found))


def remove(store: MemoryStore, path: str, _shard: CapturedShard) -> None:
    del store.objects[path]


def truncate(store: MemoryStore, path: str, _shard: CapturedShard) -> None:
    store.objects[path] = store.objects[path][:-1]


def load(store: MemoryStore, folder: Path, task: ShardTask) -> Parents:
    unused: Any = None
    context = AgentContext(
        name=unused,
        keys=unused,
        paths=PATHS,
        etcd=unused,
        store=store,
        qdrant=unused,
        clock=unused,
        spill_dir=folder,
        loopback="",
        qdrant_storage=None,
    )
    parents = Parents(context)
    asyncio.run(parents.load([task]))
    return parents


def task_of(shard: CapturedShard) -> ShardTask:
    return ShardTask(
        collection="docs",
        shard_id=ShardId(0),
        peer_id=PeerId(1),
        recipe=shard.recipe_digest,
        parent=Parent(second=reading(8), uuid="u"),
    )


def test_a_whole_parent_is_taken_over(tmp_path: Path) -> None:
    store = MemoryStore()
    shard = capture(store, tmp_path / "spill", TAR)
    task = task_of(shard)
    parents = load(store, tmp_path, task)
    assert parents.can_take_over(task)
    assert parents.avoided == frozenset()


@pytest.mark.parametrize("damage", [flip, remove, truncate])
def test_what_is_damaged_is_stored_again(damage: Damage, tmp_path: Path) -> None:
    store = MemoryStore()
    shard = capture(store, tmp_path / "spill", TAR)
    (pack,) = shard.packs
    damage(store, PATHS.pack(pack), shard)
    task = task_of(shard)
    parents = load(store, tmp_path, task)
    assert not parents.can_take_over(task)
    assert pack in parents.avoided
    healed = capture(store, tmp_path / "spill", TAR, shard.recipe_digest, unknown=parents.avoided)
    assert healed.packs.isdisjoint({pack})
    assert restored(store, healed.recipe_digest) == TAR


@pytest.mark.parametrize("what", ["pages", "recipes"])
@pytest.mark.parametrize("data", [None, b"damaged"], ids=["missing", "damaged"])
def test_a_document_that_cannot_be_read_stops_no_backup(
    what: str, data: bytes | None, tmp_path: Path
) -> None:
    store = MemoryStore()
    shard = capture(store, tmp_path / "spill", TAR)
    (path,) = (one for one in store.objects if f"/{what}/" in one)
    if data is None:
        del store.objects[path]
    elif what == "recipes":
        store.objects[path] = data
    else:
        pytest.skip("a damaged page is met by the capture, or by a verification")
    task = task_of(shard)
    assert not load(store, tmp_path, task).can_take_over(task)


def test_a_full_backup_reuses_nothing(tmp_path: Path) -> None:
    """Not even what an earlier attempt has left."""
    store = MemoryStore()
    task = ShardTask(collection="docs", shard_id=ShardId(0), peer_id=PeerId(1), full=True)
    pages = (PageRef(Digest("0" * 64), 1),)
    left = PartialRecipe("docs", 0, ("000000000001/a",), (("payload", 1),), pages, ())
    PartialRecipes(tmp_path).put(left)
    assert load(store, tmp_path, task).stream_of(task).earlier is None
    usual = replace(task, full=False)
    assert load(store, tmp_path, usual).stream_of(usual).earlier is not None


def test_where_a_list_of_garbage_cannot_be_read_nothing_is_reused(tmp_path: Path) -> None:
    """What it marks for deletion is not known, so nothing that is stored may be named again."""
    store = MemoryStore()
    shard = capture(store, tmp_path / "spill", TAR)
    store.objects[PATHS.garbage_list("000000000030-ab")] = b"\xff{}"
    task = task_of(shard)
    parents = load(store, tmp_path, task)
    assert not parents.can_take_over(task)
    assert parents.recipe_of(task) is None
    assert parents.stream_of(task).earlier is None
