"""Peers are lost for good: the doctor finds what that broke, and what it prints repairs it."""

from __future__ import annotations

import json
import shlex
from typing import Any

from cleancut_devcluster.demo.comparison import Answers, compare
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused


def findings(world: World) -> list[dict[str, Any]]:
    """What the doctor tells of the cluster, without what it says of the backups; its exit code says
    whether there is an error among all."""
    answer = world.cleancut("doctor")
    assert answer.exit_code in (0, 1), answer.err
    found: list[dict[str, Any]] = json.loads(answer.out)["findings"]
    errors = [one for one in found if one["severity"] == "error"]
    assert answer.exit_code == (1 if errors else 0)
    return [one for one in found if one["severity"] != "info" and one["kind"] != "backup_failed"]


def kinds(world: World) -> list[str]:
    return sorted(one["kind"] for one in findings(world))


def paste(world: World, fix: str) -> Any:
    """Runs the very command that was printed; without a terminal nobody can be asked."""
    program, *arguments = shlex.split(fix)
    assert program == "cleancut", fix
    return world.cleancut(*arguments, "--yes")


def forget_of(world: World, kind: str) -> str:
    """The command that gives a peer up: the last resort of a finding of this kind."""
    fixes = [one["fixes"] for one in findings(world) if one["kind"] == kind]
    assert fixes, f"no {kind} was found"
    assert (fixes[0][0]["effect"], fixes[0][-1]["effect"]) == ("safe", "loses-data")
    return str(fixes[0][-1]["command"])


def repair(world: World) -> None:
    """Every lost shard is put back by the command that the doctor prints for it."""
    refused(world.cleancut("backup", "create"), 4, "lost every replica", "cleancut doctor")
    lost = [one["fixes"] for one in findings(world) if one["kind"] == "lost_shard"]
    fixes = [one[0]["command"] for one in lost]
    assert fixes
    for fix in fixes:
        restored = paste(world, fix).value("restore")
        assert restored["state"] == "DONE"
        assert [one["counts_equal"] for one in restored["collections"]] == [True]


def equal(world: World, kept: Answers) -> None:
    assert [one.what for one in compare(kept, world.answers()) if not one.equal] == []


def test_a_peer_that_is_gone_for_good(launch: Launch) -> None:
    """It is found, forgotten only by force, and what it alone held comes back from the group."""
    world = launch(peers=3, coordinators=1)
    world.fill()
    world.back_up()
    kept = world.answers()
    assert findings(world) == []
    peer = world.run(peer_id(world, 1))
    refused(world.cleancut("cluster", "forget-peer", str(peer), "--yes"), 4, "lives", "agent-2")
    refused(world.cleancut("cluster", "forget-peer", "1", "--yes"), 3, "no peer 1")
    world.run(lose(world, 1))
    assert "silent_peer" in kinds(world)
    fix = forget_of(world, "silent_peer")
    assert fix == f"cleancut cluster forget-peer {peer} --force"
    refused(paste(world, fix.removesuffix(" --force")), 4, "for good", "--force")
    refused(paste(world, fix), 4, f"--confirm {peer}")
    gone = paste(world, f"{fix} --confirm {peer}").value("peer")
    assert gone["forgotten"]
    assert gone["losses"][0]["lost_shards"]
    assert [one["kind"] for one in gone["findings"]] == ["lost_shard"]
    assert kinds(world) == ["lost_shard"]
    repair(world)
    equal(world, kept)
    assert findings(world) == []
    assert world.back_up()["evidence"]["consistency"] == "point-in-time"


def test_a_first_peer_that_lost_its_disk(launch: Launch) -> None:
    """Started anew it is a cluster of its own, which is found; forgotten and bootstrapped it joins
    the others, and gets its shards back."""
    world = launch(peers=3, coordinators=1)
    world.fill()
    world.back_up()
    kept = world.answers()
    old = world.run(peer_id(world, 0))
    world.run(restart_empty(world, bootstrap=None))
    fix = forget_of(world, "fallen_out")
    assert fix == f"cleancut cluster forget-peer {old} --force"
    assert world.cleancut("backup", "create", "--attempts", "1").exit_code != 0
    world.run(stop(world, 0))
    assert paste(world, f"{fix} --confirm {old}").value("peer")["forgotten"]
    world.run(restart_empty(world, bootstrap=world.setup.peers[1].uri))
    assert kinds(world) == ["lost_shard"]
    repair(world)
    equal(world, kept)
    assert findings(world) == []


async def peer_id(world: World, index: int) -> int:
    async with world.setup.peers[index].client() as qdrant:
        return (await qdrant.cluster()).peer_id


async def stop(world: World, index: int) -> None:
    """The peer and its agent are stopped."""
    await world.setup.peers[index].kill()
    await world.setup.agents[index].stop()
    await world.setup.wait_agents()


async def lose(world: World, index: int) -> None:
    """The peer and its agent are killed; its disk is gone."""
    await world.setup.peers[index].kill()
    await world.setup.agents[index].kill()
    world.setup.peers[index].wipe()
    await world.setup.wait_agents()


async def restart_empty(world: World, *, bootstrap: str | None) -> None:
    """The first peer is there again without its disk, with a new agent."""
    setup, first = world.setup, world.setup.peers[0]
    await first.kill()
    await setup.agents[0].stop()
    first.wipe()
    first.bootstrap = bootstrap
    await first.start()
    setup.agents[0] = await setup.start_agent(first.url)
    setup.agents.pop()
    await setup.wait_agents()
