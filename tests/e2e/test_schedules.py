"""Backups that start by themselves, through leaders that die, pauses and retention."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cleancut.times import parse_time
from devcluster.demo_data import COLLECTION
from devcluster.setup_process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

FILE = f"""
sweep-every = 0
garbage-grace = 0

[schedule.minutely]
cron = "* * * * *"
collections = ["{COLLECTION}"]

[schedule.minutely.retention]
keep-last = 1

[schedule.yearly]
cron = "0 3 1 1 *"
time-zone = "Europe/Berlin"
attempts = 2

[schedule.proof]
do = "drill"
cron = "* * * * *"
shards = 2
"""
DUE_S = 100.0
"""A minute, a leader's lease, and a backup."""


@pytest.fixture
def world(launch: Launch) -> World:
    """Two peers with small data, and two coordinators with schedules."""
    one = launch(peers=2, coordinators=0)
    config = one.setup.base_dir / "coordinator.toml"
    config.write_text(FILE)

    async def start() -> None:
        await one.setup.start_coordinator(config=config)
        await one.setup.start_coordinator(config=config)
        await one.setup.wait_agents()

    one.run(start())
    one.fill()
    return one


def schedules(world: World) -> dict[str, Any]:
    return {one["name"]: one for one in world.ok("schedules", "schedule", "list")}


def backups(world: World, schedule: str) -> list[Any]:
    """Those of one schedule, newest first."""
    found = world.ok("backups", "backup", "list")
    return [one for one in found if one["schedule"] == schedule]


def wait_committed(world: World, number: int) -> list[Any]:
    """The backups of `minutely`, once so many are there at least, and all are committed."""

    async def look() -> list[Any] | None:
        listed = (await world.setup.cleancut("backup", "list")).value("backups")
        mine = [one for one in listed if one["schedule"] == "minutely"]
        over = all(one["state"] == "COMMITTED" for one in mine)
        return mine if over and len(mine) >= number else None

    found: list[Any] = world.run(wait_for(look, f"{number} scheduled backups", DUE_S, 1.0))
    return found


def wait_drilled(world: World) -> None:
    """Returns once a drill went well; it is in the ledger."""

    async def look() -> bool | None:
        listed = (await world.setup.cleancut("schedule", "list")).value("schedules")
        outcomes = [one["last_outcome"] for one in listed if one["name"] == "proof"]
        return True if outcomes == ["good"] else None

    world.run(wait_for(look, "a drill", DUE_S, 1.0))
    ledger = world.store / "demo" / "ledger"
    assert any("-drill-good-" in path.name for path in ledger.rglob("*.json"))


def test_schedules_outlive_leaders_and_are_held_and_let_go_by_hand(world: World) -> None:
    shown = schedules(world)
    assert shown["yearly"]["next_at"].endswith("-01-01T02:00:00Z")
    assert 0 < parse_time(shown["minutely"]["next_at"]) - time.time() + 1 <= 61

    world.ok("schedule", "schedule", "pause", "minutely")
    assert schedules(world)["minutely"]["next_at"] is None
    yearly = world.ok("backup", "schedule", "trigger", "yearly")
    assert (yearly["state"], yearly["schedule"]) == ("COMMITTED", "yearly")
    offline = world.offline("backup", "show", str(yearly["epoch"])).value("backup")
    assert offline["schedule"] == "yearly"
    assert schedules(world)["yearly"]["last_id"] == yearly["id"]
    refused(world.cleancut("schedule", "trigger", "hourly"), 3, "hourly")

    leader = world.run(world.setup.leader())
    world.run(leader.child.kill())
    world.run(world.setup.wait_leader(other_than=leader.name))
    earlier = {one["id"] for one in backups(world, "minutely")}
    assert schedules(world)["minutely"]["paused"]
    world.ok("schedule", "schedule", "resume", "minutely")
    wait_committed(world, len(earlier) + 1)
    wait_drilled(world)
    world.ok("schedule", "schedule", "pause", "minutely")
    made = wait_committed(world, len(earlier) + 1)
    minutes = [one["created_at"][:16] for one in made]
    assert len(set(minutes)) == len(minutes)
    assert made[0]["collections"] == [COLLECTION]

    last = world.ok("backup", "schedule", "trigger", "minutely")
    swept = world.ok("sweep", "backup", "sweep", "--yes")
    expired = {one["epoch"] for one in swept["expired"]}
    assert expired == {one["epoch"] for one in made}
    assert set(world.groups()) == {yearly["id"], last["id"]}
