"""An attempt that was broken off: what it stored is not stored again, and nothing else changes."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleancut.core.format.page import BLOCK_BYTES
from cleancut.core.format.partial_recipe import PartialRecipe, decode_partial, encode_partial
from cleancut.core.primitives.errors import Corrupt, Unavailable
from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import CapturedShard, CaptureState, capture_shard
from cleancut.repository.shards.dedup import EarlierCapture, list_packs
from cleancut.repository.shards.recipe_reader import load_recipe
from cleancut.testing.memory_store import MemoryStore
from cleancut_agent.backup.partial_recipes import PartialRecipes
from tests.support.capturing import PATHS, capture, restored, shard_tar, stream, writing

MIB = 1024 * 1024


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


class Broken:
    """A capture that breaks off after `size` bytes of the tar; `settle` is awaited before it does,
    so that a test can say what has reached the store by then."""

    def __init__(self, store: MemoryStore, spill_dir: Path) -> None:
        self._store, self._spill_dir = store, spill_dir

    def run(
        self, tar: bytes, size: int, *, parent: str = "", earlier: EarlierCapture | None = None,
        flush: bool = True,
    ) -> PartialRecipe:  # fmt: skip
        left: list[tuple[str, CaptureState]] = []

        async def body(packs: PackWriter) -> None:
            async def chunks() -> AsyncIterator[bytes]:
                async for chunk in stream(tar[:size]):
                    yield chunk
                if flush:
                    await packs.flush()
                raise Unavailable("the peer has died")

            known = await load_recipe(self._store, PATHS, parent) if parent else None
            with pytest.raises(Unavailable):
                await capture_shard(
                    chunks(),
                    parent=known,
                    packs=packs,
                    on_cut=lambda: None,
                    earlier=earlier,
                    on_left=lambda found: left.append((packs.origin, found)),
                )

        writing(self._store, self._spill_dir, body)
        origin, found = left[-1]
        origins = (origin, *(earlier.partial.origins if earlier else ()))
        return PartialRecipe("c", 0, origins, found.members, found.pages, found.kept)


def again(
    store: MemoryStore, spill_dir: Path, tar: bytes, partial: PartialRecipe, *, parent: str = ""
) -> CapturedShard:
    """The next attempt, which knows of the `partial` one what has come through a file."""
    partial = decode_partial(encode_partial(partial))

    async def body(packs: PackWriter) -> CapturedShard:
        known = await load_recipe(store, PATHS, parent) if parent else None
        earlier = EarlierCapture(partial, await list_packs(store, PATHS, partial.origins))
        return await capture_shard(
            stream(tar), parent=known, packs=packs, on_cut=lambda: None, earlier=earlier
        )

    return writing(store, spill_dir, body)


def test_what_was_stored_before_the_break_is_not_stored_again(tmp_path: Path) -> None:
    """30 of 40 MiB had been read, and all but the last batch of 2 MiB was in packs."""
    store, tar = MemoryStore(), shard_tar({"big": noise(39 * MIB), "small": noise(MIB, 2)})
    partial = Broken(store, tmp_path).run(tar, 30 * MIB)
    second = again(store, tmp_path, tar, partial)
    assert restored(store, second.recipe_digest) == tar
    assert 10 * MIB <= second.new_bytes <= 15 * MIB
    third = capture(store, tmp_path, tar, second.recipe_digest)
    assert third.new_bytes == 0


def test_what_did_not_reach_the_store_is_stored(tmp_path: Path) -> None:
    """Packs that were given up with their session, or are gone since, count for nothing."""
    store, tar = MemoryStore(), shard_tar({"big": noise(40 * MIB)})
    partial = Broken(store, tmp_path).run(tar, 30 * MIB)
    packs = sorted(path for path in store.objects if "/packs/" in path)
    for path in packs[1:]:
        del store.objects[path]
    second = again(store, tmp_path, tar, partial)
    assert restored(store, second.recipe_digest) == tar
    assert 32 * MIB <= second.new_bytes <= 34 * MIB


def test_a_page_that_is_gone_costs_bytes_and_nothing_else(tmp_path: Path) -> None:
    """The same for pages that were stored in the attempt."""
    files = {"a": noise(33 * MIB), "b": noise(33 * MIB, 2)}
    store, tar = MemoryStore(), shard_tar(files)
    partial = Broken(store, tmp_path).run(tar, 60 * MIB)
    assert len(partial.pages) == 2
    kept = {digest for digest, _ in partial.kept}
    for ref in partial.pages:
        if ref.digest not in kept:
            del store.objects[PATHS.page(ref.digest)]
    second = again(store, tmp_path, tar, partial)
    assert restored(store, second.recipe_digest) == tar


def test_blocks_of_the_parent_are_still_found_where_the_attempt_did_not_come(
    tmp_path: Path,
) -> None:
    """A changed half was stored in the attempt, an unchanged one lies behind the break."""
    store, old = MemoryStore(), {"a": noise(8 * MIB), "b": noise(8 * MIB, 2)}
    parent = capture(store, tmp_path, shard_tar(old)).recipe_digest
    tar = shard_tar(old | {"a": noise(8 * MIB, 3)})
    partial = Broken(store, tmp_path).run(tar, 10 * MIB, parent=parent)
    second = again(store, tmp_path, tar, partial, parent=parent)
    assert restored(store, second.recipe_digest) == tar
    assert second.new_bytes <= 2 * MIB + BLOCK_BYTES


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    sizes=st.lists(st.integers(0, 6 * BLOCK_BYTES), min_size=1, max_size=4),
    breaks=st.lists(st.floats(0, 1), min_size=1, max_size=3),
    changed=st.sets(st.integers(0, 3)),
    flush=st.booleans(),
    with_parent=st.booleans(),
)  # fmt: skip
def test_any_chain_of_attempts_gives_the_tar_back(
    tmp_path: Path,
    sizes: list[int],
    breaks: list[float],
    changed: set[int],
    flush: bool,
    with_parent: bool,
) -> None:
    """Wherever attempts break off, and whatever changed in between: the last one's recipe is the
    last tar, byte by byte."""
    store = MemoryStore()
    files = {f"f{n}": noise(size, n) for n, size in enumerate(sizes)}
    parent = capture(store, tmp_path, shard_tar(files)).recipe_digest if with_parent else ""
    partial: PartialRecipe | None = None
    for turn, share in enumerate(breaks):
        files |= {f"f{n}": noise(sizes[n], 10 * turn + n) for n in changed if n < len(sizes)}
        tar = shard_tar(files)
        earlier = EarlierCapture(partial, _packs(store)) if partial else None
        broken = Broken(store, tmp_path)
        partial = broken.run(
            tar, int(share * len(tar)), parent=parent, earlier=earlier, flush=flush
        )
    assert partial is not None
    tar = shard_tar(files)
    last = again(store, tmp_path, tar, partial, parent=parent)
    assert restored(store, last.recipe_digest) == tar


def _packs(store: MemoryStore) -> frozenset[str]:
    base = PATHS.pack("")
    return frozenset(path.removeprefix(base) for path in store.objects if path.startswith(base))


def task_of(collection: str, shard: int) -> ShardTask:
    return ShardTask(collection=collection, shard_id=ShardId(shard), peer_id=PeerId(1))


def spoil(data: bytes) -> bytes:
    return data[: len(data) // 2]


def other_blocks(data: bytes) -> bytes:
    partial = decode_partial(data)
    broken = PartialRecipe(
        partial.collection, partial.shard_id, partial.origins, (("a", 9),), partial.pages, ()
    )
    return encode_partial(broken)


@pytest.mark.parametrize("damage", [spoil, other_blocks, lambda _data: b""])
def test_a_damaged_file_is_as_good_as_none(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """A disk that was full, a process killed while it wrote: the shard is captured whole."""
    store, partials = MemoryStore(), PartialRecipes(tmp_path)
    left = Broken(store, tmp_path).run(shard_tar({"v": noise(8 * MIB)}), 8 * MIB)
    partials.put(left)
    [file] = (tmp_path / "partial").iterdir()
    assert partials.read(task_of("c", 0)) == left
    assert partials.read(task_of("c", 1)) is None
    file.write_bytes(damage(file.read_bytes()))
    assert partials.read(task_of("c", 0)) is None


def test_what_was_left_is_remembered_until_it_is_old(tmp_path: Path) -> None:
    """An epoch of other shards takes nothing back; yet the directory does not grow with collections
    that came and went, nor with what a killed process was writing."""
    partials = PartialRecipes(tmp_path)
    left = Broken(MemoryStore(), tmp_path).run(shard_tar({"v": noise(8 * MIB)}), 8 * MIB)
    assert left.blocks()
    for name in ("one", "two"):
        partials.put(PartialRecipe(name, 0, left.origins, left.members, left.pages, left.kept))
    old, *_ = (tmp_path / "partial").iterdir()
    os.utime(old, (100.0, 100.0))
    (tmp_path / "partial" / "three.new").touch()
    nothing = Broken(MemoryStore(), tmp_path).run(shard_tar({}), 0)
    partials.put(nothing)
    partials.forget(101.0)
    found = [partials.read(task_of(name, 0)) is not None for name in ("one", "two")]
    assert sorted(found) == [False, True]
    assert len(list((tmp_path / "partial").iterdir())) == 1
    with pytest.raises(Corrupt):
        decode_partial(b"\x93")


def test_who_is_killed_has_left_its_full_pages(tmp_path: Path) -> None:
    """A full page of a large file is told of at once; only what ends well is whole."""
    told = list[CaptureState]()
    tar = shard_tar({"big": noise(40 * MIB), "small": noise(MIB, 2)})

    async def body(packs: PackWriter) -> None:
        await capture_shard(
            stream(tar), parent=None, packs=packs, on_cut=lambda: None, on_left=told.append
        )

    writing(MemoryStore(), tmp_path, body)
    first, *_, last = told
    assert sum(ref.blocks for ref in first.pages) == 40 * MIB // BLOCK_BYTES
    assert (first.whole, last.whole) == (False, True)
    assert len(first.origins) == 1
