"""Logs of an epoch's shards: what is kept of them, and that no file of Qdrant's stays open."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import pytest

from cleancut.core.backup.participant import StandstillEnds
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import AgentName, ClusterName, PeerId, ShardId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import ShardTask, Standstill
from cleancut.core.wal.framing import HEADER_BYTES, parse_entries, seed_of
from cleancut.core.wal.gate import WalFacts
from cleancut.runtime.clock import SystemClock
from cleancut.testing.memory_store import MemoryStore
from cleancut.testing.memory_wal import MemoryDisk, MemoryLog, MemoryWalDir
from cleancut_agent.backup.shard_logs import ShardLogs
from cleancut_agent.context import AgentContext
from tests.support.groups import reading

TASK = ShardTask(collection="c", shard_id=ShardId(0), peer_id=PeerId(1), index=0)


@dataclass
class OneLog:
    """A `WalStorage` of one shard, and its writer."""

    disk: MemoryDisk = field(default_factory=MemoryDisk)

    def __post_init__(self) -> None:
        self.log = MemoryLog(self.disk, random.Random(1))

    def open(self, collection: str, shard_id: int) -> MemoryWalDir:
        return self.disk.open()

    def facts(self) -> WalFacts:
        return WalFacts()

    def write(self, *data: bytes) -> None:
        for one in data:
            for _ in self.log.append(one):
                pass


@asynccontextmanager
async def logs_of(
    storage: OneLog | None, directory: Path, kept_bytes: int = 1 << 20
) -> AsyncIterator[ShardLogs]:
    context = AgentContext(
        name=AgentName("a"),
        keys=Keys(ClusterName("c")),
        paths=Paths(ClusterName("c")),
        etcd=_unused(),
        store=MemoryStore(),
        qdrant=_unused(),
        clock=SystemClock(),
        spill_dir=directory,
        loopback="",
        wal=storage,
    )
    logs = ShardLogs(context, [TASK], kept_bytes)
    assert await logs.open() is (storage is not None)
    yield logs
    await logs.close()


def _unused() -> Any:
    return None


async def rounds(
    logs: ShardLogs, first: int, second: int, version: str = "1.18.3"
) -> tuple[Standstill, ...] | None:
    """What is stored after two rounds, by readings of these numbers."""
    before, after = await logs.ends(), await logs.ends()
    still = StandstillEnds(2, before.ends, after.ends)
    return await logs.decide([(reading(first), reading(second))], still, qdrant_version=version)


def run(body: Coroutine[Any, Any, None]) -> None:
    asyncio.run(body)


def test_entries_from_the_cut_to_the_standstill_are_stored(tmp_path: Path) -> None:
    """Over segments that roll and go meanwhile."""

    async def body() -> None:
        storage = OneLog()
        storage.write(b"before", *(b"%d" % n * 40 for n in range(1, 5)))
        async with logs_of(storage, tmp_path) as logs:
            await logs.note_acks()
            for number in range(5, 30):
                storage.write(b"%d" % number * 40)
                for _ in storage.log.acknowledge(number):
                    pass
                await logs.ends()
            found = await rounds(logs, first=4, second=20)
            assert found is not None
            (still,) = found
            assert (still.first, still.after.index, still.before) == (0, 29, still.after)
            assert await stored(logs) == [b"before", *(b"%d" % n * 40 for n in range(1, 30))]
            assert storage.disk.open_handles == 0

    run(body())


async def stored(logs: ShardLogs) -> list[bytes]:
    """The entries that the tar of the only shard gets."""
    found = []
    for one in await logs.log_of(0) or ():
        data = b"".join(one.read())
        entries = parse_entries(data[HEADER_BYTES:], seed_of(data), len(data) - HEADER_BYTES)
        found += [entry.data for entry in entries.frames]
    return found


def test_a_shard_that_stood_still_needs_no_log(tmp_path: Path) -> None:
    async def body() -> None:
        storage = OneLog()
        storage.write(b"a", b"b", b"drain")
        async with logs_of(storage, tmp_path) as logs:
            found = await rounds(logs, first=1, second=2)
            assert found is not None
            assert found[0].first == -1
            assert await logs.log_of(0) is None

    run(body())


BY_FILTER = cbor2.dumps({"delete_points_by_filter": {"must": []}})
BY_ID = cbor2.dumps({"delete_points": {"ids": [1]}})


@pytest.mark.parametrize(
    ("entries", "second", "version", "by_state"),
    [
        ((BY_ID, BY_FILTER, BY_ID), 4, "1.18.3", True),
        ((BY_ID, BY_FILTER, BY_ID), 4, "1.17.1", True),
        ((BY_ID, BY_FILTER, BY_ID), 4, "1.19.0", False),
        ((BY_ID, BY_FILTER, BY_ID), 2, "1.18.3", False),
        ((BY_ID, BY_ID, BY_ID), 4, "1.18.3", False),
        ((BY_ID, BY_ID, BY_ID, BY_FILTER), 4, "1.18.3", False),
    ],
    ids=["1.18", "1.17", "resolved to ids", "only the drain", "by id", "after the cut"],
)
def test_operations_that_a_replay_may_apply_to_other_points_are_noted(
    entries: tuple[bytes, ...], second: int, version: str, by_state: bool, tmp_path: Path
) -> None:
    """Those up to the second reading, which the snapshot may hold already."""

    async def body() -> None:
        storage = OneLog()
        storage.write(BY_ID, BY_ID)
        async with logs_of(storage, tmp_path) as logs:
            storage.write(*entries)
            found = await rounds(logs, first=1, second=second, version=version)
            assert found is not None
            assert found[0].by_state is by_state

    run(body())


def test_what_is_written_while_it_is_judged_damages_nothing(tmp_path: Path) -> None:
    """What the follower keeps would land where entries were looked at: it waits for the lock."""

    async def body() -> None:
        storage = OneLog()
        storage.write(BY_ID, BY_ID)
        async with logs_of(storage, tmp_path) as logs:
            storage.write(BY_ID, BY_ID, BY_ID, BY_FILTER, BY_ID)
            before, after = await logs.ends(), await logs.ends()
            still = StandstillEnds(2, before.ends, after.ends)
            storage.write(b"later")
            readings = [(reading(1), reading(4))]
            async with asyncio.TaskGroup() as group:
                group.create_task(logs.decide(readings, still, qdrant_version="1.18.3"))
                group.create_task(logs.ends())
            assert (await stored(logs))[-5:] == [BY_ID, BY_ID, BY_ID, BY_FILTER, BY_ID]

    run(body())


def test_a_log_that_does_not_grow_is_not_read_again(tmp_path: Path) -> None:
    """Rounds follow each other quickly, and most of many shards take no writes meanwhile."""

    async def body() -> None:
        storage = OneLog()
        storage.write(b"a")
        for _ in storage.log.creating:
            pass
        async with logs_of(storage, tmp_path) as logs:
            await logs.ends()
            reads = _count_reads(storage)
            before = await logs.ends()
            still = len(reads)
            storage.write(b"new")
            assert (await logs.ends()).ends[0].index == before.ends[0].index + 1
            assert 0 < still <= (len(reads) - still) / 4

    run(body())


def _count_reads(storage: OneLog) -> list[None]:
    """One for each thing that is read from now on."""
    reads: list[None] = []
    storage.disk.on_read = lambda: reads.append(None)
    return reads


def test_a_log_that_is_replaced_is_lost(tmp_path: Path) -> None:
    """A recovery in place, for one: what was cut is not what the new log is of."""

    async def body() -> None:
        storage = OneLog()
        storage.write(b"a")
        async with logs_of(storage, tmp_path) as logs:
            storage.disk.replace()
            ends = await logs.ends()
            assert ends.ends == ()
            assert "another directory" in ends.lost
            assert (
                await logs.decide([(reading(1), reading(2))], None, qdrant_version="1.18.3") is None
            )
            assert storage.disk.open_handles == 0

    run(body())


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    async def body() -> None:
        storage = OneLog()
        storage.write(b"a")
        async with logs_of(storage, tmp_path, kept_bytes=1000) as logs:
            storage.write(*(b"x" * 100 for _ in range(20)))
            assert "over 1000 bytes" in (await logs.ends()).lost

    run(body())


def test_however_following_ends_no_file_stays_open(tmp_path: Path) -> None:
    async def body() -> None:
        storage = OneLog()
        storage.write(b"a")
        async with logs_of(storage, tmp_path) as logs:
            assert storage.disk.open_handles > 0
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await logs.follow()
            assert storage.disk.open_handles == 0

    run(body())


def test_an_agent_without_a_view_of_the_storage_follows_none(tmp_path: Path) -> None:
    async def body() -> None:
        async with logs_of(None, tmp_path) as logs:
            assert (await logs.ends()).lost

    run(body())
