"""Backups of a cluster that is written to all the while, without a fence."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut_devcluster.demo.data import COLLECTION, Data, Shape
from cleancut_devcluster.demo.writers import (
    Chain,
    broken_windows,
    changing,
    find_holes,
    wait_written,
    writing,
)
from tests.e2e.conftest import Launch
from tests.e2e.world import World

RESTORED = "restored"
WRITERS, PAUSE_S, KEEP = 2, 0.1, 5


@pytest.fixture(params=[1, 2], ids=["one replica", "two replicas"])
def world(launch: Launch, request: pytest.FixtureRequest) -> World:
    one = launch(peers=3, coordinators=1)
    one.shape = Shape(points=600, dims=16, shards=3, replicas=request.param)
    one.fill()
    return one


def test_a_backup_under_writes_is_of_one_instant(world: World) -> None:
    """Each write follows the acknowledgement of the one before, so that a hole in a chain shows
    two instants."""
    made, chains = world.run(_backed_up(world, keep=0))
    evidence = made["evidence"]
    assert evidence["consistency"] == "point-in-time"
    assert not evidence["fenced"]
    assert any("rolled_to" in shard for shard in evidence["shards"])
    assert world.offline("backup", "verify", made["id"]).exit_code == 0
    found = world.run(_restored(world, made["id"]))
    holes = find_holes(chains, found, None)
    assert holes.points
    assert holes.holes == 0


def test_deletes_under_writes_stay_deleted(world: World) -> None:
    """While segments are rebuilt all the time: a snapshot alone would lack deletes."""
    made, chains = world.run(_backed_up(world, keep=KEEP))
    assert made["evidence"]["consistency"] == "point-in-time"
    assert broken_windows(chains, world.run(_restored(world, made["id"])), KEEP) == []


async def _backed_up(world: World, *, keep: int) -> tuple[Any, list[Chain]]:
    """A backup that is made while writers extend their chains, and other points change."""
    async with (
        Data(world.setup.peers[0].url, world.shape) as data,
        changing(data, PAUSE_S),
        writing(data, WRITERS, pause_s=PAUSE_S, keep=keep) as chains,
    ):
        await wait_written(chains, KEEP + 2)
        answer = await world.setup.cleancut("backup", "create", "--require", "point-in-time")
    return answer.value("backup"), chains


async def _restored(world: World, backup: str) -> dict[int, set[int]]:
    """The steps of all chains in the backup, restored under another name."""
    renamed = ("--rename", f"{COLLECTION}={RESTORED}")
    (await world.setup.cleancut("restore", "start", backup, *renamed, "--yes")).check()
    async with Data(world.setup.peers[0].url, world.shape, collection=RESTORED) as data:
        return await data.steps()
