"""Backups of shards whose replicas lag behind, or disagree."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from qdrant_client import models

from cleancut_devcluster.demo.data import COLLECTION, Data, Shape, make_payload, make_vectors
from tests.contract.qdrant.world import read_stream, recover
from tests.e2e.case import inactive
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

SHAPE = Shape(points=1200, dims=16, shards=4, replicas=2)
REPAIRED_S = 60.0


@pytest.fixture
def world(launch: Launch) -> World:
    """Three peers with two replicas of each shard."""
    one = launch(coordinators=1)
    one.shape = SHAPE
    one.fill()
    return one


async def back_up_until_repaired(world: World) -> list[Any]:
    """One backup after the other, until all replicas are Active again as every peer sees it, and
    every agent takes part; those that were committed."""
    made = []
    async with asyncio.timeout(REPAIRED_S):
        while True:
            answer = await world.setup.cleancut("backup", "create", "--attempts", "5")
            if answer.exit_code == 0:
                made.append(answer.value("backup"))
            agents = (await world.setup.status())["agents"]
            silent = [one["name"] for one in agents if one["peer_id"] is None]
            if not silent and not await inactive(world, COLLECTION, SHAPE.replicas):
                return made


def rewritten(world: World, collection: str) -> int:
    """How many points are of the second revision."""

    async def body() -> int:
        async with Data(world.setup.peers[0].url, SHAPE) as data:
            second = models.FieldCondition(key="revision", match=models.MatchValue(value=2))
            counted = await data.client.count(collection, models.Filter(must=[second]), exact=True)
            return counted.count

    return world.run(body())


@pytest.mark.adversity("a stale replica that calls itself Active")
def test_a_replica_that_has_missed_writes_is_never_cut(world: World) -> None:
    """A peer that comes back calls its own replicas Active, until it hears that they are not. All
    points were written again meanwhile, so a group with one of them would lack some of that."""
    back = world.setup.peers[2]

    async def write() -> None:
        await back.kill()
        async with Data(world.setup.peers[0].url, SHAPE) as data:
            await data.change(1.0)

    async def repair() -> list[Any]:
        async with asyncio.TaskGroup() as group:
            group.create_task(back.start())
            backups = group.create_task(back_up_until_repaired(world))
        return backups.result()

    world.run(write())
    made = [*world.run(repair()), world.back_up()]
    assert len(made) > 1, "no backup was made while the peer came back"
    for one in {each["id"]: each for each in (made[0], made[-2], made[-1])}.values():
        copy = f"copy-{one['epoch']}"
        names = ("--collection", COLLECTION, "--rename", f"{COLLECTION}={copy}")
        world.ok("restore", "restore", "start", one["id"], "--yes", *names)
        assert rewritten(world, copy) == SHAPE.points, one


@pytest.mark.adversity("replicas that disagree")
def test_of_replicas_that_disagree_the_fullest_is_cut(world: World) -> None:
    """One replica of a shard is put back to what it was before some writes, behind Qdrant's back,
    and stays Active: the other one is cut, nothing is proven, and nothing is dropped."""

    async def diverge() -> int:
        async with world.setup.peers[0].client() as qdrant:
            placement = await qdrant.placement(COLLECTION)
        behind = next(one.peer_id for one in placement.shards if one.shard_id == 0)
        for peer in world.setup.peers:
            async with peer.client() as qdrant:
                if (await qdrant.cluster()).peer_id != behind:
                    continue
                before = await read_stream(qdrant, COLLECTION, 0)
                async with Data(peer.url, SHAPE) as data:
                    ids = range(SHAPE.points, SHAPE.points + 400)
                    payloads = [make_payload(point) for point in ids]
                    await data.upsert(ids, make_vectors(SHAPE, ids.start, len(ids)), payloads)
                await recover(qdrant, COLLECTION, 0, before)
        return behind

    behind = world.run(diverge())
    made = world.back_up()
    assert made["evidence"]["consistency"] == "per-shard"
    (told,) = made["warnings"]
    assert told.startswith(f"{COLLECTION}/0: its replica on ")
    assert f"peer {behind})" in told or f"peer {behind} holds" in told
    (first,) = [one for one in made["evidence"]["shards"] if one["shard_id"] == 0]
    assert first["peer_id"] != behind
    strict = world.cleancut("backup", "create", "--require", "point-in-time")
    refused(strict, 4, f"peer {behind}")
    shown = world.offline("backup", "show", made["id"]).value("backup")
    assert shown["warnings"] == [told]
