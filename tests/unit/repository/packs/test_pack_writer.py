"""The pack writer: bounds hold while the store lags, and order protects what is named."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from cleancut.core.cluster.agent_settings import UploadSettings
from cleancut.core.format.page import PACK_BYTES, open_page
from cleancut.core.format.recipe import open_recipe
from cleancut.core.primitives.errors import CleancutError, Corrupt, Refused, Unavailable
from cleancut.repository.packs.pack_writer import PackWriter
from cleancut.repository.packs.uploads import UploadLimits, clear_spill
from cleancut.repository.shards.capture import CapturedShard, capture_shard
from cleancut.testing.memory_store import MemoryStore
from tests.support.capturing import PATHS, capture, mounted, restored, shard_tar, stream, writing

MIB = 1024 * 1024


class GatedStore(MemoryStore):
    """Holds puts back until the gate is opened; notes how many wait."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.waiting = 0
        self.most_waiting = 0

    async def put(self, path: str, data: bytes) -> None:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await self.gate.wait()
        self.waiting -= 1
        await super().put(path, data)


class FailingStore(MemoryStore):
    """Refuses packs after the first `good` ones."""

    def __init__(self, error: CleancutError, good: int) -> None:
        super().__init__()
        self._error = error
        self._good = good

    async def put(self, path: str, data: bytes) -> None:
        if "/packs/" in path:
            self._good -= 1
            if self._good < 0:
                raise self._error
        await super().put(path, data)


class SlowPacksStore(MemoryStore):
    """Takes its time for packs, and none for documents."""

    async def put(self, path: str, data: bytes) -> None:
        for _ in range(50 if "/packs/" in path else 0):
            await asyncio.sleep(0)
        await super().put(path, data)


class CheckingStore(MemoryStore):
    """Takes its time, the longer for what is named by others, and checks that what a document
    names is there when the document comes."""

    async def put(self, path: str, data: bytes) -> None:
        kind, name = path.split("/")[1], path.rpartition("/")[2]
        for _ in range({"packs": 60, "pages": 30}.get(kind, 0)):
            await asyncio.sleep(0)
        if kind == "pages":
            assert {PATHS.pack(pack) for pack in open_page(name, data).packs} <= set(self.objects)
        if kind == "recipes":
            recipe = open_recipe(name, data)
            named = {PATHS.pack(use.pack) for use in recipe.packs}
            named |= {PATHS.page(ref.digest) for ref in recipe.pages}
            assert named <= set(self.objects)
        await super().put(path, data)


