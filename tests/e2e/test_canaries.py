"""Canaries of real backups: read inside the cut, kept of what was quiet, asked after a restore."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from cleancut.errors import CleancutError
from cleancut.io.qdrant import Qdrant
from cleancut.manifest import Manifest, parse_manifest
from tests.e2e.conftest import Launch
from tests.e2e.world import World

STILL, BUSY = "articles", "busy"
WRITERS = 4
TRIES = 5


def manifest_of(world: World, made: dict[str, Any]) -> Manifest:
    (path,) = world.store.rglob(f"groups/{made['epoch']:012d}.json")
    return parse_manifest(path.read_bytes(), str(path))


async def make_busy(qdrant: Qdrant) -> None:
    vectors = {"size": 4, "distance": "Cosine"}
    await qdrant.create_collection(BUSY, {"vectors": vectors, "shard_number": 2})
    await write(qdrant, 0)


async def write(qdrant: Qdrant, number: int) -> None:
    points = [{"id": one, "vector": [1.0, number, one, 1]} for one in range(20)]
    path = f"/collections/{BUSY}/points"
    await qdrant._http.call("PUT", path, {"points": points}, timeout_s=30.0, query={"wait": "true"})


async def back_up_under_writes(world: World) -> dict[str, Any]:
    """A backup that is made while others write to one collection."""

    async def write_on(qdrant: Qdrant) -> None:
        number = 0
        while True:
            number += 1
            with suppress(CleancutError):
                await write(qdrant, number)

    async with world.setup.peers[0].client() as qdrant, asyncio.TaskGroup() as group:
        writers = [group.create_task(write_on(qdrant)) for _ in range(WRITERS)]
        answer = await world.setup.cleancut("backup", "create")
        for writer in writers:
            writer.cancel()
    made: dict[str, Any] = answer.value("backup")
    return made


def test_what_is_quiet_has_canaries(launch: Launch) -> None:
    """A quiet group has them of every collection; under writes the still collection has them, and
    the busy one none."""
    world = launch(peers=2, coordinators=1)
    world.fill()

    async def begin() -> None:
        async with world.setup.peers[0].client() as qdrant:
            await make_busy(qdrant)

    world.run(begin())
    quiet = manifest_of(world, world.back_up())
    assert quiet.grade == "quiet"
    assert {one.collection for one in quiet.canaries} == {STILL, BUSY}
    assert all(len(one.ids) == len(one.scores) == 10 for one in quiet.canaries)
    for _ in range(TRIES):
        bounded = manifest_of(world, world.run(back_up_under_writes(world)))
        moved = {shard.collection for shard in bounded.shards if not shard.quiet}
        assert not moved & {one.collection for one in bounded.canaries}
        if moved == {BUSY}:
            break
    else:
        pytest.fail("no backup met a write to just the busy collection")
    assert {one.collection for one in bounded.canaries} == {STILL}
    still = [one for one in quiet.canaries if one.collection == STILL]
    assert list(bounded.canaries) == still
