"""Captures: what went in comes out byte by byte, what did not change costs nothing."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleancut.core.format.page import BLOCK_BYTES, PACK_BYTES
from cleancut.core.primitives.errors import Corrupt
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import CapturedShard, capture_shard
from cleancut.repository.shards.recipe_reader import load_recipe, missing_packs
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut.testing.memory_store import MemoryStore
from tests.support.capturing import (
    END,
    PATHS,
    SEGMENT,
    capture,
    member,
    recorded,
    restored,
    shard_tar,
    tail_members,
    writing,
)

RECORDED = ("t0-shard0", "t0-shard1", "t1-shard0", "t1-shard1")


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def packs_in(store: MemoryStore) -> set[str]:
    return {path for path in store.objects if "/packs/" in path}


@pytest.mark.parametrize("version", ["1.18.3", "1.19.0"])
@pytest.mark.parametrize("name", RECORDED)
def test_a_real_stream_comes_back_as_it_was(name: str, version: str, tmp_path: Path) -> None:
    """Byte by byte, with the sha256 and size that a restore hands to Qdrant."""
    tar, store = recorded(name, version), MemoryStore()
    shard = capture(store, tmp_path, tar, sizes=itertools.repeat(8192))
    assert restored(store, shard.recipe_digest) == tar
    assert (shard.size_bytes, shard.tar_sha256) == (len(tar), hashlib.sha256(tar).hexdigest())
    assert shard.stored_bytes == sum(map(len, store.objects.values())) - 64
    assert set(store.objects) >= {PATHS.pack(pack) for pack in shard.packs}


@pytest.mark.parametrize("shard_name", ["shard0", "shard1"])
def test_a_real_change_costs_little(shard_name: str, tmp_path: Path) -> None:
    """33 of 3000 points were changed: the second backup brings a few per cent of the first."""
    store = MemoryStore()
    first = capture(store, tmp_path, recorded(f"t0-{shard_name}"))
    tar = recorded(f"t1-{shard_name}")
    second = capture(store, tmp_path, tar, first.recipe_digest)
    assert restored(store, second.recipe_digest) == tar
    assert second.stored_bytes < first.stored_bytes / 15
    assert second.new_bytes < first.new_bytes / 5
    assert restored(store, first.recipe_digest) == recorded(f"t0-{shard_name}")


def test_an_unchanged_shard_makes_no_pack(tmp_path: Path) -> None:
    """Nothing but a recipe is written, though another session captures it."""
    tar, store = shard_tar({"vectors": noise(1_000_000), "zeros": bytes(300_000)}), MemoryStore()
    first = capture(store, tmp_path, tar)
    before = set(store.objects)
    second = capture(store, tmp_path, tar, first.recipe_digest)
    assert [p.split("/")[1] for p in set(store.objects) - before] == ["recipes"]
    assert second.packs == first.packs
    assert second.new_bytes == 0
    assert restored(store, second.recipe_digest) == tar


def test_the_log_that_differs_each_time_stays_small(tmp_path: Path) -> None:
    """Qdrant's wal member has random bytes: they are a literal in a page, not a pack."""
    store = MemoryStore()

    def tar(seed: int) -> bytes:
        wal = member("wal/closed-9", noise(12, seed) + bytes(4084), map_units=1)
        parts = [member(SEGMENT + "v", noise(500_000)), member(SEGMENT + "version.info", b"1"), wal]
        return b"".join([*parts, *tail_members()[2:], END])

    first = capture(store, tmp_path, tar(1))
    second = capture(store, tmp_path, tar(2), first.recipe_digest)
    assert second.packs == first.packs
    assert second.stored_bytes < 2000


def test_noise_is_stored_as_it_is_and_what_compresses_is_not(tmp_path: Path) -> None:
    """Whether it begins with noise or not, or is smaller than what is probed."""
    store, text = MemoryStore(), b'{"text": "document number"}, ' * 8000
    tars = [shard_tar({"vectors": data}) for data in (noise(500_000), text, noise(9000) + text)]
    stored = []
    for tar in tars:
        shard = capture(store, tmp_path, tar)
        assert restored(store, shard.recipe_digest) == tar
        stored.append(shard.stored_bytes)
    assert stored[0] == pytest.approx(500_000, rel=0.01)
    assert stored[1] < len(text) / 20
    assert stored[2] < 9000 + len(text) / 20


