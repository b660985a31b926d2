"""`cleancut undelete` on running peers: counted, put back, cancelled and gone on with."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import AsyncQdrantClient, models

from cleancut.core.cluster.collection_config import creation
from cleancut_devcluster.launch.qdrant import wait_until
from tests.e2e.conftest import Launch
from tests.e2e.reshard.arena import DOCS, Arena, open_arena
from tests.e2e.world import refused
from tests.support.versioned_writers import DIMS

POINTS = 1200
GONE = tuple(range(100, 1000))
MINE = 500
BACK_S = 60.0
VERB = ("1", "-c", DOCS)
SLOW = ("--yes", "--rate", "50", "--no-wait")


def damaged(launch: Launch, coordinators: int = 1) -> Arena:
    """Most of the points are deleted; a client writes one of them, and changes another."""
    arena = open_arena(launch, points=POINTS, shards=2, replicas=1, coordinators=coordinators)
    arena.world.back_up()

    async def damage() -> None:
        client = AsyncQdrantClient(url=arena.url, timeout=60, check_compatibility=False)
        await client.delete(DOCS, models.PointIdsList(points=list(GONE)), wait=True)
        mine = [
            models.PointStruct(id=one, vector=[9.0] * DIMS, payload={"mine": True})
            for one in (MINE, 7)
        ]
        await client.upsert(DOCS, mine, wait=True)
        await client.close()

    arena.world.run(damage())
    return arena


def live(arena: Arena) -> dict[Any, Any]:
    """Every point's payload."""

    async def read() -> list[Any]:
        async with arena.world.setup.peers[0].client() as peer:
            return await peer.points.retrieve(DOCS, list(range(POINTS)), whole=True)

    return {one["id"]: one["payload"] for one in arena.world.run(read())}


async def make_again(arena: Arena) -> None:
    """The collection of that name is another one."""
    async with arena.world.setup.peers[0].client() as peer:
        info = await peer.collection(DOCS)
        await peer.delete_collection(DOCS)
        await peer.create_collection(DOCS, creation(info))


def begin(arena: Arena) -> str:
    """An undelete that has put some points back, and takes its time for the others."""
    begun = arena.world.ok("undelete", "undelete", "start", *VERB, *SLOW)

    async def some() -> bool:
        shown = await arena.world.setup.cleancut("undelete", "show", begun["id"])
        return bool(shown.value("undelete")["restored"])

    arena.world.run(wait_until(some, BACK_S, "some points back"))
    return str(begun["id"])


def test_what_is_missing_is_put_back_and_nothing_is_replaced(launch: Launch) -> None:
    """Cancelled between two batches, it says how many are back; the next one puts the others back;
    and what a client has written stays, until --overwrite."""
    arena = damaged(launch)
    world = arena.world
    plan = world.ok("undelete", "undelete", "plan", *VERB)
    assert (plan["state"], plan["selected"], plan["missing"]) == ("DONE", POINTS, len(GONE) - 1)
    assert (plan["restored"], plan["count_only"]) == (0, True)
    refused(world.cleancut("undelete", "start", *VERB, "--into", "no", "--yes"), 3, "no live")
    ended = world.ok("undelete", "undelete", "cancel", begin(arena), "--yes")
    back = len(live(arena)) - (POINTS - len(GONE) + 1)
    assert (ended["state"], ended["restored"]) == ("CANCELED", back)
    assert f"{back} points are back" in ended["error"]["message"]
    done = world.ok("undelete", "undelete", "start", *VERB, "--yes")
    assert (done["state"], done["restored"]) == ("DONE", len(GONE) - 1 - back)
    points = live(arena)
    assert len(points) == POINTS
    assert {one for one in points if points[one] != {"n": one}} == {MINE, 7}
    over = world.ok("undelete", "undelete", "start", *VERB, "--yes", "--overwrite")
    assert (over["missing"], over["differing"], over["restored"]) == (0, 2, 2)
    assert live(arena) == {one: {"n": one} for one in range(POINTS)}
    listed = world.ok("undeletes", "undelete", "list")
    assert [one["state"] for one in listed] == ["DONE", "DONE", "CANCELED", "DONE"]


def test_points_in_a_collection_that_was_replaced_are_not_said_to_be_back(launch: Launch) -> None:
    """What was put into the one before is gone with it."""
    arena = damaged(launch)
    begun = begin(arena)
    arena.world.run(make_again(arena))
    watched = arena.world.cleancut("undelete", "watch", begun)
    assert watched.exit_code != 0
    ended = arena.world.ok("undelete", "undelete", "show", begun)
    assert (ended["state"], ended["error"]["reason"]) == ("FAILED", "REFUSED")
    assert f"'{DOCS}' was replaced while points" in ended["error"]["message"]


@pytest.mark.chaos
@pytest.mark.parametrize("victim", ["leader", "agents"])
def test_it_goes_on_after_a_kill_and_counts_each_point_once(launch: Launch, victim: str) -> None:
    arena = damaged(launch, coordinators=2)
    setup = arena.world.setup
    name = begin(arena)

    async def strike() -> Any:
        if victim == "leader":
            leader = await setup.leader()
            await leader.child.kill()
            await setup.wait_leader(other_than=leader.name)
            await leader.child.start_again()
        else:
            for agent in setup.agents:
                await agent.kill()
                await agent.start_again()
        return (await setup.cleancut("undelete", "watch", name)).value("undelete")

    ended = arena.world.run(strike())
    assert (ended["state"], ended["error"]) == ("DONE", None)
    assert (ended["selected"], ended["missing"]) == (POINTS, len(GONE) - 1)
    assert ended["restored"] == len(GONE) - 1
    points = live(arena)
    assert len(points) == POINTS
    assert {one for one in points if points[one] != {"n": one}} == {MINE, 7}
