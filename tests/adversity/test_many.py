"""Very many collections on one peer: a backup of all of them, and a restore onto fewer peers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cleancut.runtime.concurrency import run_all
from cleancut_devcluster.demo.phase_times import read_phases
from tests.adversity.points import count, create, upsert
from tests.e2e.conftest import Launch
from tests.e2e.world import World

AT_ONCE, HELD = 4, 3
LIMIT_S = 1200.0


def _names(number: int) -> list[str]:
    return [f"tenant-{one:04d}" for one in range(number)]


def _long(world: World, *arguments: str) -> Any:
    """The command's JSON; it may take minutes."""
    return world.runner.run(world.setup.cleancut(*arguments, timeout_s=LIMIT_S))


def _fill(world: World, number: int) -> None:
    url = world.setup.peers[0].url

    async def fill_one(name: str) -> None:
        await create(url, name)
        await upsert(url, name, range(HELD))

    async def body() -> None:
        async with asyncio.timeout(LIMIT_S):
            await run_all([lambda n=name: fill_one(n) for name in _names(number)], AT_ONCE)

    world.runner.run(body())


def _measure(world: World, made: Any, record: Callable[[str, object], None], what: str) -> None:
    """What the table shows: how long each phase took, and how far apart the cuts are."""
    logs = sorted(world.setup.logs.glob("coordinator-*.log"))
    times = " ".join(f"{k} {ms / 1000:.1f}" for k, ms in read_phases(logs, made["epoch"]).items())
    record(what, f"{times}, skew {made['evidence']['skew_ms'] / 1000:.1f} s")


@pytest.mark.adversity("1,000 collections on one agent")
@pytest.mark.timeout(2400)
def test_a_thousand_collections_on_one_agent(
    launch: Launch, record_property: Callable[[str, object], None]
) -> None:
    world = launch(peers=1, coordinators=1)
    _fill(world, 1000)
    made = _long(world, "backup", "create", "--attempts", "1").value("backup")
    _measure(world, made, record_property, "first")
    assert made["state"] == "COMMITTED"
    assert len(made["evidence"]["shards"]) == 1000
    assert made["evidence"]["consistency"] == "point-in-time"
    again = _long(world, "backup", "create", "--attempts", "1").value("backup")
    _measure(world, again, record_property, "unchanged")
    assert again["bytes"]["stored"] < made["bytes"]["stored"]


@pytest.mark.adversity("240 collections restored onto one peer, and backed up there")
@pytest.mark.timeout(2400)
def test_many_collections_are_consolidated_onto_one_peer(launch: Launch) -> None:
    world = launch(peers=3, coordinators=1)
    _fill(world, 240)
    made = _long(world, "backup", "create").value("backup")
    world.lose_all(1)
    done = _long(world, "restore", "start", made["id"], "--yes").value("restore")
    assert done["state"] == "DONE"

    async def counts() -> set[int]:
        url = world.setup.peers[0].url
        return {await count(url, name) for name in _names(240)}

    assert world.run(counts()) == {HELD}
    again = _long(world, "backup", "create").value("backup")
    assert len(again["evidence"]["shards"]) == 240
