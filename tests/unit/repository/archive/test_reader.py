"""The archive in a store: what is written is found, and what does not hang together is a hole."""

from __future__ import annotations

import asyncio
import random

import pytest

from cleancut.core.archive.chunk import compress_body
from cleancut.core.archive.records import (
    ChainEnd,
    ChunkPart,
    Look,
    Mark,
    MarkEnd,
    MarkRound,
)
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.errors import Corrupt, Unavailable
from cleancut.core.primitives.ids import ClusterName, PeerId, ShardId
from cleancut.core.wal.tail import WalEntry
from cleancut.ports.store import Store
from cleancut.repository.archive.bases import BaseReader
from cleancut.repository.archive.garbage import ArchiveCollector, ArchiveRules
from cleancut.repository.archive.reader import ArchiveIndex, read_chains, read_ends, read_marks
from cleancut.repository.archive.writer import ChunkStream, put_chain, put_end, put_mark
from cleancut.runtime.clock import SystemClock
from cleancut.store.encrypted import EncryptedStore
from cleancut.testing.memory_store import MemoryStore
from tests.support.archived import chain_of

PATHS = Paths(ClusterName("prod"))


def data_of(chain: str, index: int) -> bytes:
    return f"{chain}:{index}:".encode() + b"x" * (index % 7)


def part(chain: str, first: int, last: int) -> ChunkPart:
    indexes = range(first, last + 1)
    return ChunkPart(
        chain=chain,
        collection="docs",
        shard=ShardId(0),
        first=first,
        last=last,
        lengths=tuple(len(data_of(chain, n)) for n in indexes),
        looks=(Look(at_ms=first * 10, last=last),),
    )


async def add(stream: ChunkStream, at_ms: int, *ranges: tuple[str, int, int]) -> None:
    raw = b"".join(data_of(c, n) for c, first, last in ranges for n in range(first, last + 1))
    stream.make(compress_body(raw), [part(*one) for one in ranges], at_ms)
    await stream.put()


async def index_of(store: Store, *chains: str, until_ms: int = 10**12) -> ArchiveIndex:
    return await ArchiveIndex.load(store, PATHS, chains=chains, since_ms=0, until_ms=until_ms)


async def read(index: ArchiveIndex, chain: str, first: int, last: int) -> list[WalEntry]:
    return [entry async for entry in index.entries(chain, first, last)]


def expected(chain: str, first: int, last: int) -> list[WalEntry]:
    return [WalEntry(n, data_of(chain, n)) for n in range(first, last + 1)]


@pytest.mark.parametrize("encrypted", [False, True])
def test_entries_of_many_chains_come_back_from_shared_chunks(encrypted: bool) -> None:
    async def scenario() -> None:
        plain = MemoryStore()

        async def keys(_: ClusterName) -> dict[int, bytes]:
            return {1: b"k" * 32}

        store: Store = EncryptedStore(plain, keys, SystemClock()) if encrypted else plain
        stream = ChunkStream(store, PATHS, "s1")
        await add(stream, 10, ("a", 5, 9), ("b", 0, 3))
        await add(stream, 20, ("a", 10, 12))
        await add(stream, 30, ("b", 4, 200), ("a", 13, 13))
        index = await index_of(store, "a", "b")
        assert index.coverage("a") == (5, 13)
        assert index.coverage("b") == (0, 200)
        assert not index.holes("a")
        assert not index.damaged
        assert await read(index, "a", 6, 13) == expected("a", 6, 13)
        assert await read(index, "b", 0, 200) == expected("b", 0, 200)
        lengths = [len(entry.data) for entry in expected("b", 2, 150)]
        assert index.lengths("b", 2, 150) == lengths
        assert index.size_bytes("b", 2, 150) == sum(lengths)
        assert [look.last for look in index.looks("a")] == [9, 12, 13]
        assert all((b"b:0:" in data) != encrypted for data in list(plain.objects.values())[:1])
        assert (await index_of(store, "a", until_ms=20)).coverage("a") == (5, 12)
        assert (await index_of(store, "c")).coverage("c") == (0, -1)

    asyncio.run(scenario())


def test_a_lost_chunk_is_a_hole_and_nothing_across_it_is_given_out() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        stream = ChunkStream(store, PATHS, "s1")
        for number in range(4):
            await add(stream, number, ("a", number * 10, number * 10 + 9))
        del store.objects[PATHS.archive_chunk("s1", 1, 1)]
        index = await index_of(store, "a")
        assert index.coverage("a") == (0, 9)
        assert index.ranges("a") == [(0, 9), (20, 39)]
        assert index.holes("a") == [(10, 19)]
        assert index.covers("a", 25, 39)
        assert not index.covers("a", 5, 25)
        with pytest.raises(Corrupt, match=r"10\.\.25"):
            await read(index, "a", 5, 25)

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(12))
def test_any_flipped_byte_is_found(seed: int) -> None:
    """In the head it makes a hole, also in its format; in the body the reading fails. Nothing wrong
    is given out."""

    async def scenario() -> None:
        rng, store = random.Random(seed), MemoryStore()
        stream = ChunkStream(store, PATHS, "s1")
        for number in range(3):
            await add(stream, number, ("a", number * 10, number * 10 + 9))
        path = PATHS.archive_chunk("s1", 1, 1)
        data = bytearray(store.objects[path])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        store.objects[path] = bytes(data)
        index = await index_of(store, "a")
        try:
            found = await read(index, "a", 0, 29)
        except Corrupt:
            return
        assert found == expected("a", 0, 29)

    asyncio.run(scenario())


