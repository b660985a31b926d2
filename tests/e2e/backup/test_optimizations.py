"""A backup while Qdrant optimizes a shard: the cut waits for the end of it."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut_devcluster.demo.data import COLLECTION, Shape
from cleancut_devcluster.launch.process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World


@pytest.fixture
def world(launch: Launch) -> World:
    one = launch(peers=1, coordinators=1)
    one.shape = Shape(points=400, dims=16, shards=2)
    one.fill()
    return one


def test_the_cut_waits_for_an_optimization(world: World) -> None:
    """Its progress says so; then the backup is proven."""
    if world.setup.peers[0].plan.kind == "real":
        pytest.skip("only the stand-in's optimizations last as long as a test wants")
    peer = world.setup.peers[0]

    async def uuid() -> str:
        async with peer.client() as qdrant:
            return (await qdrant.telemetry()).collections[COLLECTION].uuid or ""

    mark = peer.directory / "collections" / world.run(uuid()) / "0" / "optimizing"
    mark.touch()
    required = ("--require", "point-in-time", "--attempts", "1")
    started = world.ok("backup", "backup", "create", "--no-wait", *required)

    async def waits() -> Any:
        backup = (await world.setup.cleancut("backup", "show", started["id"])).value("backup")
        return backup["progress"]

    (told,) = world.run(wait_for(waits, "the backup waits", 30.0, 0.2))
    assert told["phase"] == "PREPARE (optimizing: 1)"
    assert world.ok("backup", "backup", "show", started["id"])["state"] == "PREPARING"
    mark.unlink()
    done = world.ok("backup", "backup", "watch", started["id"])
    assert done["state"] == "COMMITTED"
    assert done["evidence"]["consistency"] == "point-in-time"