def test_one_changed_block_is_one_new_block(tmp_path: Path) -> None:
    """Members before and after move, grow or vanish: blocks are found by member and index."""
    store, data = MemoryStore(), noise(20 * BLOCK_BYTES)
    first = capture(
        store, tmp_path, shard_tar({"gone": noise(5000), "big": data, "c": noise(9000)})
    )
    changed = data[: 7 * BLOCK_BYTES] + b"!" + data[7 * BLOCK_BYTES + 1 :]
    tar = shard_tar({"c": noise(9000), "new": b"n", "big": changed})
    second = capture(store, tmp_path, tar, first.recipe_digest)
    assert restored(store, second.recipe_digest) == tar
    assert BLOCK_BYTES < second.new_bytes < BLOCK_BYTES + 100
    assert second.packs > first.packs


def test_pages_of_large_members_survive_changes_nearby(tmp_path: Path) -> None:
    """A member of 32 MiB starts and ends its pages, so only the small page is written again."""
    large = bytes(40 * 1024 * 1024)
    store = MemoryStore()
    first = capture(store, tmp_path, shard_tar({"a": noise(5000), "large": large}))
    tar = shard_tar({"a": noise(5000), "b": noise(5000, 2), "large": large})
    second = capture(store, tmp_path, tar, first.recipe_digest)

    async def pages(shard: CapturedShard) -> set[str]:
        recipe = await load_recipe(store, PATHS, shard.recipe_digest)
        return {ref.digest for ref in recipe.pages}

    known, new = asyncio.run(pages(first)), asyncio.run(pages(second))
    assert len(new) == 3
    assert len(new & known) == 2
    assert restored(store, second.recipe_digest) == tar


def test_marked_packs_and_pages_are_stored_again(tmp_path: Path) -> None:
    """What a gc run may delete is not built upon, though the parent names it."""
    tar, store = shard_tar({"v": noise(300_000), "small": b"x"}), MemoryStore()
    first = capture(store, tmp_path, tar)
    pages = asyncio.run(load_recipe(store, PATHS, first.recipe_digest)).pages
    garbage = first.packs | {ref.digest for ref in pages}
    second = capture(store, tmp_path, tar, first.recipe_digest, unknown=garbage)
    assert not second.packs & first.packs
    for path in [PATHS.pack(p) for p in first.packs] + [PATHS.page(r.digest) for r in pages]:
        del store.objects[path]
    assert restored(store, second.recipe_digest) == tar


def test_a_marked_page_of_literals_is_written_anew(tmp_path: Path) -> None:
    """A page without packs would come out the same; a gc run that wakes late must not hit it."""
    tar, store = shard_tar({"small": b"x"}), MemoryStore()

    async def pages(shard: CapturedShard) -> set[str]:
        recipe = await load_recipe(store, PATHS, shard.recipe_digest)
        return {ref.digest for ref in recipe.pages}

    first = capture(store, tmp_path, tar)
    garbage = frozenset(asyncio.run(pages(first)))
    known = capture(store, tmp_path, tar, first.recipe_digest)
    anew = capture(store, tmp_path, tar, first.recipe_digest, unknown=garbage)
    assert asyncio.run(pages(known)) == garbage
    assert not asyncio.run(pages(anew)) & garbage


def test_a_parent_that_is_damaged_costs_bytes_only(tmp_path: Path) -> None:
    """The next backup of a shard works though the last one's pages are gone, and tells it."""
    tar, store = shard_tar({"v": noise(300_000)}), MemoryStore()
    first = capture(store, tmp_path, tar)
    for path in [p for p in store.objects if "/pages/" in p]:
        store.objects[path] = b"damaged"
    second = capture(store, tmp_path, tar, first.recipe_digest)
    assert second.lost_parent_pages == 1
    assert restored(store, second.recipe_digest) == tar


files = st.dictionaries(
    st.text("abcdé", min_size=1, max_size=120),
    st.one_of(
        st.integers(0, 3000).map(lambda n: noise(n, n)),
        st.sampled_from([0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5000]).map(bytes),
        st.integers(1, 3).map(lambda n: noise(n * BLOCK_BYTES - 7, n)),
    ),
    max_size=5,
)


@settings(max_examples=40)
@given(
    before=files,
    after=files,
    sparse=st.integers(0, 3),
    padding=st.sampled_from([b"", b"\7" * 511]),
    trailing=st.sampled_from([b"", bytes(7000), b"trailing"]),
    sizes=st.lists(st.integers(1, 300_000), min_size=1, max_size=5),
)
def test_any_tar_comes_back(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, bytes], after: dict[str, bytes],
    sparse: int, padding: bytes, trailing: bytes, sizes: list[int],
) -> None:  # fmt: skip
    """Long names, sparse maps, odd sizes, dirty padding, trailing bytes; with any parent, in any
    chunks."""
    store, spill = MemoryStore(), tmp_path_factory.getbasetemp() / "spill"
    parent = capture(store, spill, shard_tar(before))
    parts = [
        member(SEGMENT + name, data, map_units=sparse, padding=padding)
        for name, data in (before | after).items()
    ]
    end = [member(SEGMENT + "version.info", b"1"), *tail_members(), END, trailing]
    tar = b"".join([*parts, *end])
    shard = capture(
        store, spill, tar, parent.recipe_digest, sizes=itertools.cycle([*sizes, 70_000])
    )
    assert restored(store, shard.recipe_digest) == tar
    assert asyncio.run(missing_packs(store, PATHS, [shard.recipe_digest])) == ()