def blocks(count: int, seed: int = 0) -> list[bytes]:
    return [random.Random(seed * 1000 + n).randbytes(MIB) for n in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    """Waits, 20 s at most, for what only shows by looking."""
    async with asyncio.timeout(20):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def test_packs_are_cut_at_8_mib_and_named_in_order(tmp_path: Path) -> None:
    """Places say where each block is: in the pack of that name, at that offset."""
    store, data = MemoryStore(), blocks(20)

    async def body(packs: PackWriter) -> list[tuple[str, int]]:
        places = await packs.add(data[:3]) + await packs.add(data[3:])
        await packs.flush()
        return places

    places = writing(store, tmp_path, body, session_id="ab")
    for (pack, offset), block in zip(places, data, strict=True):
        assert store.objects[f"prod/packs/{pack}"][offset : offset + len(block)] == block
    names = [f"prod/packs/000000000007/ab/{n:012d}" for n in range(3)]
    assert sorted(store.objects) == names
    assert len({store.objects[name][:64] for name in names}) == 3, "each pack has its own salt"
    assert all(len(store.objects[n]) <= PACK_BYTES for n in names)


def limited(memory_bytes: int, **settings: int) -> UploadLimits:
    return UploadLimits(UploadSettings(**{"spill_floor_bytes": 0, **settings}), memory_bytes)


def test_what_the_store_cannot_take_spills_and_then_waits(tmp_path: Path) -> None:
    """Memory fills, then the spill directory, then callers wait; all of it arrives in the end and
    the directory is empty again."""
    limits = limited(16 * MIB, spill_bytes=16 * MIB, uploads=2)
    data = blocks(63)

    def spilled() -> int:
        return len(list(tmp_path.iterdir()))

    async def body(packs: PackWriter) -> None:
        accepted = []

        async def fill() -> None:
            for block in data:
                await packs.add([block])
                accepted.append(1)

        async with asyncio.TaskGroup() as group:
            group.create_task(fill())
            await until(lambda: len(accepted) == 35)
            assert spilled() == 2
            assert store.waiting == 2
            store.gate.set()
        await packs.flush()

    store = GatedStore()
    writing(store, tmp_path, body, limits=limits)
    assert store.most_waiting == 2
    assert list(tmp_path.iterdir()) == []
    assert sorted(map(len, store.objects.values())) == [7 * MIB + 64] * 9


def test_the_spill_leaves_free_what_it_must(tmp_path: Path) -> None:
    """On a disk with less than the floor nothing is spilled, which here would fail: callers wait
    for the store."""
    (tmp_path / "file").write_bytes(b"")
    store = GatedStore()
    limits = limited(16 * MIB, spill_bytes=100 * MIB, spill_floor_bytes=1 << 60, uploads=2)

    async def body(packs: PackWriter) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(packs.add(blocks(63)))
            await until(lambda: store.waiting == 2)
            store.gate.set()
        await packs.flush()

    writing(store, tmp_path / "file", body, limits=limits)
    assert len(store.objects) == 9


def test_what_is_in_no_hurry_waits_for_the_store_instead_of_the_disk(tmp_path: Path) -> None:
    """The spill directory cannot be used: nothing would come of it."""
    (tmp_path / "file").write_bytes(b"")
    store = GatedStore()
    limits = limited(16 * MIB, spill_bytes=100 * MIB, uploads=2)

    async def body(packs: PackWriter) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(packs.add(blocks(63)))
            await until(lambda: store.waiting == 2)
            store.gate.set()
        await packs.flush()

    writing(store, tmp_path / "file", body, limits=limits, may_spill=lambda: False)
    assert len(store.objects) == 9


def test_settings_may_change_while_it_runs(tmp_path: Path) -> None:
    """One upload at a time becomes three; and a rate by which it would take minutes is lifted."""
    store = GatedStore()
    limits = limited(64 * MIB, uploads=1)

    async def body(packs: PackWriter) -> None:
        await packs.add(blocks(40))
        await until(lambda: store.waiting == 1)
        limits.settings = replace(limits.settings, uploads=3)
        await packs.add(blocks(8, 1))
        await until(lambda: store.waiting == 3)
        store.gate.set()
        await packs.flush()
        limits.settings = replace(limits.settings, upload_bytes_per_s=64 * 1024)
        await packs.add(blocks(24, 2))
        async with asyncio.TaskGroup() as group:
            flushing = group.create_task(packs.flush())
            await asyncio.sleep(0)
            assert not flushing.done()
            limits.settings = replace(limits.settings, upload_bytes_per_s=0)
        assert packs.stored_bytes == sum(map(len, store.objects.values()))

    writing(store, tmp_path, body, limits=limits)


def test_what_the_store_is_to_take_is_known_before_it_has(tmp_path: Path) -> None:
    """The open pack and what waits for the store belong to it; in the end all is stored."""
    store = GatedStore()

    async def body(packs: PackWriter) -> None:
        await packs.add(blocks(20))
        await packs.add_document("prod/pages/aa/page", b"page", [])
        await until(lambda: store.waiting > 0)
        before = packs.taken_bytes
        assert packs.stored_bytes == 0
        assert before > 20 * len(blocks(1)[0])
        store.gate.set()
        await packs.flush()
        assert packs.stored_bytes == packs.taken_bytes == before

    writing(store, tmp_path, body)


def test_streams_slow_down_evenly(tmp_path: Path) -> None:
    """When everything is full, no stream is starved: each gets its turn."""
    limits = limited(9 * MIB, spill_bytes=0, uploads=1)

    async def body(packs: PackWriter) -> list[int]:
        done = [0, 0, 0, 0]

        async def fill(n: int) -> None:
            for block in blocks(12, n):
                await asyncio.sleep(0)  # as reading the next chunk would, lets others run
                await packs.add([block])
                done[n] += 1
                assert max(done) - min(done) <= 2, done

        async with asyncio.TaskGroup() as group:
            for n in range(4):
                group.create_task(fill(n))
        return done

    assert writing(MemoryStore(), tmp_path, body, limits=limits) == [12, 12, 12, 12]


def test_a_full_spill_disk_slows_down_and_does_not_fail(tmp_path: Path) -> None:
    """ENOSPC on the spill directory is no error: readers wait for the store instead."""
    store = GatedStore()

    async def body(packs: PackWriter) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(packs.add(blocks(40)))
            await until(lambda: store.waiting == 1)
            store.gate.set()
        await packs.flush()

    limits = limited(9 * MIB, spill_bytes=100 * MIB, uploads=1)
    with mounted(tmp_path / "small", "size=12m"):
        writing(store, tmp_path / "small", body, limits=limits)
        assert list((tmp_path / "small").iterdir()) == []
    assert len(store.objects) == 6


def test_a_spill_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    """Any other error of the disk ends the backup, with the flag that helps."""
    (tmp_path / "file").write_bytes(b"")

    async def body(packs: PackWriter) -> None:
        await packs.add(blocks(40))

    limits = limited(9 * MIB, spill_bytes=100 * MIB, uploads=1)
    with pytest.raises(Refused, match="spill directory") as refused:
        writing(GatedStore(), tmp_path / "file", body, limits=limits)
    assert "--spill-dir" in refused.value.hint


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    """Only spilled files go; a directory that does not exist is no error."""
    (tmp_path / "upload-1234").write_bytes(b"left")
    (tmp_path / "other").write_bytes(b"not ours")
    assert clear_spill(tmp_path) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["other"]
    assert clear_spill(tmp_path / "none") == 0


def test_a_failed_upload_reaches_every_caller(tmp_path: Path) -> None:
    """The store's own error comes out of the next call, once, not as a group of errors."""
    for error in (Refused("no space left", "free some"), Unavailable("gone")):

        async def body(packs: PackWriter) -> None:
            await packs.add(blocks(30))
            await packs.flush()

        with pytest.raises(type(error), match=error.message):
            writing(FailingStore(error, good=1), tmp_path, body)


def test_an_error_of_the_block_stays_itself(tmp_path: Path) -> None:
    """Leaving with an error gives up what waits, cleans the spill directory, hides nothing."""

    async def body(packs: PackWriter) -> None:
        await packs.add(blocks(33))
        raise Corrupt("the stream ended early")

    with pytest.raises(Corrupt, match="ended early"):
        writing(GatedStore(), tmp_path, body, limits=limited(0, uploads=1))
    assert list(tmp_path.iterdir()) == []


def test_documents_follow_the_packs_they_name(tmp_path: Path) -> None:
    """At no moment does the store hold a page or recipe whose packs are not all there."""
    store = SlowPacksStore()

    async def body(packs: PackWriter) -> None:
        for n in range(6):
            places = await packs.add(blocks(3, n))
            await packs.add_document(f"prod/pages/{n}", b"page", {name for name, _ in places})
            await packs.add_document(f"prod/recipes/{n}", b"recipe", [f"prod/pages/{n}"])
        await packs.flush()

    writing(store, tmp_path, body, session_id="ab")
    for n in range(6):
        page, recipe = (store.puts.index(f"prod/{kind}/{n}") for kind in ("pages", "recipes"))
        needed = {f"prod/packs/000000000007/ab/{k // 7:012d}" for k in range(3 * n, 3 * n + 3)}
        assert needed <= set(store.puts[:page])
        assert page < recipe


def test_what_a_capture_names_exists_when_it_is_named(tmp_path: Path) -> None:
    """For the first capture and for one that builds on it, with pages of several kinds."""
    store, large = CheckingStore(), bytes(33 * MIB)
    first = shard_tar({"a": random.Random(1).randbytes(9 * MIB), "large": large})
    second = shard_tar({"a": random.Random(2).randbytes(MIB), "large": large, "b": b"new"})
    one = capture(store, tmp_path, first)
    two = capture(store, tmp_path, second, one.recipe_digest)
    assert restored(store, one.recipe_digest) == first
    assert restored(store, two.recipe_digest) == second


def test_shards_captured_together_share_packs(tmp_path: Path) -> None:
    """Twenty small shards end in one pack, not in twenty, and each comes back."""
    store = MemoryStore()
    tars = [shard_tar({"v": random.Random(n).randbytes(20_000)}) for n in range(20)]

    async def body(packs: PackWriter) -> list[CapturedShard]:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    capture_shard(stream(tar), parent=None, packs=packs, on_cut=lambda: None)
                )
                for tar in tars
            ]
        return [task.result() for task in tasks]

    shards = writing(store, tmp_path, body)
    assert len({pack for shard in shards for pack in shard.packs}) == 1
    assert [restored(store, shard.recipe_digest) for shard in shards] == tars


