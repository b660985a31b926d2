"""`restore start --shards N`: a collection comes back and gets another number of shards."""

from __future__ import annotations

from cleancut_devcluster.demo.data import COLLECTION
from tests.e2e.conftest import Launch
from tests.e2e.restore.test_restore import drop, verdict


def test_a_restore_with_another_number_of_shards(launch: Launch) -> None:
    """Resharded by an operation that follows it; all answers are as before."""
    world = launch(peers=2, coordinators=1)
    world.fill()
    backup, before = world.back_up()["id"], world.answers()
    world.run(drop(world, COLLECTION))
    asked = (backup, "--shards", f"{COLLECTION}=3")
    (planned,) = world.ok("plan", "restore", "plan", *asked)["reshards"]
    assert (planned["shards"], planned["wanted"], planned["steps"]) == (4, 3, 1)
    done = world.ok("restore", "restore", "start", *asked, "--yes")
    (name,) = done["reshard_ids"]
    followed = world.ok("reshard", "reshard", "show", name)
    assert (followed["state"], followed["shards"], followed["after"]) == ("DONE", 3, done["id"])
    assert verdict(world, before) == []

    async def shards() -> set[int]:
        async with world.setup.peers[0].client() as peer:
            return {one.shard_id for one in (await peer.placement(COLLECTION)).shards}

    assert world.run(shards()) == {0, 1, 2}
