"""A wrong store: said clearly, by the right exit code, and nothing is left in the cluster."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleancut_devcluster.launch.cli import Answer
from cleancut_devcluster.launch.process import start_child
from tests.e2e.conftest import Launch
from tests.e2e.world import World, refused


@pytest.fixture(scope="module")
def full(launch_module: Launch) -> World:
    """Two peers with data, and one whole backup."""
    world = launch_module(peers=2, coordinators=1)
    world.fill()
    world.back_up()
    return world


@pytest.fixture
def broken(full: World) -> Iterator[Any]:
    """The whole backup, for a test to break; the store is whole again after it. The cluster is
    empty meanwhile, so that a restore could start."""
    backup = full.offline("backup", "list").value("backups")[-1]
    saved = full.setup.base_dir / "saved"
    shutil.copytree(full.store, saved)

    async def drop() -> None:
        async with full.setup.peers[0].client() as qdrant:
            for name in await qdrant.collections():
                await qdrant.delete_collection(name)

    full.run(drop())
    yield backup
    full.run(drop())
    shutil.rmtree(full.store)
    saved.rename(full.store)
    full.fill()


def packs_of(world: World) -> list[Path]:
    found = [path for path in (world.store / "demo" / "packs").rglob("*") if path.is_file()]
    assert found
    return found


def first_failure(world: World, backup: Any, directory: Path) -> Answer:
    """What `backup extract` says of the first shard that it cannot give back; tiny shards may lie
    in their pages alone. Nothing is at its path then."""
    for shard in range(world.shape.shards):
        out = directory / f"{shard}.tar"
        where = ("--collection", "articles", "--shard", str(shard), "--out", str(out))
        answer = world.offline("backup", "extract", backup["id"], *where)
        assert out.exists() == (answer.exit_code == 0)
        if answer.exit_code:
            return answer
    raise AssertionError("every shard was given back from a broken store")


def test_a_corrupt_block_is_never_given_back(full: World, broken: Any, tmp_path: Path) -> None:
    """Neither as a tar nor as a collection; what the restore made is gone again."""
    for pack in packs_of(full):
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 0xFF
        data[-100] ^= 0xFF
        pack.write_bytes(data)
    refused(first_failure(full, broken, tmp_path), 9, "block")
    answer = full.cleancut("restore", "start", broken["id"], "--yes")
    refused(answer, 9, "block")
    assert full.collections() == []


def test_a_missing_pack_is_found_before_anything_is_touched(
    full: World, broken: Any, tmp_path: Path
) -> None:
    """The restore is refused while it prepares."""
    for pack in packs_of(full):
        pack.unlink()
    failed = first_failure(full, broken, tmp_path)
    refused(failed, 9, "pack")
    refused(
        full.cleancut("restore", "start", broken["id"], "--yes"), 9, "is damaged", "pack", "missing"
    )
    assert full.collections() == []


def test_a_manifest_of_another_format_is_refused(full: World, broken: Any) -> None:
    """With a hint that a newer cleancut is needed, not as corrupt data."""
    path = full.store / "demo" / "groups" / f"{broken['epoch']:012d}.json"
    manifest = json.loads(path.read_bytes())
    path.chmod(0o644)
    path.write_text(json.dumps({**manifest, "format": 99}))
    refused(full.offline("backup", "show", str(broken["epoch"])), 4, "format 99")
    refused(full.cleancut("restore", "start", broken["id"], "--yes"), 4, "format 99")
    assert full.collections() == []


def test_a_store_that_is_gone_is_refused(full: World) -> None:
    """As when its disk is not mounted; the next backup works once it is back."""
    before, kept = full.groups(), full.store.with_name("store.kept")
    full.store.rename(kept)
    full.store.write_text("a file where a directory is needed")
    answer = full.cleancut("backup", "create", "--attempts", "1")
    full.store.unlink()
    kept.rename(full.store)
    refused(answer, 4, "store", "mounted")
    assert full.groups() == before
    assert full.back_up("--allow-empty")["state"] == "COMMITTED"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: rights cannot be tested")
def test_a_store_that_cannot_be_written_is_refused(full: World) -> None:
    """Found in PREPARE; the next backup works once it can be written."""
    before, probes = full.groups(), full.store / "demo" / "probe"
    probes.chmod(0o555)
    answer = full.cleancut("backup", "create", "--attempts", "1")
    probes.chmod(0o755)
    refused(answer, 8, "permission")
    assert full.groups() == before
    assert full.back_up("--allow-empty")["state"] == "COMMITTED"


def test_a_coordinator_whose_store_cannot_be_used_ends_at_once(full: World) -> None:
    """With the exit code of a refusal, and a hint."""
    own = ("--qdrant-url", full.setup.peers[0].url, "--grpc", "127.0.0.1:0", "--name", "one")
    shared = ("--cluster", "other", "--etcd", full.setup.etcd_endpoint)
    argv = [sys.executable, "-m", "cleancut_coordinator.main", *shared, *own]
    log = full.setup.logs / "unusable.log"

    async def body() -> int | None:
        child = await start_child("one", [*argv, "--store", "file:///dev/null/store"], log)
        try:
            async with asyncio.timeout(20):
                return await child.process.wait()
        finally:
            await child.kill()

    assert full.run(body()) == 4
    text = log.read_text()
    assert "hint: " in text
    assert "Traceback" not in text


def test_the_store_of_another_cluster_needs_adopting(launch: Launch) -> None:
    """Reads work, backups are refused until `adopt`; then the former owner is refused."""
    first = launch(peers=1, coordinators=1)
    first.fill()
    made = first.back_up()
    second = launch(peers=1, coordinators=1, store=first.setup.store_url)
    second.fill()
    refused(second.cleancut("backup", "create"), 4, "another cluster", "adopt")
    assert second.groups() == [made["id"]]
    assert second.cleancut("adopt").exit_code == 2, "adopting needs --yes without a terminal"
    assert second.ok("identity", "adopt", "--yes")["equal"]
    own = second.back_up()
    assert own["epoch"] > made["epoch"]
    refused(first.cleancut("backup", "create"), 4, "another cluster", "adopt")
    assert sorted(first.groups()) == sorted([made["id"], own["id"]])
