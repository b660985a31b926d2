"""Peers that hang or are dead: nothing is given up that lives, and the rest is backed up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cleancut_devcluster.launch.process import wait_for
from tests.adversity.points import create, upsert
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

HELD = 200
FOUND_S = 90.0


async def _finding(world: World, kind: str) -> Any:
    """The first finding of this kind; None if there is none (yet)."""
    answer = await world.setup.cleancut("doctor")
    found = json.loads(answer.out)["findings"] if answer.out else []
    return next((one for one in found if one["kind"] == kind), None)


async def _fill(world: World, name: str, *, shards: int, replicas: int) -> None:
    url = world.setup.peers[0].url
    await create(url, name, shards, replicas)
    await upsert(url, name, range(HELD))


@pytest.mark.adversity("doctor with a frozen peer")
def test_a_frozen_peer_is_not_given_up(launch: Launch) -> None:
    """The first advice loses nothing; the last resort is refused while the process is there; once
    it goes on everything is whole."""
    world = launch(peers=3, coordinators=1)
    world.fill()
    kept, peer = world.answers(), world.setup.peers[1]

    async def identify() -> int:
        async with peer.client() as qdrant:
            return (await qdrant.cluster()).peer_id

    frozen = world.run(identify())
    peer.freeze()
    try:
        found = world.run(
            wait_for(lambda: _finding(world, "silent_peer"), "the finding", FOUND_S, 0.5)
        )
        safe = [fix["command"] for fix in found["fixes"] if fix["effect"] == "safe"]
        assert found["fixes"][0]["effect"] == "safe", found
        assert not any("forget-peer" in command for command in safe)
        forced = ("cluster", "forget-peer", str(frozen), "--force", "--yes")
        refused(world.cleancut(*forced), 4, str(frozen))
    finally:
        peer.thaw()
    world.run(world.setup.wait_agents())
    assert world.answers() == kept
    assert world.run(_finding(world, "fallen_out")) is None
    assert world.back_up()["evidence"]["consistency"] == "point-in-time"


@pytest.mark.adversity("a dead node and a collection with one replica")
def test_a_dead_node_stops_no_healthy_collection(launch: Launch) -> None:
    """What lost its only replica is named with the way out; the rest is backed up."""
    world = launch(peers=3, coordinators=1)
    world.run(_fill(world, "logs", shards=3, replicas=1))
    world.run(_fill(world, "orders", shards=2, replicas=3))

    async def kill() -> None:
        await world.setup.agents[2].kill()
        await world.setup.peers[2].kill()
        await world.setup.wait_agents()

    world.run(kill())
    whole = world.cleancut("backup", "create")
    refused(whole, 4, "logs", "--exclude")
    assert "orders" not in whole.err
    orders = world.back_up("--collection", "orders", "--attempts", "5")
    assert orders["state"] == "COMMITTED"
    others = world.back_up("--exclude", "logs", "--attempts", "5")
    assert others["state"] == "COMMITTED"
    partial = world.back_up("--allow-missing", "--attempts", "5")
    assert [one["name"] for one in partial["missing"]] == ["logs"]
    world.offline("backup", "verify", partial["id"]).check()