@pytest.mark.parametrize("gather", [True, False])
def test_streams_that_come_one_after_the_other_do_not_wait_for_an_open_one(
    tmp_path: Path, gather: bool
) -> None:
    """What one of few streams has stored is durable at its end, in a pack that is not full, so that
    the next can begin; where all are open at once, packs are filled by the others first."""

    async def body(packs: PackWriter) -> bool:
        with packs.stream(), packs.stream():
            [(pack, _)] = await packs.add([b"x" * MIB])
            await packs.add_document("prod/pages/aa/page", b"page", [pack])
            try:
                async with asyncio.timeout(0.2 if gather else 10):
                    await packs.wait_durable(["prod/pages/aa/page"])
            except TimeoutError:
                return False
            return packs.is_durable("prod/pages/aa/page")

    assert writing(MemoryStore(), tmp_path, body, gather=gather) is not gather


def test_a_stream_that_fails_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """One capture waits for its open pack, the other dies: the first is sealed and done."""

    async def body(packs: PackWriter) -> CapturedShard:
        async def broken() -> AsyncIterator[bytes]:
            yield shard_tar({"v": random.Random(1).randbytes(9000)})[:2000]
            await until(lambda: packs.waiting_streams == 1)

        async def fail() -> None:
            with pytest.raises(Corrupt):
                await capture_shard(broken(), parent=None, packs=packs, on_cut=lambda: None)

        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            whole = stream(shard_tar({"v": random.Random(2).randbytes(9000)}))
            return await capture_shard(whole, parent=None, packs=packs, on_cut=lambda: None)

    assert len(writing(MemoryStore(), tmp_path, body).packs) == 1


def test_many_streams_read_smaller_batches(tmp_path: Path) -> None:
    """Memory for what is being read stays bounded however many shards an agent has."""

    async def body(packs: PackWriter) -> tuple[int, int]:
        def nested(left: int) -> int:
            if not left:
                return packs.batch_bytes
            with packs.stream():
                return nested(left - 1)

        return nested(1), nested(200)

    alone, crowded = writing(MemoryStore(), tmp_path, body)
    assert alone == 2 * MIB
    assert crowded * 200 <= 40 * MIB