def test_a_stream_that_ends_early_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    """Qdrant ends a broken stream as a clean one: no prefix of a tar may become a recipe."""
    tar, store = recorded("t0-shard0"), MemoryStore()
    ends = {0, 1, 511, 512, len(tar) - 1, len(tar) - 512, len(tar) - 513, len(tar) - 1024}
    ends |= {random.Random(3).randrange(len(tar)) for _ in range(40)}
    for end in sorted(ends):
        with pytest.raises(Corrupt, match="ended early"):
            capture(store, tmp_path, tar[:end])
    assert not [path for path in store.objects if "/recipes/" in path]


def test_the_cut_is_told_once_and_at_the_first_segment(tmp_path: Path) -> None:
    """Not by a manifest written before the shard is frozen, and before anything is read on."""
    first = member("segments_manifest.json", b"{}")
    tar, told, read = first + shard_tar({"v": noise(300_000)}), [], []

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(tar), 512):
            read.append(at)
            yield tar[at : at + 512]

    async def body(packs: PackWriter) -> None:
        await capture_shard(
            chunks(), parent=None, packs=packs, on_cut=lambda: told.append(read[-1])
        )

    writing(MemoryStore(), tmp_path, body)
    assert told == [len(first)]


def test_a_shard_without_segments_is_cut_by_what_follows(tmp_path: Path) -> None:
    told: list[int] = []
    tar = b"".join([*tail_members(), END])
    capture(MemoryStore(), tmp_path, tar, on_cut=lambda: told.append(1))
    assert told == [1]


def damaged(tmp_path: Path) -> tuple[MemoryStore, CapturedShard, str]:
    store = MemoryStore()
    shard = capture(store, tmp_path, shard_tar({"v": noise(600_000)}))
    return store, shard, PATHS.pack(next(iter(shard.packs)))


def test_a_damaged_block_is_never_given_back(tmp_path: Path) -> None:
    """Wherever a byte of it flips; pack, member and block are named."""
    store, shard, pack = damaged(tmp_path)
    whole = store.objects[pack]
    for at in random.Random(5).sample(range(64, len(whole)), 10):
        store.objects[pack] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
        with pytest.raises(Corrupt, match=rf"block {(at - 64) // BLOCK_BYTES} of .*v in pack 0"):
            restored(store, shard.recipe_digest)
    assert asyncio.run(missing_packs(store, PATHS, [shard.recipe_digest])) == ()


def test_a_missing_or_short_pack_is_found_before_and_while_reading(tmp_path: Path) -> None:
    store, shard, pack = damaged(tmp_path)
    whole = store.objects[pack]
    for data in (whole[:-1], None):
        if data is None:
            del store.objects[pack]
        else:
            store.objects[pack] = data
        with pytest.raises(Corrupt, match=r"pack 0.* block \d of"):
            restored(store, shard.recipe_digest)
        lacks = asyncio.run(missing_packs(store, PATHS, [shard.recipe_digest]))
        assert [lack.path for lack in lacks] == [pack]
        assert "block 4 of " in lacks[0].needed_by


def test_missing_pages_and_recipes_are_found(tmp_path: Path) -> None:
    store, shard, _ = damaged(tmp_path)
    page = next(path for path in store.objects if "/pages/" in path)
    del store.objects[page]
    lacks = asyncio.run(missing_packs(store, PATHS, [shard.recipe_digest, "0" * 64]))
    assert [lack.path for lack in lacks] == [page, PATHS.recipe("0" * 64)]
    with pytest.raises(Corrupt, match=r"page .* is missing"):
        restored(store, shard.recipe_digest)
    with pytest.raises(Corrupt, match=r"recipe 0.* is missing"):
        restored(store, "0" * 64)


def test_leaving_a_read_early_leaves_nothing_running(tmp_path: Path) -> None:
    """Closing the iterator ends what was being fetched ahead, without an error."""
    store = MemoryStore()
    tar = shard_tar({"v": noise(5 * PACK_BYTES)})
    shard = capture(store, tmp_path, tar)

    async def peek() -> bytes:
        async with aclosing(read_tar(store, PATHS, shard.recipe_digest)) as chunks:
            async for chunk in chunks:
                first = chunk
                break
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return first

    assert tar.startswith(asyncio.run(peek()))
