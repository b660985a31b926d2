"""Members kept by reference: the tar is what a full capture gives, and what is kept is not read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from blake3 import blake3

from cleancut.core.format.keeping import KeepableMembers
from cleancut.core.format.pack_uses import is_use_of
from cleancut.core.format.page import BLOCK_BYTES, seal
from cleancut.core.format.partial_recipe import first_blocks
from cleancut.core.format.recipe import OWN_PAGE_BLOCKS, Recipe, named_by
from cleancut.core.primitives.errors import CleancutError, Corrupt, Invalid
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.shards.capture import CapturedShard, CaptureState, capture_shard
from cleancut.repository.shards.recipe_reader import load_page, load_recipe, read_structure
from cleancut.repository.shards.tar_scanner import KeptMember
from cleancut.testing.memory_store import MemoryStore
from tests.support.capturing import (
    PATHS,
    SEGMENT,
    capture,
    kept_stream,
    member,
    restored,
    shard_tar,
    writing,
)

LARGE = OWN_PAGE_BLOCKS * BLOCK_BYTES + 1000
NOTHING = frozenset[str]()


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes that take little in the store, each block with others."""
    return (noise(BLOCK_BYTES // 64 - 1, seed) * (size // 2000 + 1))[:size]


def recipe_of(store: MemoryStore, digest: str) -> Recipe:
    return asyncio.run(load_recipe(store, PATHS, digest))


def uses_are_right(store: MemoryStore, recipe: Recipe) -> bool:
    """Whether what the recipe says of each page is what the page says."""

    async def check() -> bool:
        pages = [(ref, await load_page(store, PATHS, ref)) for ref in recipe.pages]
        return all(
            ref.uses is not None and is_use_of(page, ref.uses, recipe.packs) for ref, page in pages
        )

    return asyncio.run(check())


def test_a_large_member_is_kept_without_reading_its_pages(tmp_path: Path) -> None:
    """Its pages are named again; nothing of it is new, and no page is read."""
    large = noise(LARGE)
    store = MemoryStore()
    first = capture(store, tmp_path, shard_tar({"large": large, "small": b"1"}), kept=())
    tar = shard_tar({"large": large, "small": noise(5000, 2)})
    page = PATHS.page(recipe_of(store, first.recipe_digest).pages[0].digest)
    unread = store.objects.pop(page)
    second = capture(store, tmp_path, tar, first.recipe_digest, kept={SEGMENT + "large"})
    store.objects[page] = unread
    before, after = (recipe_of(store, one.recipe_digest) for one in (first, second))
    assert restored(store, second.recipe_digest) == tar
    assert after.pages[0].digest == before.pages[0].digest
    assert second.new_bytes < 6000
    assert second.tar_sha256 == after.tar_sha256 == ""
    assert second.size_bytes == after.tar_bytes == len(tar)
    assert second.packs >= {use.pack for use in before.packs[:2]}


def test_the_recipe_is_that_of_a_full_capture(tmp_path: Path) -> None:
    """Members, pages' blocks and packs, in a shard of members of all sizes, whatever is kept."""
    rng = random.Random(21)
    sizes = [0, 1, 700, BLOCK_BYTES, 3 * BLOCK_BYTES + 5, LARGE, 2 * BLOCK_BYTES, LARGE, 9]
    files = {f"f{n}": pattern(size, n) for n, size in enumerate(sizes)}
    files["noise"] = noise(5 * BLOCK_BYTES)
    store = MemoryStore()
    parent = capture(store, tmp_path, shard_tar(files), kept=()).recipe_digest
    for turn in range(3):
        changed = set(rng.sample(sorted(files), 3))
        for name in changed:
            files[name] = pattern(len(files[name]) + rng.choice([0, 1, 600]), 100 + turn)
        order = rng.sample(sorted(files), len(files))
        tar = shard_tar({name: files[name] for name in order})
        kept = {SEGMENT + name for name in files if name not in changed and rng.random() < 0.8}
        full = recipe_of(store, capture(store, tmp_path, tar, parent).recipe_digest)
        parent = capture(store, tmp_path, tar, parent, kept=kept | {"wal"}).recipe_digest
        found = recipe_of(store, parent)
        assert found.members == full.members
        assert [ref.blocks for ref in found.pages] == [ref.blocks for ref in full.pages]
        assert found.tar_bytes == full.tar_bytes == len(tar)
        assert uses_are_right(store, found)
        assert uses_are_right(store, full)
        assert restored(store, parent) == tar


def test_the_newest_of_a_chain_needs_nothing_but_what_it_names(tmp_path: Path) -> None:
    """Five captures, each of which keeps most of the one before: the objects that the last one
    names, and no others, give its tar, and verification finds them whole."""
    files = {f"f{n}": noise(LARGE if n < 2 else 3 * BLOCK_BYTES, n) for n in range(5)}
    store = MemoryStore()
    digest = capture(store, tmp_path, shard_tar(files), kept=()).recipe_digest
    for turn in range(5):
        files[f"f{turn}"] = noise(len(files[f"f{turn}"]), 10 + turn)
        tar = shard_tar(files)
        kept = {SEGMENT + name for name in files if name != f"f{turn}"}
        digest = capture(store, tmp_path, tar, digest, kept=kept).recipe_digest
    recipe = recipe_of(store, digest)
    needed = {PATHS.recipe(digest)}
    needed |= {PATHS.page(ref.digest) for ref in recipe.pages}
    needed |= {PATHS.pack(use.pack) for use in recipe.packs}
    assert len(list(named_by(recipe))) == len(needed) - 1 < len(store.objects)
    for path in set(store.objects) - needed:
        del store.objects[path]
    assert asyncio.run(read_structure(store, PATHS, [digest])).lacks == ()
    assert restored(store, digest) == tar


def test_what_is_avoided_cannot_be_kept(tmp_path: Path) -> None:
    """By a page or by a pack that it uses; members on other pages can."""
    store = MemoryStore()
    tar = shard_tar({"a": noise(LARGE, 1), "b": noise(LARGE, 2), "empty": b"", "c": b"1"})
    recipe = recipe_of(store, capture(store, tmp_path, tar, kept=()).recipe_digest)
    names = [SEGMENT + name for name in ("a", "b", "empty", "c")]

    def kept(avoided: frozenset[str]) -> list[bool]:
        return [can_keep(recipe, name, avoided) for name in names]

    assert kept(NOTHING) == [True] * 4
    assert not can_keep(recipe, "other", NOTHING)
    assert not can_keep(recipe, "", NOTHING)
    assert kept(frozenset({recipe.pages[0].digest})) == [False, True, True, True]
    assert kept(frozenset({recipe.packs[0].pack})) == [False, True, True, True]
    assert kept(frozenset({recipe.packs[-1].pack}))[:3] == [True, False, True]
    assert kept(frozenset({recipe.pages[-1].digest})) == [True, True, True, False]
    with pytest.raises(Invalid, match="cannot be kept"):
        capture(
            store, tmp_path, tar, _stored(store, recipe), kept=names,
            unknown=frozenset({recipe.packs[0].pack}),
        )  # fmt: skip


def can_keep(recipe: Recipe, path: str, avoided: frozenset[str]) -> bool:
    return path in KeepableMembers(recipe, avoided)


def _stored(store: MemoryStore, recipe: Recipe) -> str:
    return next(
        path.rpartition("/")[2]
        for path in store.objects
        if "/recipes/" in path and recipe_of(store, path.rpartition("/")[2]) == recipe
    )


def test_a_recipe_of_before_is_restored_and_a_parent(tmp_path: Path) -> None:
    """Written without the uses of pages: none of its members can be kept, but what is streamed
    again takes its pages over, and of the recipe that comes of it they can."""
    store, tar = MemoryStore(), shard_tar({"a": noise(3000), "b": noise(300_000)})
    recipe = recipe_of(store, capture(store, tmp_path, tar).recipe_digest)
    raw = msgspec.msgpack.decode(msgspec.msgpack.encode(recipe))
    raw[2] = [ref[:2] for ref in raw[2]]
    canonical = msgspec.msgpack.encode(raw)
    old = blake3(canonical).hexdigest()
    store.objects[PATHS.recipe(old)] = zstandard.compress(canonical)
    assert restored(store, old) == tar
    assert asyncio.run(read_structure(store, PATHS, [old])).lacks == ()
    assert not can_keep(recipe_of(store, old), SEGMENT + "a", NOTHING)
    again = capture(store, tmp_path, tar, old, kept=())
    found = recipe_of(store, again.recipe_digest)
    assert again.new_bytes == 0
    assert [ref.digest for ref in found.pages] == [ref.digest for ref in recipe.pages]
    assert can_keep(found, SEGMENT + "a", NOTHING)


def test_a_small_member_whose_page_is_lost_fails_the_capture(tmp_path: Path) -> None:
    """With its name, so that the next attempt reads it; a hole would be found at a restore."""
    store, tar = MemoryStore(), shard_tar({"small": noise(5000), "other": b"1"})
    first = capture(store, tmp_path, tar)
    for ref in recipe_of(store, first.recipe_digest).pages:
        del store.objects[PATHS.page(ref.digest)]
    with pytest.raises(Corrupt, match="small cannot be kept") as raised:
        capture(store, tmp_path, tar, first.recipe_digest, kept={SEGMENT + "small"})
    assert raised.value.context == {"member": SEGMENT + "small"}


def test_a_kept_member_counts_for_completeness(tmp_path: Path) -> None:
    """One that is kept and streamed too would be refused when it is unpacked."""
    store, tar = MemoryStore(), shard_tar({"a": noise(5000)})
    first = capture(store, tmp_path, tar)
    everything = {SEGMENT + "a", SEGMENT + "version.info", "wal", "replica_state.json"}
    second = capture(store, tmp_path, tar, first.recipe_digest, kept=everything)
    assert restored(store, second.recipe_digest) == tar
    twice = member(SEGMENT + "a", b"1") + tar
    with pytest.raises(Corrupt, match="twice"):
        capture(store, tmp_path, twice, first.recipe_digest, kept={"wal"})
    with pytest.raises(Corrupt, match="twice"):
        _captured(store, tmp_path, [KeptMember(SEGMENT + "a"), tar], first.recipe_digest)


def _captured(
    store: MemoryStore, spill_dir: Path, chunks: list[bytes | KeptMember], parent: str = "", *,
    hashed: bool = False, left: list[CaptureState] | None = None,
) -> CapturedShard:  # fmt: skip
    async def stream() -> AsyncIterator[bytes | KeptMember]:
        for chunk in chunks:
            yield chunk

    async def body(packs: PackWriter) -> CapturedShard:
        return await capture_shard(
            stream(),
            parent=await load_recipe(store, PATHS, parent) if parent else None,
            packs=packs,
            on_cut=lambda: None,
            hashed=hashed,
            on_left=(left if left is not None else []).append,
        )

    return writing(store, spill_dir, body)


def test_a_kept_member_out_of_place_is_refused(tmp_path: Path) -> None:
    """Within a member, in a capture with a sha256, without a parent, or unknown to it."""
    store, tar = MemoryStore(), shard_tar({"a": noise(5000)})
    parent = capture(store, tmp_path, tar).recipe_digest
    kept = KeptMember(SEGMENT + "version.info")
    for cut in (1, 100, 512, 1000, 5512, 5700, len(tar)):
        with pytest.raises((Invalid, Corrupt)):
            _captured(store, tmp_path, [tar[:cut], kept, tar[cut:]], parent)
    for chunks, of, hashed in [
        ([kept, tar], parent, True),
        ([kept, tar], "", False),
        ([KeptMember("none"), tar], parent, False),
    ]:
        with pytest.raises(Invalid, match="cannot be kept"):
            _captured(store, tmp_path, chunks, of, hashed=hashed)


def test_the_cut_is_seen_in_what_is_streamed(tmp_path: Path) -> None:
    """A kept member proves nothing: it is of no moment."""
    store, cuts = MemoryStore(), list[int]()
    tar = shard_tar({"a": noise(5000), "b": noise(300)})
    first = capture(store, tmp_path, tar)

    async def chunks() -> AsyncIterator[bytes | KeptMember]:
        async for chunk in kept_stream(tar, {SEGMENT + "a"}):
            yield chunk
            cuts.append(0)

    async def body(packs: PackWriter) -> CapturedShard:
        parent = await load_recipe(store, PATHS, first.recipe_digest)
        return await capture_shard(
            chunks(), parent=parent, packs=packs, on_cut=lambda: cuts.append(1), hashed=False
        )

    writing(store, tmp_path, body)
    assert cuts[:3] == [0, 1, 0]
    assert sum(cuts) == 1


def test_what_a_broken_attempt_leaves_counts_kept_members(tmp_path: Path) -> None:
    """Its members and pages stay in step, so that later blocks are found where they are."""
    files = {"a": noise(3000), "large": noise(LARGE, 2), "b": noise(3 * BLOCK_BYTES, 3)}
    store = MemoryStore()
    first = capture(store, tmp_path, shard_tar(files))
    files["b"] = noise(3 * BLOCK_BYTES, 4)
    tar = shard_tar(files)
    left = list[CaptureState]()
    large = member(SEGMENT + "large", files["large"])
    start = len(member(SEGMENT + "a", files["a"]))
    kept: list[bytes | KeptMember] = [KeptMember(SEGMENT + "a"), KeptMember(SEGMENT + "large")]
    with pytest.raises(CleancutError):
        _captured(
            store, tmp_path, [*kept, tar[start + len(large) : -1024]], first.recipe_digest,
            left=left,
        )  # fmt: skip
    state = left[-1]
    blocks = sum(ref.blocks for ref in state.pages)
    assert sum(count for _, count in state.members) == blocks
    assert state.members == first_blocks(state.members, blocks)
    assert [path for path, _ in state.members[:2]] == [SEGMENT + "a", SEGMENT + "large"]


def test_uses_that_a_page_does_not_have_are_found(tmp_path: Path) -> None:
    """They add up, so only the pages themselves show it: those of two members are exchanged."""
    store, tar = MemoryStore(), shard_tar({"a": noise(LARGE, 1), "b": noise(LARGE, 2)})
    recipe = recipe_of(store, capture(store, tmp_path, tar).recipe_digest)
    first, second, *others = recipe.pages
    assert first.uses != second.uses
    exchanged = (
        msgspec.structs.replace(first, uses=second.uses),
        msgspec.structs.replace(second, uses=first.uses),
        *others,
    )
    digest, stored = seal(msgspec.structs.replace(recipe, pages=exchanged))
    store.objects[PATHS.recipe(digest)] = stored
    lacks = asyncio.run(read_structure(store, PATHS, [digest])).lacks
    assert [one.name for one in lacks] == [digest, digest]
    assert first.digest in lacks[0].why
