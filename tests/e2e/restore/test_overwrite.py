"""A real collection is overwritten: not under writers, and then whatever becomes of the leader."""

from __future__ import annotations

import asyncio
from typing import Any

from cleancut_devcluster.demo.data import Data
from cleancut_devcluster.demo.writers import writing
from tests.e2e.conftest import Launch
from tests.e2e.restore.test_restore import verdict
from tests.e2e.world import World, refused

NAME = "articles"
OVERWRITE = ("--overwrite", "--collection", NAME)


def test_an_overwrite_is_undone_by_writes_and_survives_its_leader(launch: Launch) -> None:
    """Clients that write until the switch undo it, and none of their points is lost. Without them
    the backup has the name, whatever becomes of the leader, and the old data is a held backup. A
    schedule that names the collection goes on with what is behind the alias by then."""
    world = launch(peers=2, coordinators=0)
    scheduled(world)
    world.fill()
    made, kept = world.back_up(), world.answers()
    world.change(0.5)
    start = ("restore", "start", made["id"], *OVERWRITE, "--yes")
    refused(world.cleancut(*start), 4, "--confirm articles")
    refused(world.cleancut(*start, "--confirm", "article"), 4, "not 'article'")
    assert world.ok("plan", "restore", "plan", made["id"], *OVERWRITE)["blockers"] == []

    acknowledged = world.run(start_under_writes(world, start))
    assert world.collections() == [NAME]
    assert world.run(missing(world, acknowledged)) == []

    old = world.answers()
    done = world.run(overwrite_without_leader(world, start))
    assert world.collections() == [f"{NAME}@{done['id']}"]
    assert contents(verdict(world, kept)) == []
    overwritten = done["overwritten"]
    backup = world.ok("backup", "backup", "show", overwritten["backup_id"])
    assert backup["holds"] == [f"overwrite-{done['id']}"]
    assert backup["evidence"]["consistency"] == "point-in-time"
    finished = world.ok("restore", "restore", "finish", done["id"], "--yes")
    assert finished["overwritten"].get("held_until") is None
    kept_by_its_alias(world, f"{NAME}@{done['id']}")

    world.ok("restore", "restore", "start", overwritten["backup_id"], "--replace", "--yes")
    assert contents(verdict(world, old)) == []


def scheduled(world: World) -> None:
    """Two coordinators with a schedule of the collection."""
    config = world.setup.base_dir / "coordinator.toml"
    config.write_text(f'[schedule.yearly]\ncron = "0 3 1 1 *"\ncollections = ["{NAME}"]\n')
    for _ in range(2):
        world.run(world.setup.start_coordinator(config=config))
    world.run(world.setup.wait_agents())


def kept_by_its_alias(world: World, behind: str) -> None:
    """What is `behind` the alias is backed up, protected and found by the alias' name."""
    assert "no backup holds" in world.ok("status", "status")["protection"]["reason"]
    dry = world.ok("plan", "backup", "create", "--dry-run", "--collection", NAME)
    assert (dry["collections"], dry["blockers"]) == ([behind], [])
    made = world.ok("backup", "schedule", "trigger", "yearly")
    assert (made["state"], made["collections"]) == ("COMMITTED", [behind])
    assert made["aliases"][NAME] == behind
    protection = world.ok("status", "status")["protection"]
    (judged,) = protection["collections"]
    assert (judged["name"], judged["protected"], judged["schedule"]) == (behind, True, "yearly")
    check = ("backup", "check", "--max-age", "1h", "--collection", NAME)
    assert world.cleancut(*check).exit_code == 0
    plan = world.ok("plan", "restore", "plan", made["id"], "--replace", "--collection", NAME)
    (planned,) = plan["collections"]
    assert (planned["name"], plan["blockers"]) == (behind, [])
    refused(world.cleancut("backup", "create", "-c", NAME, "--exclude", behind), 2, "excluded")


def contents(verdict: list[str]) -> list[str]:
    """Differences of anything but aliases: the name is one by now."""
    return [one for one in verdict if not one.startswith("aliases: ")]


async def start_under_writes(world: World, start: tuple[str, ...]) -> list[int]:
    """The points that a client was told of while a restore was refused, or undone, for it."""
    async with Data(world.setup.peers[0].url, world.shape) as data:
        async with writing(data, 1) as (chain,):
            answer = await world.setup.cleancut(*start, "--confirm", NAME)
        assert answer.exit_code in {1, 4}, (answer.exit_code, answer.err)
        assert "since" in answer.err or "point-in-time" in answer.err, answer.err
        return [chain.point(step) for step in range(len(chain.acknowledged_s))]


async def missing(world: World, points: list[int]) -> list[int]:
    """Those of `points` that the collection does not hold."""
    async with Data(world.setup.peers[1].url, world.shape) as data:
        found = await data.client.retrieve(NAME, points, with_payload=False)
        return sorted(set(points) - {int(one.id) for one in found})


async def overwrite_without_leader(world: World, start: tuple[str, ...]) -> Any:
    """The restore that is done, although its leader died once the collection was gone."""
    leader = await world.setup.leader()
    async with world.setup.peers[0].client() as qdrant, asyncio.TaskGroup() as group:
        started = group.create_task(world.setup.cleancut(*start, "--confirm", NAME))
        while NAME in await qdrant.collections():  # so that the alias is still to be made
            assert not started.done(), started.result().err
        await leader.child.kill()
        return (await started).value("restore")
