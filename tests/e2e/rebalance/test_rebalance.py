"""`rebalance` on running peers: shards spread, replicas grown, and after a restore."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from cleancut_devcluster.demo.data import COLLECTION, Data, make_payload, make_vectors
from cleancut_devcluster.launch.qdrant import add_peer, wait_until
from tests.contract.qdrant.world import read_stream, recover
from tests.e2e.conftest import Launch
from tests.e2e.rebalance.moves import (
    add_agent,
    calm,
    numbers,
    placement,
    read_placement,
    start,
    verdict,
)
from tests.e2e.world import World, refused


@pytest.mark.parametrize("flags", [(), ("--bandwidth-aware",)])
def test_a_new_peer_gets_its_part(launch: Launch, flags: tuple[str, ...]) -> None:
    """Shards are even, every answer is as before, and a second rebalance has nothing to do."""
    world = launch(peers=2, coordinators=1)
    world.shape = replace(world.shape, shards=6)
    world.fill()
    kept = world.answers()
    assert numbers(world) == [3, 3]
    peer = world.run(add_peer(world.setup.peers))
    refused(world.cleancut("rebalance", "start", "--yes"), 4, "has no agent")
    world.run(add_agent(world, peer))
    plan = world.ok("plan", "rebalance", "plan")
    assert plan["blockers"] == []
    assert [step["action"] for step in plan["steps"]] == ["move", "move"]
    assert all(step["size_bytes"] > 0 for step in plan["steps"])
    done = start(world, "--plan-digest", plan["digest"], *flags)
    assert done["state"] == "DONE"
    assert all(step["count"] > 0 for step in done["steps"])
    assert numbers(world) == [2, 2, 2]
    assert placement(world).transfers == ()
    assert verdict(world, kept) == []
    assert world.ok("plan", "rebalance", "plan")["steps"] == []
    assert start(world)["steps"] == []
    refused(
        world.cleancut("rebalance", "start", "--yes", "--plan-digest", plan["digest"]),
        4,
        "has changed",
    )
    listed = world.ok("rebalances", "rebalance", "list")
    assert listed[-1]["id"] == done["id"]


def test_a_lost_peer_s_replicas_grow_anew(launch: Launch) -> None:
    """A dead peer forbids it until it is removed; then the replication factor is restored."""
    world = launch(peers=3, coordinators=1)
    world.shape = replace(world.shape, shards=3, replicas=2)
    world.fill()
    kept = world.answers()
    lost, agent = world.setup.peers[2], world.setup.agents[2]

    async def lose() -> None:
        async with lost.client() as qdrant:
            gone = (await qdrant.cluster()).peer_id
        await agent.stop()
        await lost.kill()
        answer = await world.setup.cleancut("rebalance", "plan")
        assert answer.exit_code == 4
        assert "doctor" in answer.err
        async with world.setup.peers[0].client() as qdrant:
            await qdrant.remove_peer(gone, force=True)
        world.setup.peers.remove(lost)
        world.setup.agents.remove(agent)

    world.run(lose())
    world.setup.peers.append(lost)  # its name and directory are taken; it stays dead

    async def grow() -> None:
        peer = await add_peer_beside_the_dead(world)
        await world.setup.start_agent(peer.url)
        await world.setup.wait_agents()

    world.run(grow())
    done = start(world)
    assert {step["action"] for step in done["steps"]} <= {"replicate", "move"}
    assert numbers(world) == [2, 2, 2]
    holders = Counter(one.shard_id for one in placement(world).shards)
    assert set(holders.values()) == {2}
    assert verdict(world, kept) == []


async def add_peer_beside_the_dead(world: World) -> Any:
    """A peer under a new name; the dead one is not waited for."""
    dead = world.setup.peers.pop()
    spare = [*world.setup.peers, dead]
    names = {peer.name for peer in spare}
    fresh = type(dead)(
        f"qdrant-{len(names)}",
        dead.plan.base_dir / f"qdrant-{len(names)}",
        dead.plan,
        world.setup.peers[0].uri,
    )
    world.setup.peers.append(fresh)
    await fresh.start()
    return fresh


def test_replicas_grown_by_hand_stay(launch: Launch) -> None:
    """The collection knows nothing of them; only --drop-surplus takes them away."""
    world = launch(peers=2, coordinators=1)
    world.shape = replace(world.shape, shards=2)
    world.fill()
    kept = world.answers()
    holder = {one.shard_id: one.peer_id for one in placement(world).shards}

    async def grow() -> None:
        async with world.setup.peers[0].client() as qdrant:
            await qdrant.replicate_shard(COLLECTION, 0, source=holder[0], target=holder[1])
        await wait_until(grown, 30, "there are three replicas")
        await calm(world)

    async def grown() -> bool:
        return len((await read_placement(world)).shards) == 3

    world.run(grow())
    done = start(world)
    assert done["steps"] == []
    assert "--drop-surplus" in done["warnings"][0]
    assert numbers(world) == [1, 2]
    done = start(world, "--drop-surplus")
    assert [(step["action"], step["shard_id"]) for step in done["steps"]] == [("drop", 0)]
    assert numbers(world) == [1, 1]
    assert verdict(world, kept) == []


async def diverge(world: World) -> dict[int, int]:
    """One replica of shard 0 is put back to what it was before some writes, behind Qdrant's back,
    and stays Active. Gives the exact count of each replica of the shard, by peer."""
    shape = world.shape
    for peer in world.setup.peers[:1]:
        async with peer.client() as qdrant:
            before = await read_stream(qdrant, COLLECTION, 0)
            async with Data(peer.url, shape) as data:
                ids = range(shape.points, shape.points + 400)
                payloads = [make_payload(point) for point in ids]
                await data.upsert(ids, make_vectors(shape, ids.start, len(ids)), payloads)
            await recover(qdrant, COLLECTION, 0, before)
    return await counts(world)


async def counts(world: World) -> dict[int, int]:
    found = {}
    for peer in world.setup.peers:
        async with peer.client() as qdrant:
            found[(await qdrant.cluster()).peer_id] = await qdrant.count(COLLECTION, 0)
    return found


def test_no_replica_is_dropped_while_those_of_its_shard_disagree(launch: Launch) -> None:
    """All of them are Active, so Qdrant would drop the good one as gladly as the stale one."""
    world = launch(peers=2, coordinators=1)
    world.shape = replace(world.shape, shards=2, replicas=2)
    world.fill()
    before = world.run(diverge(world))
    assert len(set(before.values())) == 2

    async def want_one() -> None:
        async with world.setup.peers[0].client() as qdrant:
            await qdrant.patch_collection(COLLECTION, {"params": {"replication_factor": 1}})

    world.run(want_one())
    answer = world.cleancut("rebalance", "start", "--yes", "--drop-surplus")
    assert answer.exit_code != 0
    assert "shard 0" in answer.err
    assert "different numbers of points" in answer.err
    assert all(str(count) in answer.err for count in before.values())
    assert world.run(counts(world)) == before


def test_a_restore_is_spread_afterwards(launch: Launch) -> None:
    """`restore start --rebalance` waits for both, and shows which one followed."""
    world = launch(peers=2, coordinators=1)
    world.fill()
    made, kept = world.back_up(), world.answers()
    world.lose_all(2)
    restored = world.ok("restore", "restore", "start", made["id"], "--yes", "--rebalance")
    assert restored["state"] == "DONE"
    followed = world.ok("rebalance", "rebalance", "show", restored["rebalance_id"])
    assert followed["state"] == "DONE"
    assert followed["after"] == restored["id"]
    assert numbers(world) == [2, 2]
    assert verdict(world, kept) == []


def test_a_rebalance_of_a_failed_restore_is_refused(launch: Launch) -> None:
    """A restore that ends otherwise leaves nothing to rebalance."""
    world = launch(peers=1, coordinators=1)
    world.fill()
    made = world.back_up()
    answer = world.cleancut("restore", "start", made["id"], "--yes", "--rebalance")
    assert answer.exit_code == 4
    listed = world.ok("rebalances", "rebalance", "list")
    assert len(listed) == 1
    ended = world.cleancut("rebalance", "watch", listed[0]["id"])
    refused(ended, 4, "nothing of it to rebalance")