def test_a_chunk_of_another_format_is_a_hole() -> None:
    """It keeps no moment from being found that does not need it."""

    async def scenario() -> None:
        store = MemoryStore()
        stream = ChunkStream(store, PATHS, "s1")
        for number in range(3):
            await add(stream, number, ("a", number * 10, number * 10 + 9))
        path = PATHS.archive_chunk("s1", 1, 1)
        data = bytearray(store.objects[path])
        data[8] ^= 2
        store.objects[path] = bytes(data)
        index = await index_of(store, "a")
        assert index.holes("a") == [(10, 19)]
        assert "has format 3" in index.damaged[path]

    asyncio.run(scenario())


def test_a_chunk_in_the_place_of_another_is_found() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        stream, other = ChunkStream(store, PATHS, "s1"), ChunkStream(store, PATHS, "s1")
        for number in range(3):
            await add(stream, number, ("a", number * 10, number * 10 + 9))
        first, second = (PATHS.archive_chunk("s1", n, n) for n in (0, 1))
        kept = dict(store.objects)
        store.objects[second] = store.objects[first]
        index = await index_of(store, "a")
        assert index.holes("a") == [(10, 19)]
        assert "holds chunk 0" in index.damaged[second]

        store.objects.clear()
        await add(other, 0, ("a", 0, 8))
        store.objects |= {path: data for path, data in kept.items() if path != first}
        index = await index_of(store, "a")
        assert index.ranges("a") == [(0, 8), (20, 29)]
        assert "does not follow" in index.damaged[second]

    asyncio.run(scenario())


def test_a_restarted_agent_may_store_entries_twice() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        one, two = ChunkStream(store, PATHS, "s1"), ChunkStream(store, PATHS, "s2")
        await add(one, 1, ("a", 0, 9))
        await add(one, 2, ("a", 10, 19))
        await add(two, 3, ("a", 10, 14))
        await add(two, 4, ("a", 15, 30))
        index = await index_of(store, "a")
        assert index.ranges("a") == [(0, 30)]
        assert await read(index, "a", 3, 30) == expected("a", 3, 30)

    asyncio.run(scenario())


def test_a_put_whose_answer_was_lost_is_repeated() -> None:
    class Deaf(MemoryStore):
        async def put(self, path: str, data: bytes) -> None:
            await super().put(path, data)
            if len(self.puts) == 1:
                raise Unavailable("no answer")

    async def scenario() -> None:
        store = Deaf()
        stream = ChunkStream(store, PATHS, "s1")
        with pytest.raises(Unavailable):
            await add(stream, 1, ("a", 0, 9))
        assert stream.pending
        await stream.put()
        await add(stream, 2, ("a", 10, 11))
        assert (await index_of(store, "a")).ranges("a") == [(0, 11)]

    asyncio.run(scenario())


def test_a_head_larger_than_the_first_read_is_read_whole() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        stream = ChunkStream(store, PATHS, "s1")
        ranges = [(f"{n:024x}-{random.Random(n).getrandbits(200):x}", 0, 3) for n in range(2500)]
        await add(stream, 1, *ranges)
        index = await index_of(store, *(one for one, _, _ in ranges))
        last = ranges[-1][0]
        assert await read(index, last, 0, 3) == expected(last, 0, 3)

    asyncio.run(scenario())


def test_chains_ends_and_marks_are_found() -> None:
    async def scenario() -> None:
        store = MemoryStore()
        chain = chain_of("c1", first=5, created_at_ms=3)
        end = ChainEnd(chain="c1", last=9, at_ms=7, reason="replaced")
        ends = (MarkEnd(collection="docs", shard=ShardId(0), peer=PeerId(1), chain="c1", last=8),)
        rounds = [MarkRound(number=n, ends=ends) for n in (1, 2)]
        marks = [
            Mark(at_ms=at, before=rounds[0], after=rounds[1], name=name)
            for at, name in ((100, ""), (200, "before deploy"), (300, ""))
        ]
        await put_chain(store, PATHS, chain)
        await put_end(store, PATHS, end)
        for number, mark in enumerate(marks):
            await put_mark(store, PATHS, mark, f"{number}")
        assert await read_chains(store, PATHS) == {"c1": chain}
        assert await read_ends(store, PATHS) == {"c1": end}
        assert await read_marks(store, PATHS, 150, 300) == marks[1:]

    asyncio.run(scenario())


@pytest.mark.parametrize("dry_run", [True, False])
def test_only_what_nothing_needs_is_deleted(dry_run: bool) -> None:
    """Of two streams' chunks those that no base needs; a chain that ended long ago with its end."""

    async def scenario() -> None:
        store, hour = MemoryStore(), 3_600_000
        stream = ChunkStream(store, PATHS, "s1")
        await add(stream, 1 * hour, ("a", 0, 9), ("b", 0, 9))
        await add(stream, 2 * hour, ("a", 10, 19))
        await add(stream, 50 * hour, ("a", 20, 29))
        await add(stream, 99 * hour, ("c", 0, 3))
        await put_end(store, PATHS, ChainEnd(chain="b", last=9, at_ms=hour, reason="replaced"))
        chunks = [p for p in store.objects if "/chunks/" in p]
        collector = ArchiveCollector(store, PATHS, BaseReader(store, PATHS))
        rules = ArchiveRules(
            now_ms=100 * hour, keep_ms=60 * hour, grace_ms=5 * hour, held=(), following={"c", "a"}
        )
        before = dict(store.objects)
        found = await collector.collect(rules, dry_run=dry_run, check=lambda: None)
        assert found.objects == 2
        assert found.size_bytes == sum(len(before[path]) for path in chunks[:2])
        gone = set(before) - set(store.objects)
        assert gone == (set() if dry_run else set(chunks[:2]))
        assert (await collector.collect(rules, dry_run=True, check=lambda: None)).objects == (
            2 if dry_run else 0
        )

    asyncio.run(scenario())
