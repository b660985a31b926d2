"""Drills: a group's shards are opened without a server, and answer as they did at their cut."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.format.manifest import Manifest
from cleancut.core.format.paths import Paths
from cleancut.core.primitives.ids import ClusterName
from cleancut.core.protocol.documents import Canary
from cleancut.repository.catalog import find_group
from cleancut.repository.verification_log import list_checks, newest_good
from cleancut.runtime.clock import SystemClock
from cleancut.store.open import open_store
from cleancut.verification.drill import Drilled, drill
from cleancut_devcluster.demo.data import COLLECTION, Data
from tests.e2e.conftest import Launch
from tests.e2e.world import World

PATHS = Paths(ClusterName("demo"))


@pytest.fixture(scope="module")
def world(launch_module: Launch) -> World:
    """Two peers and one group of their data."""
    one = launch_module(peers=2, coordinators=1)
    one.fill()
    one.back_up()
    return one


def drilled(world: World, *arguments: str) -> Any:
    return world.offline("backup", "drill", "latest", *arguments).value("drill")


def test_all_of_a_group_opens_and_answers(world: World) -> None:
    found = drilled(world)
    assert len(found["shards"]) == found["shards_in_backup"] == world.shape.shards
    assert sum(one["points"] for one in found["shards"]) == world.shape.points
    assert all(one["points"] == one["expected"] for one in found["shards"])
    assert found["sample_queries"] == found["sample_queries_equal"] > 0
    assert found["recall"] > 0.9
    assert found["problems"] == found["damaged"] == []
    entries = asyncio.run(list_checks(open_store(world.setup.store_url, SystemClock()), PATHS))
    assert [(one.epoch, one.kind, one.good) for one in entries] == [(1, "drill", True)]
    assert (world.store / "demo" / newest_good(entries)["drill"].path).is_file()


def test_some_shards(world: World) -> None:
    """Recorded answers are those of whole collections: of a part they say nothing. The leader is
    asked for it, and for a verification; both are in the store's verification log."""
    found = world.ok("drill", "backup", "drill", "latest", "--shards", "1")
    assert len(found["shards"]) == 1
    assert found["sample_queries"] == 0
    seen = world.ok("verify", "backup", "verify", "latest", "--quick")
    assert (seen["level"], seen["missing"], seen["problems"]) == ("presence", [], [])
    checks = world.ok("backup", "backup", "show", "latest")["checks"]
    assert [one["kind"] for one in checks] == ["verify", "drill", "drill"]


def test_what_is_other_than_it_was_is_found(world: World, tmp_path: Path) -> None:
    """A point more, an index more, and other neighbours: as if the manifest told of other data."""
    store = open_store(world.setup.store_url, SystemClock())
    manifest = asyncio.run(find_group(store, PATHS, "latest"))
    first, *others = manifest.shards
    assert first.count is not None
    more = replace(first, count=first.count + 1)
    entry = manifest.collection(first.collection)
    schema = {**entry.info["payload_schema"], "ghost": {"data_type": "geo"}}
    canary, *rest = (one for one in manifest.canaries if one.collection == entry.name)
    forged = replace(
        manifest,
        shards=(more, *others),
        collections=(replace(entry, info={**entry.info, "payload_schema": schema}),),
        canaries=(_turned(canary), *rest),
    )
    found = asyncio.run(_drill(forged, world, tmp_path))
    told = [text for one in found.shards for text in one.problems]
    assert f"it holds {first.count} points, {more.count} were counted at its cut" in told
    assert told.count("it has no index of 'ghost'") == len(manifest.shards)
    assert (found.asked, found.equal) == (len(rest) + 1, len(rest))
    assert len(found.other) == 1


def _turned(canary: Canary) -> Canary:
    return replace(canary, ids=tuple(reversed(canary.ids)))


async def _drill(manifest: Manifest, world: World, scratch: Path) -> Drilled:
    store = open_store(world.setup.store_url, SystemClock())
    shards = sorted(manifest.shards, key=lambda one: (one.collection, one.shard_id))
    return await drill(store, PATHS, manifest, shards, scratch=scratch, report=lambda _: None)


def test_one_shard_by_hand(world: World, tmp_path: Path) -> None:
    """As docs/how-to/backup.md tells: extract, and let Qdrant take it, without anything of ours."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl here")
    before, tar = world.answers(), tmp_path / "0.tar"
    shard = ("--collection", COLLECTION, "--shard", "0")
    world.offline("backup", "extract", "latest", *shard, "--out", str(tar)).check()

    async def host() -> str:
        for peer in world.setup.peers:
            async with peer.client() as qdrant:
                placement = await qdrant.placement(COLLECTION)
                own = (await qdrant.cluster()).peer_id
            if any(one.shard_id == 0 and one.peer_id == own for one in placement.shards):
                async with Data(peer.url, world.shape) as data:
                    ids = list(range(world.shape.points))
                    await data.client.delete(COLLECTION, ids[::2], wait=True)
                    await data.client.delete(COLLECTION, ids[1::2], wait=True)
                return peer.url
        raise AssertionError("nobody hosts shard 0")

    url = f"{world.run(host())}/collections/{COLLECTION}/shards/0/snapshots/upload?priority=no_sync"
    subprocess.run([curl, "-sfX", "POST", "-F", f"snapshot=@{tar}", url], check=True, timeout=60)
    held = next(one for one in drilled(world)["shards"] if one["shard_id"] == 0)
    assert world.answers().counts["all points"] == held["points"]
    assert before.counts["all points"] == world.shape.points


def test_a_damaged_shard_is_told_and_the_others_are_opened(world: World) -> None:
    """Last of all, since it damages the store."""
    pack = max(
        (path for path in (world.store / "demo" / "packs").rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 0xFF
    pack.write_bytes(data)
    answer = world.offline("backup", "drill", "latest")
    assert answer.exit_code == 9
    assert "Traceback" not in answer.err
    found = json.loads(answer.out)["drill"]
    assert found["damaged"]
    assert len(found["shards"]) == world.shape.shards - len(found["damaged"])
