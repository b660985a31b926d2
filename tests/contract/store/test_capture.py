"""A whole backup and a changed one, on every store: the path that operators rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cleancut.core.format.recipe import Recipe
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.store import Store
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import CapturedShard, capture_shard
from cleancut.repository.shards.recipe_reader import load_recipe, missing_packs
from cleancut.repository.shards.tar_assembler import read_tar
from tests.support.capturing import PATHS, recorded, stream

SHARDS = ("shard0", "shard1")


async def back_up(
    store: Store, spill_dir: Path, state: str, parents: dict[str, str]
) -> dict[str, CapturedShard]:
    """Captures both shards at once, as an agent does; each backup is a session of its own."""
    shards: dict[str, CapturedShard] = {}
    with ThreadPoolExecutor(2) as pool:
        packs = PackWriter(
            store, PATHS, epoch=Epoch(3), session_id=state, pool=pool, spill_dir=spill_dir
        )

        async def one(name: str) -> None:
            parent: Recipe | None = None
            if name in parents:
                parent = await load_recipe(store, PATHS, parents[name])
            tar = recorded(f"{state}-{name}")
            shards[name] = await capture_shard(
                stream(tar), parent=parent, packs=packs, on_cut=lambda: None
            )

        async with packs, asyncio.TaskGroup() as group:
            for name in SHARDS:
                group.create_task(one(name))
    return shards


def test_two_backups_of_real_shards(store_opener: Callable[[], Store], tmp_path: Path) -> None:
    """Both come back byte by byte from a store opened anew, and the second one is small."""

    async def write() -> tuple[dict[str, CapturedShard], dict[str, CapturedShard]]:
        store = store_opener()
        first = await back_up(store, tmp_path / "spill", "t0", {})
        known = {name: shard.recipe_digest for name, shard in first.items()}
        second = await back_up(store, tmp_path / "spill", "t1", known)
        await store.close()
        return first, second

    async def check() -> None:
        store = store_opener()
        for state, shards in (("t0", first), ("t1", second)):
            digests = [shard.recipe_digest for shard in shards.values()]
            assert await missing_packs(store, PATHS, digests) == ()
            for name, shard in shards.items():
                chunks = [c async for c in read_tar(store, PATHS, shard.recipe_digest)]
                assert b"".join(chunks) == recorded(f"{state}-{name}")
        await store.close()

    first, second = asyncio.run(write())
    asyncio.run(check())
    stored = [sum(s.stored_bytes for s in shards.values()) for shards in (first, second)]
    assert stored[1] < stored[0] / 15
