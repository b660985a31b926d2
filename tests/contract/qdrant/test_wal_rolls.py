"""Logs that roll over again and again under writes, next to a server that is killed and ended."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from cleancut.core.wal.operations import decode_operation
from cleancut_agent.wal.local_storage import LocalWalStorage
from cleancut_agent.wal.shard_tail import ShardTail
from cleancut_devcluster.launch.qdrant import Kind, PeerProcess, launch_peers, wait_until

WRITERS = 4
OPERATIONS = 120
"""Of each writer between two ends of the server: some megabytes, in segments of one."""
SIZE = 384
POINTS = 10


@dataclass
class Run:
    """What was acknowledged under which number, and what was read under which index."""

    acknowledged: dict[int, tuple[int, ...]] = field(default_factory=dict)
    read: dict[int, tuple[int, ...]] = field(default_factory=dict)
    next_id: int = 1
    random: random.Random = field(default_factory=lambda: random.Random(5))

    def poll(self, tail: ShardTail) -> None:
        for entry in tail.poll():
            assert entry.index == len(self.read)
            self.read[entry.index] = tuple(
                one for one in decode_operation(entry.data).ids if isinstance(one, int)
            )


async def _follow(run: Run, tail: ShardTail, stop: asyncio.Event) -> None:
    while not stop.is_set():
        run.poll(tail)
        await asyncio.sleep(0.01)


async def _write(run: Run, peer: PeerProcess, session: aiohttp.ClientSession, count: int) -> None:
    """Ends with the server."""
    url = f"{peer.url}/collections/c/points?wait=true"
    for _ in range(count):
        ids = tuple(range(run.next_id, run.next_id + POINTS))
        run.next_id += POINTS
        vector = [run.random.random() for _ in range(SIZE)]
        points = [{"id": one, "vector": vector} for one in ids]
        try:
            async with session.put(url, json={"points": points}) as response:
                answer = await response.json()
        except (aiohttp.ClientError, OSError):
            return
        if response.status == 200:
            run.acknowledged[answer["result"]["operation_id"]] = ids


def test_every_acknowledged_operation_is_read_under_its_number(kind: Kind, tmp_path: Path) -> None:
    """Killed, ended in order, and left alone: none is missing, none has another number."""

    async def check() -> None:
        run = Run()
        async with launch_peers(1, tmp_path, kind, standalone=True) as (peer,):
            async with peer.client() as client:
                config = {
                    "vectors": {"size": SIZE, "distance": "Cosine", "on_disk": True},
                    "shard_number": 1,
                    "wal_config": {"wal_capacity_mb": 1},
                    "optimizers_config": {"flush_interval_sec": 1, "indexing_threshold": 0},
                }
                await client.create_collection("c", config)
            tail = ShardTail.open(LocalWalStorage(peer.storage).open("c", 0))
            for ending in ("kill", "stop", ""):
                await _one_life(run, peer, tail, ending)
            run.poll(tail)
            async with peer.client() as client:
                numbers = (await client.telemetry(level=3)).collections["c"].shards
            assert numbers[0].op_num == tail.last == len(run.read) - 1
            assert (tail.confirmed or 0) > 0
            tail.close()
        wrong = {n: ids for n, ids in run.acknowledged.items() if run.read.get(n) != ids}
        assert wrong == {}
        assert len(run.acknowledged) > WRITERS * OPERATIONS

    asyncio.run(check())


async def _wait_acknowledged(run: Run, count: int) -> None:
    async def there() -> bool:
        return len(run.acknowledged) >= count

    await wait_until(there, 60, f"{count} operations are acknowledged")


async def _one_life(run: Run, peer: PeerProcess, tail: ShardTail, ending: str) -> None:
    """Writes until they are done, or until the server ends amid them; it runs again then."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        group.create_task(_follow(run, tail, stop))
        async with asyncio.TaskGroup() as writers:
            for _ in range(WRITERS):
                writers.create_task(_write(run, peer, session, OPERATIONS))
            if ending:
                await _wait_acknowledged(run, len(run.acknowledged) + WRITERS * OPERATIONS // 2)
                await getattr(peer, ending)()
        if ending:
            await peer.start()
        stop.set()
