"""Snapshots of a shard whose optimizer is at work."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleancut.core.primitives.ids import PeerId, ShardId
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.qdrant.peer_view import count_optimizing
from cleancut_devcluster.launch.qdrant import Kind, launch_peers, wait_until
from tests.contract.qdrant.world import World, points, read_stream, recover

DELETED = range(100)
SLOW = {
    "hnsw_config": {"ef_construct": 2000, "m": 128},
    "optimizers_config": {"indexing_threshold": 20},
}


@pytest.fixture(scope="module")
def alone(
    kind: Kind, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    peers = launch_peers(1, tmp_path_factory.mktemp("optimizing"), kind)
    started = World(runner, runner.run(peers.__aenter__()))
    try:
        yield started
    finally:
        runner.run(started.close())
        runner.run(peers.__aexit__(None, None, None))


async def optimizing(world: World, name: str) -> bool:
    seen = await world.first.telemetry()
    task = ShardTask(collection=name, shard_id=ShardId(0), peer_id=PeerId(seen.peer_id))
    return await count_optimizing(world.first, seen, [task]) == 1


async def mark_of(world: World, name: str) -> Path:
    """The file that keeps the stand-in's optimization under way."""
    uuid = (await world.first.telemetry()).collections[name].uuid
    return world.peers[0].directory / "collections" / (uuid or "") / "0" / "optimizing"


def test_a_snapshot_taken_meanwhile_lacks_deletes(alone: World) -> None:
    """What was deleted since the optimization began is in the tar, whatever the count says; what
    was written since is there as well."""

    async def check() -> None:
        name = await alone.create(shards=1, **SLOW)
        other = await alone.create(shards=1)
        mark, many = await mark_of(alone, name), 500
        if alone.kind == "real":
            many = 20_000
            await alone.queue(name, points(range(many)))
        else:
            await alone.upsert(name, points(range(many)))
            mark.touch()
        await wait_until(lambda: optimizing(alone, name), 30, "an optimization is under way")
        await alone.delete(name, DELETED)
        await alone.upsert(name, points([many + 1]))
        tar = await read_stream(alone.first, name, 0)
        assert await optimizing(alone, name)
        live = await alone.first.count(name, 0)
        mark.unlink(missing_ok=True)
        await recover(alone.first, other, 0, tar)
        assert live == many - len(DELETED) + 1
        assert await alone.first.count(other, 0) == many + 1

    alone.run(check())


def test_a_snapshot_taken_afterwards_is_right(alone: World) -> None:
    async def check() -> None:
        if alone.kind == "real":
            return  # see the suite's other snapshots
        name, other = await alone.create(shards=1), await alone.create(shards=1)
        mark = await mark_of(alone, name)
        await alone.upsert(name, points(range(500)))
        mark.touch()
        assert await optimizing(alone, name)
        await alone.delete(name, DELETED)
        mark.unlink()
        assert not await optimizing(alone, name)
        await recover(alone.first, other, 0, await read_stream(alone.first, name, 0))
        assert await alone.first.count(other, 0) == 500 - len(DELETED)

    alone.run(check())
