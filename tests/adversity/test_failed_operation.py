"""An operation fails for want of a file and is applied again by Qdrant itself, without its number:
no backup that lacks it, or holds a part of it, is called point-in-time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cleancut_devcluster.launch.process import wait_for
from tests.adversity.points import count, create, path_of, request
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused

NAME, DIMS, BATCH = "docs", 65536, 5
CHUNK = 128
"""Vectors of `DIMS` numbers that fill one chunk of 32 MiB; the next one needs another file.
Source: lib/segment/src/vector_storage/chunked_vectors, Qdrant 1.18.3"""
LATER = range(CHUNK, CHUNK + BATCH)
PROVEN_S = 90.0


async def _upsert(url: str, ids: Sequence[int]) -> None:
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        points = [{"id": one, "vector": [one + 1] + [0] * (DIMS - 1)} for one in batch]
        await request(url, "PUT", f"{path_of(NAME)}/points?wait=true", {"points": points})


async def _shard(world: World) -> Path:
    """The directory of the only shard."""
    peer = world.setup.peers[0]
    if peer.plan.kind == "real":
        return peer.directory / "storage" / "collections" / NAME / "0"
    async with peer.client() as qdrant:
        uuid = (await qdrant.telemetry()).collections[NAME].uuid
    return peer.directory / "collections" / (uuid or "") / "0"


def _obstacles(shard: Path, kind: str) -> list[Path]:
    """Directories where Qdrant would make the next file of each segment's vectors."""
    if kind != "real":
        return [shard / "full"]
    return [
        one.with_name("chunk_1.mmap")
        for one in shard.glob("segments/*/vector_storage/**/chunk_0.mmap")
    ]


@pytest.mark.adversity("false evidence: a failed operation, in the whole product")
@pytest.mark.timeout(400)
def test_a_failed_operation_is_never_proven_away(launch: Launch) -> None:
    """A strict backup is refused while it has failed, or holds it by the shard's log; so does each
    later one that is called point-in-time. All of it comes back."""
    world = launch(peers=1, coordinators=1)
    url, kind = world.setup.peers[0].url, world.setup.peers[0].plan.kind

    async def fail() -> list[Path]:
        await create(
            url,
            NAME,
            vectors={"size": DIMS, "distance": "Dot"},
            optimizers_config={"default_segment_number": 1, "indexing_threshold": 0},
        )
        await _upsert(url, range(CHUNK))
        blocked = _obstacles(await _shard(world), kind)
        assert blocked, "no segment was found"
        for one in blocked:
            one.mkdir()
        with pytest.raises(AssertionError):
            await _upsert(url, LATER)
        return blocked

    obstacles = world.run(fail())
    during = world.cleancut("backup", "create", "--attempts", "1", "--require", "point-in-time")
    if during.exit_code:
        refused(during, 4, NAME)
    for one in obstacles:
        one.rmdir()
    after = world.run(wait_for(lambda: _proven(world), "a proven backup", PROVEN_S))
    proven = [after["id"], *([] if during.exit_code else [during.value("backup")["id"]])]
    for number, backup in enumerate(proven):
        world.offline("backup", "verify", backup).check()
        names = ("--collection", NAME, "--rename", f"{NAME}=copy-{number}")
        world.ok("restore", "restore", "start", backup, "--yes", *names)
        assert world.run(count(url, f"copy-{number}")) == CHUNK + len(LATER)
    assert world.run(count(url, NAME)) == CHUNK + len(LATER)


async def _proven(world: World) -> Any:
    """Another backup, if it is called point-in-time."""
    made = (await world.setup.cleancut("backup", "create")).value("backup")
    return made if made["evidence"]["consistency"] == "point-in-time" else None
