"""What a restore's plan says of a live cluster, and that it binds who agreed to it."""

from __future__ import annotations

from qdrant_client import AsyncQdrantClient, models

from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused


def test_a_plan_binds_and_learns_from_what_was_restored(launch: Launch) -> None:
    """A restore whose plan has changed is refused; the plan that is looked at and carried out is
    the same one; the next plan knows how fast it was."""
    world = launch(peers=1, coordinators=1)
    world.fill()
    made = world.back_up()
    taken = world.cleancut("restore", "plan", made["id"])
    refused(taken, 4, "articles", "exist")

    beside = world.ok("plan", "restore", "plan", made["id"], "--beside", *renamed("copy"))
    (planned,) = beside["collections"]
    assert (planned["action"], planned["published_as"]) == ("beside", "copy")
    assert (planned["created_as"], planned["exists"]) == ("copy@ID", "")
    assert beside["size_bytes"] == planned["size_bytes"] > 0
    assert beside["estimated_s"] is None
    assert beside["peers"][0]["free_bytes"] % 2**28 == 0

    agreed = ("--plan-digest", beside["digest"], "--beside", *renamed("copy"), "--yes")
    world.run(make(world, "copy"))
    start = ("restore", "start", made["id"], *agreed)
    refused(world.cleancut(*start), 4, "does not hold any more")
    world.run(drop(world, "copy"))
    assert world.ok("restore", *start)["state"] == "DONE"

    measured = world.ok("plan", "restore", "plan", made["id"], *renamed("other"))
    estimate = measured["estimate"]
    assert 0 < estimate["least_s"] <= measured["estimated_s"] <= estimate["most_s"]
    assert estimate["restores"] == 1
    assert measured["digest"] != beside["digest"]


def renamed(name: str) -> tuple[str, str]:
    return "--rename", f"articles={name}"


def client(world: World) -> AsyncQdrantClient:
    return AsyncQdrantClient(world.setup.peers[0].url, check_compatibility=False, timeout=30)


async def make(world: World, name: str) -> None:
    qdrant = client(world)
    vectors = models.VectorParams(size=4, distance=models.Distance.DOT)
    await qdrant.create_collection(name, vectors_config=vectors)
    await qdrant.close()


async def drop(world: World, name: str) -> None:
    qdrant = client(world)
    await qdrant.delete_collection(name)
    await qdrant.close()
