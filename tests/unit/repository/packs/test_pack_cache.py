"""Packs that tars read side by side: whole and once where that pays, never more than the bound."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import ExitStack, aclosing
from pathlib import Path

import pytest

from cleancut.core.format.pack_uses import PackUse
from cleancut.core.format.page import BLOCK_BYTES, PACK_BYTES
from cleancut.core.primitives.errors import Corrupt, NotFound
from cleancut.repository.packs.pack_cache import KEPT_PACKS, READS, PackCache
from cleancut.repository.shards.tar_assembler import read_tar
from cleancut.testing.memory_store import MemoryStore
from tests.support.capturing import PATHS, capture, shard_tar

PACK = random.Random(3).randbytes(PACK_BYTES)
HALF = PACK_BYTES // 2
PART = 1000


class CountingStore(MemoryStore):
    """Notes what is read, `path` and size; a read goes on once the others have had their turn."""

    def __init__(self, packs: int = 0) -> None:
        super().__init__()
        self.objects = {PATHS.pack(name(n)): PACK for n in range(packs)}
        self.reads: list[tuple[str, int]] = []
        self.reading = asyncio.Event()

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        data = await super().get(path, offset, length)
        if "/packs/" in path:
            self.reads.append((path, len(data)))
            self.reading.set()
        await asyncio.sleep(0)
        return data


def name(number: int) -> str:
    return f"{1:012d}/s/{number:012d}"


def path(number: int) -> str:
    return PATHS.pack(name(number))


async def collect(chunks: AsyncGenerator[bytes, None], got: list[bytes]) -> None:
    async with aclosing(chunks) as open_chunks:
        async for chunk in open_chunks:
            got.append(chunk)


def run(check: Callable[[], Coroutine[None, None, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await check()

    asyncio.run(bounded())


def test_tars_that_share_a_pack_fetch_it_once() -> None:
    """Also while the first of them is still waiting for it."""
    store = CountingStore(1)

    async def check() -> None:
        cache = PackCache(store)
        uses = [PackUse(name(0), HALF // 2)]
        with cache.open(PATHS, uses) as one, cache.open(PATHS, uses) as other:
            async with asyncio.TaskGroup() as group:
                reads = [
                    group.create_task(tar.read(path(0), at, at + PART))
                    for tar in (one, other)
                    for at in (64, 5 * PART)
                ]
            assert [bytes(read.result()) for read in reads] == 2 * [
                PACK[64 : 64 + PART],
                PACK[5 * PART : 6 * PART],
            ]
        assert store.reads == [(path(0), PACK_BYTES)]

    run(check)


def test_a_pack_that_is_hardly_needed_is_read_in_parts() -> None:
    store = CountingStore(1)

    async def check() -> None:
        with PackCache(store).open(PATHS, [PackUse(name(0), HALF - 1)]) as tar:
            assert bytes(await tar.read(path(0), 70, 70 + PART)) == PACK[70 : 70 + PART]
        assert store.reads == [(path(0), PART)]

    run(check)


def test_nothing_is_kept_that_nobody_needs() -> None:
    """A pack goes with the last byte read, and with the tar that leaves early."""
    store = CountingStore(1)

    async def check() -> None:
        cache = PackCache(store)
        with cache.open(PATHS, [PackUse(name(0), PACK_BYTES)]) as tar:
            await tar.read(path(0), 0, HALF)
            await tar.read(path(0), HALF, PACK_BYTES)
            assert store.reads == [(path(0), PACK_BYTES)]
            await tar.read(path(0), 0, PART)  # more than it said: as if it were hardly needed
            assert store.reads[1:] == [(path(0), PART)]
        with cache.open(PATHS, [PackUse(name(0), PACK_BYTES)]) as tar:
            await tar.read(path(0), 0, PART)
        with cache.open(PATHS, [PackUse(name(0), PACK_BYTES)]) as tar:
            await tar.read(path(0), 0, PART)
        assert store.reads[2:] == [(path(0), PACK_BYTES)] * 2

    run(check)


def test_the_latest_used_packs_are_kept_up_to_the_bound() -> None:
    store = CountingStore(KEPT_PACKS + 1)

    async def check() -> None:
        uses = [PackUse(name(n), PACK_BYTES) for n in range(KEPT_PACKS + 1)]
        with PackCache(store).open(PATHS, uses) as tar:
            for number in [*range(KEPT_PACKS), 0, KEPT_PACKS]:  # 1 is now the oldest
                await tar.read(path(number), 0, PART)
            assert len(store.reads) == KEPT_PACKS + 1
            await tar.read(path(0), PART, 2 * PART)
            assert len(store.reads) == KEPT_PACKS + 1
            await tar.read(path(1), PART, 2 * PART)
            assert store.reads[-1] == (path(1), PACK_BYTES)

    run(check)


def test_a_failed_fetch_is_told_to_each_and_tried_again() -> None:
    store = CountingStore()

    async def check() -> None:
        with ExitStack() as stack:
            cache = PackCache(store)
            uses = [PackUse(name(0), PACK_BYTES)]
            tars = [stack.enter_context(cache.open(PATHS, uses)) for _ in range(2)]
            for tar in tars:
                with pytest.raises(NotFound):
                    await tar.read(path(0), 0, PART)
            store.objects[path(0)] = PACK
            assert bytes(await tars[0].read(path(0), 0, PART)) == PACK[:PART]

    run(check)


def test_a_cancelled_fetch_leaves_the_others_theirs() -> None:
    store = CountingStore(1)

    async def check() -> None:
        with PackCache(store).open(PATHS, [PackUse(name(0), PACK_BYTES)]) as tar:
            async with asyncio.TaskGroup() as group:
                first = group.create_task(tar.read(path(0), 0, PART))
                second = group.create_task(tar.read(path(0), PART, 2 * PART))
                await store.reading.wait()
                first.cancel()
            assert first.cancelled()
            assert bytes(second.result()) == PACK[PART : 2 * PART]

    run(check)


@pytest.mark.parametrize("damage", ["flipped", "short"])
def test_a_damaged_pack_is_found_also_when_it_is_fetched_whole(tmp_path: Path, damage: str) -> None:
    """Every block is checked, for each tar that it is in, and nothing wrong is given back."""
    store = CountingStore()
    tar = shard_tar({"v": random.Random(5).randbytes(3 * PACK_BYTES)})
    shard = capture(store, tmp_path, tar)
    at = sorted(p for p in store.objects if "/packs/" in p)[1]
    pack = store.objects[at]
    cut = len(pack) - 10
    flipped = pack[:cut] + bytes([pack[cut] ^ 1]) + pack[cut + 1 :]
    store.objects[at] = flipped if damage == "flipped" else pack[:cut]

    async def check() -> None:
        cache = PackCache(store)
        for _ in range(2):
            store.reads.clear()
            got: list[bytes] = []
            chunks = read_tar(store, PATHS, shard.recipe_digest, cache=cache)
            with pytest.raises(Corrupt, match=r"block \d+ of segments/"):
                await collect(chunks, got)
            assert tar.startswith(b"".join(got))
            assert (at, len(store.objects[at])) in store.reads

    run(check)


class MeetingStore(MemoryStore):
    """Reads of packs wait until READS of them are under way; counts them."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__()
        self.objects = objects
        self.met = asyncio.Event()
        self.under_way = self.most = 0

    async def get(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if "/packs/" not in path:
            return await super().get(path, offset, length)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        if self.under_way == READS:
            self.met.set()
        await self.met.wait()
        self.under_way -= 1
        return await super().get(path, offset, length)


def test_a_tar_of_many_packs_is_read_from_several_at_a_time(tmp_path: Path) -> None:
    """As after many backups with small changes, so that a store's latency is not paid for each."""
    blocks = [random.Random(n).randbytes(BLOCK_BYTES) for n in range(24)]
    store, recipe, tar = MemoryStore(), "", b""
    for turn in range(12):
        blocks[2 * turn] = random.Random(f"new {turn}").randbytes(BLOCK_BYTES)
        tar = shard_tar({"v": b"".join(blocks)})
        recipe = capture(store, tmp_path, tar, recipe).recipe_digest
    meeting = MeetingStore(store.objects)

    async def check() -> None:
        async with aclosing(read_tar(meeting, PATHS, recipe)) as chunks:
            assert b"".join([bytes(chunk) async for chunk in chunks]) == tar

    run(check)
    assert meeting.most == READS
