"""A reshard that is cancelled, or whose leader, agent or peer is killed, in each of its phases."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut.core.protocol.states import State
from cleancut_devcluster.launch.setup import Coordinator
from tests.e2e.conftest import Launch
from tests.e2e.reshard.arena import DOCS, Arena, open_arena
from tests.support.versioned_writers import versioned_writers

pytestmark = pytest.mark.chaos
PHASES = (State.MOVING, State.VERIFYING, State.COMMITTING, State.CLEANING)
VICTIMS = ("leader", "agent", "peer")
BACK_S = 150.0
"""Until a killed peer has caught up, and says that it is ready."""


async def strike(arena: Arena, victim: str, leader: Coordinator) -> None:
    """Killed; back once another leads, or at once."""
    setup = arena.world.setup
    if victim == "leader":
        await leader.child.kill()
        await setup.wait_leader(other_than=leader.name)
        await leader.child.start_again()
    elif victim == "agent":
        await setup.agents[1].kill()
        await setup.agents[1].start_again()
    else:
        await setup.peers[1].kill()
        await setup.peers[1].start(BACK_S)


@pytest.mark.parametrize("shards", [3, 1], ids=["up", "down"])
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("victim", VICTIMS)
def test_nothing_is_lost_whoever_is_killed(
    launch: Launch, victim: str, phase: State, shards: int
) -> None:
    """It ends in DONE, or in FAILED with a whole collection; every acknowledged point is there."""
    arena = open_arena(launch, points=4000, shards=2, replicas=2)

    async def body() -> tuple[Any, list[str]]:
        async with versioned_writers(arena.url, DOCS, 2) as arena.writers:
            leader = await arena.world.setup.leader()
            begun = await arena.begin(shards, phase)
            await strike(arena, victim, leader)
            ended = await arena.ended(begun.id)
        return ended, await arena.wrong(ended["shards"])

    ended, wrong = arena.world.run(body())
    assert wrong == []
    assert ended["state"] == "DONE", ended["error"]


@pytest.mark.parametrize(
    ("phase", "reached"), [(State.MOVING, 2), (State.VERIFYING, 2), (State.COMMITTING, 3)]
)
def test_a_cancel_leaves_a_whole_collection(launch: Launch, phase: State, reached: int) -> None:
    """Before the commit the step is aborted, after it finished; the state says the number."""
    arena = open_arena(launch, points=3000, shards=2, replicas=2)

    async def body() -> tuple[Any, list[str]]:
        async with versioned_writers(arena.url, DOCS, 2) as arena.writers:
            begun = await arena.begin(5, phase)
            async with arena.client() as client:
                await client.cancel_reshard(begun.id)
            ended = await arena.ended(begun.id)
        return ended, await arena.wrong(ended["shards"])

    ended, wrong = arena.world.run(body())
    assert wrong == []
    assert ended["state"] == "CANCELED"
    assert ended["shards"] == reached
    assert f"has {ended['shards']} shards" in ended["error"]["message"]


def test_a_backup_is_made_between_two_steps(launch: Launch) -> None:
    """It waits for the end of the step under way, and the next one for the backup."""
    arena = open_arena(launch, points=600, shards=1, replicas=2)

    async def body() -> tuple[Any, Any, Any]:
        begun = await arena.begin(3, State.MOVING)
        made = (await arena.world.setup.cleancut("backup", "create")).value("backup")
        async with arena.client() as client:
            meanwhile = await client.get_reshard(begun.id)
        return made, meanwhile, await arena.ended(begun.id)

    made, meanwhile, ended = arena.world.run(body())
    assert made["state"] == "COMMITTED"
    assert meanwhile.shards == 2
    assert ended["state"] == "DONE"
    assert ended["shards"] == 3
