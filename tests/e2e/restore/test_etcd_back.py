"""etcd restored from a snapshot of the past: what is live stays, and a person is asked."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleancut_devcluster.demo.data import Data
from cleancut_devcluster.launch.etcd import etcd_binary
from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.support.etcd_cluster import EtcdCluster, Member

PHASES = ("CREATE", "RECOVER", "VERIFY")
BIN = Path(etcd_binary()).parent


@pytest.fixture
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster(1) as cluster:
        yield cluster


def _ctl(member: Member) -> str:
    said = subprocess.run(
        [BIN / "etcdctl", "--endpoints", member.endpoint, "get", "/cleancut/demo/ctl"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout
    return str(json.loads(said.splitlines()[1]).get("phase", "IDLE")) if said else "IDLE"


def _save(member: Member, path: Path) -> None:
    argv = [BIN / "etcdctl", "--endpoints", member.endpoint, "snapshot", "save", path]
    subprocess.run(argv, capture_output=True, check=True, timeout=20)


def _go_back(etcd: EtcdCluster, path: Path, data_dir: Path) -> None:
    member = etcd.members[0]
    etcd.kill(member)
    peer = f"http://127.0.0.1:{member.peer_port}"
    argv = [BIN / "etcdutl", "snapshot", "restore", path, "--data-dir", data_dir]
    argv += [f"--name={member.name}", f"--initial-cluster={member.name}={peer}"]
    argv += [f"--initial-advertise-peer-urls={peer}"]
    subprocess.run(argv, capture_output=True, check=True, timeout=20)
    member.data_dir = data_dir
    etcd.restart(member)


async def _restore_and_save(
    world: World, member: Member, backup: str, root: Path
) -> dict[str, Path]:
    """Snapshots of etcd in each phase that was met while the restore went on to its end."""
    saved: dict[str, Path] = {}
    async with asyncio.TaskGroup() as group:
        restore = group.create_task(world.setup.cleancut("restore", "start", backup, "--yes"))
        while not restore.done():
            phase = await asyncio.to_thread(_ctl, member)
            if phase in PHASES and phase not in saved:
                path = root / f"{phase}.db"
                await asyncio.to_thread(_save, member, path)
                saved[phase] = path
    assert restore.result().exit_code == 0, restore.result().err
    return saved


async def _add(world: World) -> int:
    async with Data(world.setup.peers[0].url, world.shape) as data:
        await data.change(0.5)
    async with world.setup.peers[0].client() as qdrant:
        return await _points(qdrant)


async def _points(qdrant: object) -> int:
    total = 0
    for name in await qdrant.collections():  # type: ignore[attr-defined]
        total += await qdrant.count_collection(name)  # type: ignore[attr-defined]
    return total


@pytest.mark.timeout(400)
def test_a_restore_that_ended_is_not_touched_by_its_past(
    launch: Launch, etcd: EtcdCluster, tmp_path: Path
) -> None:
    """Whatever phase etcd went back to: every point stays, changes since then as well; the next
    backup works once it is adopted."""
    world = launch(peers=2, coordinators=2, etcd=etcd.members[0].endpoint)
    world.fill()
    made = world.back_up()
    world.lose_all(2)
    member = etcd.members[0]
    saved = world.run(_restore_and_save(world, member, made["id"], tmp_path))
    assert saved, "no phase was met"
    points = world.run(_add(world))
    kept = world.answers()
    for phase, path in saved.items():
        _go_back(etcd, path, tmp_path / f"{phase}-data")
        world.run(world.setup.wait_agents())
        states = world.run(_settled(world))
        assert "NEEDS_OPERATOR" in states, (phase, states)
        assert world.run(_count(world)) == points
        assert world.answers() == kept
        assert world.cleancut("backup", "create").exit_code != 0
        world.ok("identity", "adopt", "--yes")
        world.back_up()
        assert world.run(_count(world)) == points


async def _count(world: World) -> int:
    async with world.setup.peers[0].client() as qdrant:
        return await _points(qdrant)


async def _settled(world: World) -> list[str]:
    """The restores' states once none is under way."""
    async with asyncio.timeout(60):
        while True:
            listed = await world.setup.cleancut("restore", "list")
            if listed.exit_code == 0:
                states = [one["state"] for one in listed.value("restores")]
                if states and all(s in {"DONE", "NEEDS_OPERATOR", "ROLLED_BACK"} for s in states):
                    return states
            await asyncio.sleep(0.1)
