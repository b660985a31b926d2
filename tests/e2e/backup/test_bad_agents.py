"""A wrong surrounding of one agent: the backup says what and what to do, and leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cleancut_devcluster.launch.cli import Answer
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused
from tests.support.qdrant_proxy import meddle

ONCE = ("backup", "create", "--attempts", "1")


@pytest.fixture(scope="module")
def lone(launch_module: Launch) -> World:
    """One peer, whose agent the tests change."""
    world = launch_module(peers=1, coordinators=1)
    world.fill()
    return world


def back_up_by(
    world: World, *, version: str | None = None, keep_bytes: int | None = None, store: str = ""
) -> Answer:
    """What a backup says while the only agent is another one; the usual one is back after it."""

    async def body() -> Answer:
        setup = world.setup
        for agent in setup.agents:
            await agent.stop()
        url = setup.peers[0].url
        async with meddle(url, version=version, keep_bytes=keep_bytes) as meddler:
            other = await setup.start_agent(meddler, store or None)
            await setup.wait_agents()
            answer = await setup.cleancut(*ONCE)
            await other.stop()
        await setup.start_agent(url)
        await setup.wait_agents()
        return answer

    return world.run(body())


def nothing_left(world: World) -> None:
    """No group, nothing that holds the turn, and the next backup works."""
    assert world.groups() == []
    assert world.ok("status", "status")["open_operation"] is None


def test_a_qdrant_that_is_too_old_is_refused(lone: World) -> None:
    """With the version it has and the one it needs."""
    refused(back_up_by(lone, version="1.16.3"), 4, "1.16.3", "1.17.1")
    nothing_left(lone)


def test_a_stream_that_ends_early_is_no_backup(lone: World) -> None:
    """Qdrant ends a broken stream as a clean one: the tar itself must be whole."""
    refused(back_up_by(lone, keep_bytes=200_000), 9, "ended early")
    nothing_left(lone)


def test_an_agent_with_another_disk_is_found(lone: World, tmp_path: Path) -> None:
    """A file store that is not the coordinator's: a backup there would be lost."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    answer = back_up_by(lone, store=f"file://{elsewhere}")
    refused(answer, 4, "store", "agent-")
    nothing_left(lone)
    assert not list(elsewhere.rglob("packs/*")), "an agent wrote packs where nobody looks"


def test_an_agent_whose_store_cannot_be_used_says_so(lone: World) -> None:
    """As when its disk is not mounted."""
    refused(back_up_by(lone, store="file:///dev/null/store"), 4, "mounted", "agent-")
    nothing_left(lone)


def test_a_whole_agent_makes_a_backup_after_all_that(lone: World) -> None:
    """Order: after the others of this file, whose failures must not stand in the way."""
    assert lone.back_up()["state"] == "COMMITTED"


def test_a_peer_without_agent_is_named(launch: Launch) -> None:
    """A shard that nobody can cut: refused before anything is captured."""
    world = launch(peers=2, coordinators=1)
    world.fill()

    async def lose_one() -> None:
        await world.setup.agents[1].stop()
        await world.setup.wait_agents()

    world.run(lose_one())
    status = world.ok("status", "status")
    assert any("has no agent" in warning for warning in status["warnings"])
    refused(world.cleancut(*ONCE), 4, "no agent can cut shard", "start them")
    assert world.groups() == []
