"""`restore start --shards N`: a collection comes back with another number of shards."""

from __future__ import annotations

import asyncio
from typing import Any

from cleancut.api.reshards import Reshard
from cleancut.api.restores import Restore, RestoreOptions, ShardNumber
from cleancut.client.client import Client
from cleancut.core.protocol.states import FINAL_STATES, State
from cleancut_devcluster.demo.data import ALIAS, COLLECTION
from tests.e2e.conftest import Launch
from tests.e2e.restore.test_restore import drop, verdict
from tests.e2e.world import World


def test_a_restore_with_another_number_of_shards(launch: Launch) -> None:
    """Built offline before it, and resharded by an operation that follows it: all answers are as
    before, and what was built for it is gone from the store."""
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

    world.run(drop(world, COLLECTION))
    asked = (backup, "--shards", f"{COLLECTION}=3")
    (planned,) = world.ok("plan", "restore", "plan", *asked)["reshards"]
    assert (planned["way"], planned["wanted"], planned["steps"]) == ("reshard", 3, 1)
    done = world.ok("restore", "restore", "start", *asked, "--yes")
    (name,) = done["reshard_ids"]
    followed = world.ok("reshard", "reshard", "show", name)
    assert (followed["state"], followed["shards"], followed["after"]) == ("DONE", 3, done["id"])
    assert verdict(world, before) == []
    assert shards(world) == {0, 1, 2}


def test_names_are_published_after_the_last_reshard(launch: Launch) -> None:
    """A backup gets its turn in between and the leader is killed; the alias is pointed to what was
    restored after that. Then a restore is canceled in between, and of another its reshard."""
    world = launch(peers=2, coordinators=2)
    world.fill()
    backup, before = world.back_up()["id"], world.answers()

    async def interrupted() -> tuple[Restore, Any]:
        leader = await world.setup.leader()
        begun = await begin(world, backup, 6)
        made = world.setup.cleancut("backup", "create")
        backed_up = asyncio.create_task(made)
        await leader.child.kill()
        await world.setup.wait_leader(other_than=leader.name)
        await leader.child.start_again()
        assert await pointed_to(world) == COLLECTION
        made = (await backed_up).value("backup")
        return begun, made

    begun, made = world.run(interrupted())
    meanwhile = world.ok("restore", "restore", "show", begun.id)
    assert made["state"] == "COMMITTED"
    assert meanwhile["state"] in {"RESHARDING", "PREPARING", "VERIFYING", "PUBLISHING", "DONE"}
    done = world.ok("restore", "restore", "watch", begun.id)
    restored = done["collections"][0]
    assert (done["state"], done["warnings"], restored["shards"]) == ("DONE", [], 6)
    assert restored["counts_equal"] and restored["sample_queries_equal"] is not False
    assert world.run(pointed_to(world)) == restored["created_as"] == f"{COLLECTION}@{begun.id}"
    assert verdict(world, before) == []
    assert shards(world, restored["created_as"]) == set(range(6))

    begun = world.run(begin(world, backup, 5))
    canceled = world.ok("restore", "restore", "cancel", begun.id, "--yes")
    assert canceled["state"] == "ROLLED_BACK"
    assert f"{COLLECTION}@{begun.id}" not in world.collections()
    assert world.run(pointed_to(world)) == restored["created_as"]

    begun = world.run(begin(world, backup, 6))
    world.ok("reshard", "reshard", "cancel", begun.reshard_ids[0], "--yes")
    done = world.ok("restore", "restore", "watch", begun.id)
    assert done["state"] == "DONE"
    assert "`cleancut reshard start" in done["warnings"][0]
    assert world.run(pointed_to(world)) == f"{COLLECTION}@{begun.id}"


async def begin(world: World, backup: str, shards: int) -> Restore:
    """A restore whose first reshard is under way."""
    options = RestoreOptions(replace=True, shards=(ShardNumber(shards=shards),))
    async with Client(world.setup.addresses.split(",")) as client:
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


async def pointed_to(world: World) -> str:
    async with world.setup.peers[0].client() as peer:
        return (await peer.aliases())[ALIAS]


def shards(world: World, name: str = COLLECTION) -> set[int]:
    async def body() -> set[int]:
        async with world.setup.peers[0].client() as peer:
            return {one.shard_id for one in (await peer.placement(name)).shards}

    return world.run(body())
