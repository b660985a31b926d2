"""`restore start --shards N`: a collection comes back with another number of shards."""

from __future__ import annotations

import asyncio
from typing import Any

from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore, RestoreOptions, ShardNumber
from cleancut.client.client import Client
from cleancut.core.protocol.states import FINAL_STATES, State
from cleancut_devcluster.demo.comparison import Answers, compare, read_answers
from cleancut_devcluster.demo.data import ALIAS, COLLECTION, Data
from tests.e2e.conftest import Launch
from tests.e2e.restore.test_restore import drop, verdict
from tests.e2e.world import World


def test_a_restore_with_another_number_of_shards(launch: Launch) -> None:
    """Built offline before it: all answers are as before, and what was built for it is gone from
    the store."""
    world = launch(peers=2, coordinators=1)
    world.fill()
    backup, before = world.back_up()["id"], world.answers()
    world.run(drop(world, COLLECTION))
    store = ("--store", world.setup.store_url, "--cluster", "demo")
    offline = (backup, "--shards", "3", "--offline")
    (planned,) = world.ok("plan", "restore", "plan", *offline, *store)["reshards"]
    assert (planned["way"], planned["shards"], planned["wanted"]) == ("offline", 4, 3)
    assert planned["scratch_bytes"] > planned["size_bytes"] > 0
    built = world.ok("restore", "restore", "start", *offline, *store, "--yes")
    assert (built["state"], built["collections"][0]["counts_equal"]) == ("DONE", True)
    assert verdict(world, before) == []
    assert shards(world) == {0, 1, 2}
    assert [one.name for one in world.store.iterdir()] == ["demo"]


def test_names_are_published_after_the_last_reshard(launch: Launch) -> None:
    """A backup gets its turn in between and the leader is killed; the alias is pointed to what was
    restored after that. Then a restore is canceled in between, and of another its reshard."""
    world = launch(peers=2, coordinators=2)
    world.fill()
    backup, before = world.back_up()["id"], world.answers()
    asked = (backup, "--replace", "--shards", f"{COLLECTION}=6")
    (planned,) = world.ok("plan", "restore", "plan", *asked)["reshards"]
    assert (planned["way"], planned["wanted"], planned["steps"]) == ("reshard", 6, 2)

    async def interrupted() -> tuple[Restore, Any]:
        leader = await world.setup.leader()
        begun = await begin(world, backup, 6)
        async with asyncio.TaskGroup() as group:
            made = group.create_task(world.setup.cleancut("backup", "create"))
            await leader.child.kill()
            await world.setup.wait_leader(other_than=leader.name)
            await leader.child.start_again()
            assert await pointed_to(world) == COLLECTION
        return begun, made.result().value("backup")

    begun, made = world.run(interrupted())
    meanwhile = world.ok("restore", "restore", "show", begun.id)
    assert made["state"] == "COMMITTED"
    assert meanwhile["state"] in {"RESHARDING", "PREPARING", "VERIFYING", "PUBLISHING", "DONE"}
    done = world.ok("restore", "restore", "watch", begun.id)
    restored = done["collections"][0]
    assert (done["state"], done["warnings"], restored["shards"]) == ("DONE", [], 6)
    assert restored["counts_equal"]
    assert restored["sample_queries_equal"]
    assert world.run(pointed_to(world)) == restored["created_as"] == f"{COLLECTION}@{begun.id}"
    assert world.run(differing(world, before, restored["created_as"])) == []
    assert shards(world, restored["created_as"]) == set(range(6))

    async def canceled() -> Restore:
        begun = await begin(world, backup, 8)
        async with client_of(world) as client:
            return await client.cancel_restore(begun.id)

    undone = world.run(canceled())
    assert undone.state is State.ROLLED_BACK
    assert f"{COLLECTION}@{undone.id}" not in world.collections()
    assert world.run(pointed_to(world)) == restored["created_as"]

    async def at_another_number() -> Restore:
        begun = await begin(world, backup, 8)
        async with client_of(world) as client:
            await client.cancel_reshard(begun.reshard_ids[0])
        return begun

    begun = world.run(at_another_number())
    done = world.ok("restore", "restore", "watch", begun.id)
    assert done["state"] == "DONE"
    assert "`cleancut reshard start" in done["warnings"][0]
    assert world.run(pointed_to(world)) == f"{COLLECTION}@{begun.id}"


def client_of(world: World) -> Client:
    return Client(world.setup.addresses.split(","))


async def begin(world: World, backup: str, shards: int) -> Restore:
    """A restore whose first reshard is under way."""
    options = RestoreOptions(replace=True, shards=(ShardNumber(shards=shards),))
    async with client_of(world) as client:
        begun = await client.start_restore(backup, options=options)
        while True:
            found = await client.get_restore(begun.id)
            assert found.state not in FINAL_STATES, found
            if found.state is State.RESHARDING and found.reshard_ids:
                reshard: Reshard = await client.get_reshard(found.reshard_ids[0])
                assert reshard.state not in FINAL_STATES, reshard
                if reshard.state not in {State.PENDING, State.PREPARING}:
                    return found
            await asyncio.sleep(0.05)


async def differing(world: World, kept: Answers, name: str) -> list[str]:
    """What this collection answers otherwise, but for the alias."""
    async with Data(world.setup.peers[0].url, world.shape, collection=name) as data:
        found = compare(kept, await read_answers(data))
    return [one.what for one in found if not one.equal and not one.what.startswith("aliases")]


async def pointed_to(world: World) -> str:
    async with world.setup.peers[0].client() as peer:
        return (await peer.aliases())[ALIAS]


def shards(world: World, name: str = COLLECTION) -> set[int]:
    async def body() -> set[int]:
        async with world.setup.peers[0].client() as peer:
            return {one.shard_id for one in (await peer.placement(name)).shards}

    return world.run(body())
