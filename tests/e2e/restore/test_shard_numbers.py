"""`restore start --shards N`: a collection comes back with another number of shards."""

from __future__ import annotations

from cleancut_devcluster.demo.data import COLLECTION
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


def shards(world: World) -> set[int]:
    async def body() -> set[int]:
        async with world.setup.peers[0].client() as peer:
            return {one.shard_id for one in (await peer.placement(COLLECTION)).shards}

    return world.run(body())
