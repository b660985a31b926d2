"""A backup of a collection that is being resharded waits until that is over."""

from __future__ import annotations

from cleancut.core.cluster.resharding import Direction
from cleancut_devcluster.demo.data import COLLECTION
from cleancut_devcluster.launch.qdrant import wait_until
from tests.e2e.conftest import Launch
from tests.e2e.world import World

SEEN_S = 30.0


async def _resharded_meanwhile(world: World) -> str:
    """The backup that was asked for in the middle of a resharding, committed after its abort."""
    setup = world.setup
    async with setup.peers[0].client() as qdrant:
        await qdrant.resharding.start(COLLECTION, Direction.UP)
        asked = await setup.cleancut("backup", "create", "--no-wait")
        name: str = asked.value("backup")["id"]

        async def preparing() -> bool:
            shown = (await setup.cleancut("backup", "show", name)).value("backup")
            return bool(shown["state"] == "PREPARING")

        await wait_until(preparing, SEEN_S, "the backup prepares")
        assert (await qdrant.placement(COLLECTION)).resharding
        await qdrant.resharding.abort(COLLECTION)
    return name


def test_a_backup_waits_for_the_end_of_a_resharding(launch: Launch) -> None:
    world = launch(peers=2, coordinators=1)
    world.fill()
    name = world.run(_resharded_meanwhile(world))
    made = world.ok("backup", "backup", "watch", name)
    assert (made["state"], made["epoch"]) == ("COMMITTED", 1), "in its first attempt"
    held = {one["shard_id"] for one in made["evidence"]["shards"]}
    assert held == set(range(world.shape.shards))
