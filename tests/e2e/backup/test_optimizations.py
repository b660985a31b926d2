"""A backup while Qdrant optimizes a shard: the cut waits for the end of it, or the log of the shard
holds what the snapshot lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cleancut_devcluster.demo.data import COLLECTION, Data, Shape
from cleancut_devcluster.demo.writers import wait_written, writing
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.setup import Secured, Setup
from tests.e2e.conftest import Launch
from tests.e2e.world import World

RESTORED = "restored"
AS_RESTORED = ("--rename", f"{COLLECTION}={RESTORED}")


@pytest.fixture
def world(launch: Launch) -> World:
    one = launch(peers=1, coordinators=1)
    one.shape = Shape(points=400, dims=16, shards=2)
    one.fill()
    return one


def optimizing(world: World) -> Path:
    """While this file is there, shard 0 is optimized."""
    if world.setup.peers[0].plan.kind == "real":
        pytest.skip("only the stand-in's optimizations last as long as a test wants")
    peer = world.setup.peers[0]

    async def uuid() -> str:
        async with peer.client() as qdrant:
            return (await qdrant.telemetry()).collections[COLLECTION].uuid or ""

    mark = peer.directory / "collections" / world.run(uuid()) / "0" / "optimizing"
    mark.touch()
    return mark


def test_with_logs_nothing_is_waited_for(world: World) -> None:
    mark = optimizing(world)
    made = world.ok("backup", "backup", "create", "--require", "point-in-time", "--attempts", "1")
    assert mark.exists()
    assert made["evidence"]["consistency"] == "point-in-time"
    reads = world.run(world.setup.status())["agents"]
    assert [one["snapshots_only"] for one in reads] == [""]


def test_deletes_stay_deleted_without_a_standstill(launch: Launch) -> None:
    """Writes never pause, and the snapshots lack what was deleted since the optimization began."""
    never = Secured(coordinator=("--standstill-bound", "0.1"))
    world = launch(peers=1, coordinators=1, secured=never)
    world.shape = Shape(points=400, dims=16, shards=2)
    world.fill()
    optimizing(world)
    made, deleted = world.run(_under_writes(world))
    assert all("rolled_to" in one for one in made["evidence"]["shards"])
    (world.cleancut("restore", "start", made["id"], *AS_RESTORED, "--yes")).check()
    assert world.run(_steps(world)) & deleted == set()


async def _under_writes(world: World) -> tuple[Any, set[int]]:
    """A backup, and the steps of one writer that were deleted before it began."""
    async with (
        Data(world.setup.peers[0].url, world.shape) as data,
        writing(data, 3, keep=3) as chains,
    ):
        await wait_written(chains, 12)
        deleted = set(range(min(len(one.acknowledged_s) for one in chains) - 5))
        made = await world.setup.cleancut("backup", "create")
    return made.value("backup"), deleted


async def _steps(world: World) -> set[int]:
    async with Data(world.setup.peers[0].url, world.shape, collection=RESTORED) as data:
        found = await data.steps()
    return {step for steps in found.values() for step in steps}


def test_without_logs_the_cut_waits_for_an_optimization(world: World) -> None:
    """Its progress says so; then the backup is proven."""
    mark = optimizing(world)
    world.run(_without_logs(world.setup))
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


async def _without_logs(setup: Setup) -> None:
    """The agent ends, and another one that does not see its peer's storage takes its place."""
    await setup.agents[0].stop()
    setup.agents[0] = await setup.start_agent(setup.peers[0].url, sees_storage=False)
    setup.agents.pop()

    async def there() -> bool | None:
        agents = (await setup.status())["agents"]
        closed = ["--qdrant-storage" in (one["snapshots_only"] or "") for one in agents]
        return True if closed == [True] else None

    await wait_for(there, "an agent without logs is there", 60.0, 0.2)
