"""What a seed leaves is what the next seed, and the next backup, need not store again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cleancut.core.primitives.ids import AgentName, ClusterName
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.etcd.client import open_etcd
from cleancut.ports.coordination import Delete
from cleancut.runtime.clock import SystemClock
from cleancut_devcluster.demo.data import COLLECTION, Data, Shape, make_payload, make_vectors
from cleancut_devcluster.launch.process import Child, wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

SHAPE = Shape(points=6000, dims=384, shards=4, segments=2)
SLOW = "1MiB"
"""So that an agent's second shard takes some seconds."""


@pytest.fixture
def world(launch: Launch) -> World:
    """Two agents with two shards each, of two MiB that do not compress; Qdrant leaves their
    segments alone."""
    one = launch(peers=2, coordinators=1)
    one.shape = SHAPE
    one.fill(vector_index=False)
    return one


def streams(agent: Child) -> list[dict[str, Any]]:
    """What the agent's log tells of its streams: a line when one is opened, and when it ended."""
    lines = agent.log.read_text().splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [one for one in found if one["event"] == "stream"]


def ended(agent: Child) -> int:
    return sum(1 for one in streams(agent) if not one["reading"])


async def kill_after_one_shard(world: World) -> None:
    """One of two agents goes as soon as it has brought a shard to the store; and its session, as if
    the lease had run out."""
    agent = world.setup.agents[1]

    async def one() -> bool | None:
        return ended(agent) >= 1 or None

    await wait_for(one, "a shard of agent-2", 30.0)
    await agent.kill()
    async with open_etcd([world.setup.etcd_endpoint], clock=SystemClock()) as etcd:
        await etcd.txn([], [Delete(Keys(ClusterName("demo")).session(AgentName("agent-2")))])


async def start_again(world: World) -> None:
    """The killed agent is there, with a session of its own."""
    agent = world.setup.agents[1]
    await agent.start_again()

    async def one() -> bool | None:
        return agent.log.read_text().count('"event": "session opened"') == 2 or None

    await wait_for(one, "a session of agent-2", 30.0)


async def write_more(world: World) -> None:
    """A few new points."""
    ids = range(SHAPE.points, SHAPE.points + 8)
    async with Data(world.setup.peers[0].url, SHAPE) as data:
        payloads = [make_payload(point) for point in ids]
        await data.upsert(ids, make_vectors(SHAPE, ids.start, len(ids)), payloads)


async def lose_collection(world: World) -> None:
    async with world.setup.peers[0].client() as qdrant:
        await qdrant.delete_collection(COLLECTION)


def test_a_seed_stores_ahead_and_a_backup_needs_little(world: World) -> None:
    """One stream an agent at a time; killed and cancelled, then run again; then a backup, which is
    right; no group before that."""
    world.ok("settings", "cluster", "settings", "--upload-rate", SLOW)
    first = world.ok("backup", "backup", "seed", "--streams", "1", "--no-wait")
    world.run(kill_after_one_shard(world))
    over = world.ok("backup", "backup", "cancel", first["id"])
    assert over["state"] == "ABORTED", over
    world.ok("settings", "cluster", "settings", "--upload-rate", "0")
    world.run(start_again(world))

    seeded = world.ok("backup", "backup", "seed", "--streams", "1")
    assert seeded["state"] == "SEEDED", seeded
    assert (seeded["seed"]["streams"], seeded["seed"]["shards"]) == (1, SHAPE.shards)
    assert seeded["bytes"]["new"] <= 0.75 * seeded["seed"]["read"], "one of two shards was there"
    for agent in world.setup.agents:
        assert max(one["reading"] for one in streams(agent)) == 1
        assert ended(agent) >= SHAPE.shards / 2
    refused(world.cleancut("restore", "plan", seeded["id"]), 4, "is a seed, not a backup")
    told = {one["id"]: one for one in world.ok("backups", "backup", "list")}
    assert {name: one["state"] for name, one in told.items()} == {
        first["id"]: "ABORTED",
        seeded["id"]: "SEEDED",
    }
    assert told[seeded["id"]]["bytes"]["protected"] == 0

    world.run(write_more(world))
    made = world.back_up()
    assert made["bytes"]["new"] <= made["bytes"]["protected"] / 5, made["bytes"]
    assert world.groups() == [made["id"]]
    before = world.answers()
    world.run(lose_collection(world))
    assert world.ok("restore", "restore", "start", made["id"], "--yes")["state"] == "DONE"
    assert world.answers() == before
