"""Captures from the disk: what has not changed is not read, and what is restored is the same."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from cleancut.core.capture.proof import SETTLED_NS
from cleancut_devcluster.demo.data import Shape
from cleancut_devcluster.launch.process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.support.segment_dirs import needs_proving_disk

SHARE = 0.002
"""Of the points, what is changed between two backups: a few."""


@pytest.fixture
def world(launch: Launch) -> World:
    """A shard whose files are large enough, and old enough, to be captured from the disk."""
    one = launch(peers=1, coordinators=1)
    needs_proving_disk(one.setup.base_dir)
    one.shape = Shape(points=3000, dims=64, shards=1, replicas=1, segments=2)
    one.fill()

    async def settled() -> bool | None:
        return (
            True if _youngest_ns(one.setup.peers[0].storage) + SETTLED_NS < time.time_ns() else None
        )

    one.run(wait_for(settled, "the shard's files have settled", 120.0, 1.0))
    return one


def _youngest_ns(storage: Path) -> int:
    """When a file of a segment was last changed, of those that a later write does not touch."""
    times = [0]
    for base, _, names in os.walk(storage / "collections", followlinks=True):
        for name in names:
            if "segments" in base and name.endswith((".mmap", ".bin")):
                times.append(os.stat(Path(base) / name).st_ctime_ns)
    return max(times)


def shard_of(world: World, number: int) -> Any:
    """The one shard of a backup, as its manifest has it."""
    manifest = json.loads(next(world.store.rglob(f"groups/{number:012}.json")).read_bytes())
    (shard,) = manifest["shards"]
    return shard


def test_a_backup_reads_what_is_new_and_keeps_what_is_not(world: World) -> None:
    first = world.back_up()
    sources = shard_of(world, first["epoch"])["sources"]
    assert sources["direct_bytes"] > 0
    assert sources.get("kept_bytes", 0) == 0

    world.change(SHARE)
    expected = world.answers()
    second = world.back_up("--audit")
    shard = shard_of(world, second["epoch"])
    assert shard["sources"]["kept_bytes"] == pytest.approx(sources["direct_bytes"], rel=0.2)
    assert shard["sources"].get("direct_bytes", 0) < sources["direct_bytes"] / 5
    assert shard["audit"] == ""
    assert shard["new_bytes"] < sources["direct_bytes"] / 2

    assert world.offline("backup", "verify", str(second["epoch"])).exit_code == 0
    world.lose_all(1)
    world.ok("restore", "restore", "start", str(second["epoch"]), "--yes")
    assert world.answers() == expected
