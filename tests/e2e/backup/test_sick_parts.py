"""A shard that is not loaded, or a peer in recovery mode: the collection that needs it is named,
all others are backed up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName, Epoch
from cleancut_devcluster.demo.data import Data, make_payload, make_vectors
from cleancut_devcluster.launch.process import wait_for
from cleancut_devcluster.launch.qdrant import PeerProcess
from tests.e2e.conftest import Launch
from tests.e2e.world import SMALL, World, refused

WHOLE, SINGLE = "docs", "rf1"
POINTS = 120


@pytest.fixture
def world(launch: Launch) -> World:
    """Three peers: one collection with a replica on each, one with a single replica of each of its
    three shards."""
    one = launch(coordinators=1)

    async def fill() -> None:
        async with one.setup.peers[0].client() as qdrant:
            vectors = {"size": SMALL.dims, "distance": "Dot"}
            for name, factor in ((WHOLE, 3), (SINGLE, 1)):
                config = {"shard_number": 3, "replication_factor": factor}
                await qdrant.create_collection(name, {"vectors": vectors, **config})
        points = models.Batch(
            ids=list(range(POINTS)),
            vectors=make_vectors(SMALL, 0, POINTS).tolist(),
            payloads=[make_payload(point) for point in range(POINTS)],
        )
        async with Data(one.setup.peers[0].url, SMALL) as data:
            for name in (WHOLE, SINGLE):
                await data.client.upsert(name, points, wait=True)

    one.run(fill())
    return one


def others_are_backed_up(world: World) -> None:
    """A backup of all fails at once, with the name and the flag that leaves it out."""
    tried = world.cleancut("backup", "create", "--attempts", "5")
    refused(tried, 4, f"'{SINGLE}'", f"--exclude {SINGLE}")
    planned = world.cleancut("backup", "create", "--dry-run")
    refused(planned, 4, f"'{SINGLE}'", f"--exclude {SINGLE}")
    (blocker,) = json.loads(planned.out)["plan"]["blockers"]
    assert SINGLE in blocker
    assert world.back_up("-c", WHOLE, "--attempts", "5")["collections"] == [WHOLE]
    others = world.back_up("--exclude", SINGLE, "--attempts", "5")
    assert others["collections"] == [WHOLE]
    path = Paths(ClusterName(world.setup.cluster)).group(Epoch(others["epoch"]))
    store = Path(world.setup.store_url.removeprefix("file://"))
    assert json.loads((store / path).read_bytes())["excluded"] == [SINGLE], "one set for retention"
    partial = world.back_up("--allow-missing", "--attempts", "5")
    assert partial["collections"] == [WHOLE]
    assert [one["name"] for one in partial["missing"]] == [SINGLE]
    assert "backup_partial" in found_by_doctor(world), "no later one holds it"


def found_by_doctor(world: World) -> dict[str, str]:
    findings = json.loads(world.cleancut("doctor").out)["findings"]
    return {one["kind"]: one["what"] for one in findings}


def wait_found(world: World, kind: str) -> str:
    """What doctor says of it, once the agent has looked: it does so each minute."""

    async def look() -> str | None:
        findings = json.loads((await world.setup.cleancut("doctor")).out)["findings"]
        return next((str(one["what"]) for one in findings if one["kind"] == kind), None)

    return world.run(wait_for(look, f"doctor finds {kind}", 100.0, 1.0))


def restart(world: World, peer: PeerProcess, mode: str = "") -> None:
    """So slowly that the agent finds its peer down, and then looks again at all of it."""

    async def unreachable() -> bool | None:
        status = await world.setup.status()
        return any(one["peer_id"] is None for one in status["agents"]) or None

    async def body() -> None:
        peer.recovery_mode = mode
        await peer.stop()
        await wait_for(unreachable, "the agent finds that its peer is down", 30.0, 0.2)
        await peer.start()
        await world.setup.wait_agents()

    world.run(body())


def unload(world: World, peer: PeerProcess, uuid: str, shard: int) -> Path:
    """The mark of a replacement that was interrupted: the peer does not load the shard."""
    if world.setup.qdrant == "real":
        mark = peer.directory / "storage" / "collections" / SINGLE / f"shard_{shard}.initializing"
    else:
        mark = peer.directory / "collections" / uuid / str(shard) / "dirty"
    mark.touch()
    return mark


def local_shard(world: World, peer: PeerProcess) -> tuple[str, int]:
    """The uuid of the collection, and its shard on this peer."""

    async def body() -> tuple[str, int]:
        async with peer.client() as qdrant:
            entry = (await qdrant.telemetry()).collections[SINGLE]
        (shard,) = (number for number, one in entry.shards.items() if one.status)
        return entry.uuid or "", shard

    return world.run(body())


@pytest.mark.adversity("a peer in recovery mode")
def test_a_peer_in_recovery_mode_stops_only_what_it_alone_holds(world: World) -> None:
    peer = world.setup.peers[2]
    restart(world, peer, "out of memory")
    others_are_backed_up(world)
    assert "recovery mode" in wait_found(world, "recovery_mode")
    restart(world, peer)
    assert world.back_up("--attempts", "5")["collections"] == [WHOLE, SINGLE]


@pytest.mark.adversity("a shard that its peer could not load")
def test_a_shard_that_is_not_loaded_stops_only_its_collection(world: World) -> None:
    peer = world.setup.peers[2]
    uuid, shard = local_shard(world, peer)
    mark = unload(world, peer, uuid, shard)
    restart(world, peer)
    others_are_backed_up(world)
    assert f"shard {shard} of '{SINGLE}'" in wait_found(world, "unloaded_shard")
    mark.unlink()
    restart(world, peer)
    whole: Any = world.back_up("--attempts", "5")
    assert whole["collections"] == [WHOLE, SINGLE]
