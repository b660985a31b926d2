"""Settings of agents reach them while they work."""

from __future__ import annotations

from typing import Any

import pytest

from cleancut.core.cluster.agent_settings import LEAST_RATE
from cleancut_devcluster.demo.data import Shape
from cleancut_devcluster.launch.process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

SHAPE = Shape(points=8000, dims=128, shards=2)


@pytest.fixture(scope="module")
def world(launch_module: Launch) -> World:
    """One peer with some MiB that do not compress."""
    one = launch_module(peers=1, coordinators=1)
    one.shape = SHAPE
    one.fill()
    return one


def test_a_rate_holds_an_upload_back_until_it_is_lifted(world: World) -> None:
    set_ = world.ok("settings", "cluster", "settings", "--upload-rate", str(LEAST_RATE))
    assert (set_["upload_bytes_per_s"], set_["uploads"]) == (LEAST_RATE, 4)
    started = world.ok("backup", "backup", "create", "--no-wait")

    async def slow() -> Any:
        backup = (await world.setup.cleancut("backup", "show", started["id"])).value("backup")
        told = [one for one in backup["progress"] if one["bytes_stored"]]
        return backup if backup["state"] == "UPLOADING" and told else None

    world.run(wait_for(slow, "an upload under way", 60.0, 0.2))
    assert world.ok("backup", "backup", "show", started["id"])["state"] == "UPLOADING"
    world.ok("settings", "cluster", "settings", "--upload-rate", "0")
    done = world.ok("backup", "backup", "watch", started["id"])
    assert done["state"] == "COMMITTED"
    assert done["bytes"]["stored"] > 20 * LEAST_RATE, "so it would have taken long"


def test_settings_that_cannot_be_meant_are_refused(world: World) -> None:
    answer = world.cleancut("cluster", "settings", "--upload-rate", "10")
    refused(answer, 2, "10 bytes/s is too low")
    refused(world.cleancut("cluster", "settings", "--uploads", "0"), 2, "uploads")
    assert world.ok("settings", "cluster", "settings")["uploads"] == 4
