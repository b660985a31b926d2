"""Backups that start by themselves, through leaders that die, pauses and retention."""

from __future__ import annotations

import time
from typing import Any

import pytest

from cleancut.core.maintenance.schedule import ScheduleState
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.primitives.timestamps import format_time
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.etcd.client import open_etcd
from cleancut.ports.coordination import Put
from cleancut.runtime.clock import SystemClock
from cleancut_devcluster.demo.data import COLLECTION
from cleancut_devcluster.launch.process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

FILE = f"""
gc-every = 0
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
    """Two peers with small data and a backup, then an hour without a coordinator, as etcd says;
    then two of them with schedules."""
    one = launch(peers=2, coordinators=1)
    one.fill()
    one.back_up()
    config = one.setup.base_dir / "coordinator.toml"
    config.write_text(FILE)

    async def start() -> None:
        await one.setup.coordinators[0].child.stop()
        await hour_passed(one)
        await one.setup.start_coordinator(config=config)
        await one.setup.start_coordinator(config=config)
        await one.setup.wait_agents()

    one.run(start())
    return one


async def hour_passed(world: World) -> None:
    """Times of both schedules have passed, and nobody led."""
    seen = format_time(time.time() - 3600.0)
    keys = Keys(ClusterName(world.setup.cluster))
    async with open_etcd([world.setup.etcd_endpoint], clock=SystemClock()) as etcd:
        for name in ("minutely", "proof"):
            state = ScheduleState(timing="* * * * * UTC", seen=seen)
            await etcd.txn([], [Put(keys.schedule(name), encode(state))])


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
    """Returns once a drill went well; it is in the verification log."""

    async def look() -> bool | None:
        listed = (await world.setup.cleancut("schedule", "list")).value("schedules")
        outcomes = [one["last_outcome"] for one in listed if one["name"] == "proof"]
        return True if outcomes == ["good"] else None

    world.run(wait_for(look, "a drill", DUE_S, 1.0))
    log = world.store / "demo" / "verifications"
    assert any("-drill-good-" in path.name for path in log.rglob("*.json"))


def test_schedules_outlive_leaders_and_are_held_and_let_go_by_hand(world: World) -> None:
    """One backup and one drill for all that was missed; a pause that the next leader keeps to; one
    by hand; and retention that judges a schedule's backups by its own rules. A schedule that a call
    has defined is the next leader's too, and its backup stays when it is deleted."""
    (by_hand,) = (one["id"] for one in backups(world, ""))
    wait_committed(world, 1)
    wait_drilled(world)
    paused = world.ok("schedule", "schedule", "pause", "minutely")
    assert (paused["paused"], paused["next_at"]) == (True, None)
    made = wait_committed(world, 1)
    assert len({one["created_at"][:16] for one in made}) == len(made) <= 3
    assert made[0]["collections"] == [COLLECTION]

    words = ("--cron", "@yearly", "--collection", COLLECTION, "--keep-last", "1")
    own = world.ok("schedule", "schedule", "set", "own", *words)
    refused(world.cleancut("schedule", "set", "yearly", "--cron", "@daily"), 4, "settings file")
    leader = world.run(world.setup.leader())
    world.run(leader.child.kill())
    world.run(world.setup.wait_leader(other_than=leader.name))
    shown = schedules(world)
    assert shown["minutely"]["paused"]
    assert shown["yearly"]["next_at"].endswith("-01-01T02:00:00Z")
    yearly = world.ok("backup", "schedule", "trigger", "yearly")
    assert (yearly["state"], yearly["schedule"]) == ("COMMITTED", "yearly")
    offline = world.offline("backup", "show", str(yearly["epoch"])).value("backup")
    assert offline["schedule"] == "yearly"
    assert schedules(world)["yearly"]["last_id"] == yearly["id"]
    refused(world.cleancut("schedule", "trigger", "hourly"), 3, "hourly")
    assert (shown["own"]["origin"], shown["own"]["revision"]) == ("api", own["revision"])
    kept = world.ok("backup", "schedule", "trigger", "own")
    world.ok("schedule", "schedule", "delete", "own", "--yes")
    assert "own" not in schedules(world)

    last = world.ok("backup", "schedule", "trigger", "minutely")
    assert {one["id"] for one in backups(world, "minutely")} == {
        last["id"],
        *(one["id"] for one in made),
    }
    done = world.ok("gc", "backup", "gc", "--yes")
    assert {one["epoch"] for one in done["expired"]} == {one["epoch"] for one in made}
    assert set(world.groups()) == {by_hand, yearly["id"], kept["id"], last["id"]}
