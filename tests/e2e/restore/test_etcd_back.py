"""etcd restored from a snapshot that was taken during a restore: what is live stays as it is, and
an operator is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleancut.core.protocol.states import Phase
from cleancut_devcluster.demo.data import Data
from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_snapshots import Snapshots

PHASES = (Phase.PREPARE, Phase.CREATE, Phase.RECOVER, Phase.VERIFY, Phase.PUBLISH)
SETTLED = {"DONE", "NEEDS_OPERATOR", "ROLLED_BACK", "ABORTED"}


@pytest.fixture
def etcd() -> Iterator[EtcdCluster]:
    with EtcdCluster(1) as cluster:
        yield cluster


async def _add(world: World) -> None:
    async with Data(world.setup.peers[0].url, world.shape) as data:
        await data.change(0.5)


async def _count(world: World) -> int:
    async with world.setup.peers[0].client() as qdrant:
        names = await qdrant.collections()
        return sum([await qdrant.count_collection(name) for name in names])


async def _settled(world: World) -> list[str]:
    """The restores' states once none is under way."""
    async with asyncio.timeout(60):
        while True:
            listed = await world.setup.cleancut("restore", "list")
            if listed.exit_code == 0:
                states = [str(one["state"]) for one in listed.value("restores")]
                if states and SETTLED.issuperset(states):
                    return states
            await asyncio.sleep(0.1)


@pytest.mark.adversity("etcd turned back to a restore, each phase of it")
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "phases",
    [
        pytest.param((Phase.RECOVER,), id="RECOVER"),
        pytest.param(PHASES, id="each phase", marks=pytest.mark.chaos),
    ],
)
def test_a_restore_that_ended_is_not_touched_by_its_past(
    launch: Launch, etcd: EtcdCluster, tmp_path: Path, phases: tuple[Phase, ...]
) -> None:
    """Whatever phase etcd went back to: every point stays, changes since then as well; the next
    backup works once it is adopted."""
    world = launch(peers=2, coordinators=2, etcd=etcd.members[0].endpoint)
    world.fill()
    made = world.back_up()
    world.lose_all(2)
    past = Snapshots(etcd, tmp_path)
    done = world.run(past.save_during(world, phases, "restore", "start", made["id"], "--yes"))
    assert done.exit_code == 0, done.err
    assert {Phase.CREATE, Phase.RECOVER}.intersection(phases) <= set(past.saved)
    world.run(_add(world))
    points, kept = world.run(_count(world)), world.answers()
    for phase in past.saved:
        past.go_back(phase)
        world.run(world.setup.wait_agents())
        assert "NEEDS_OPERATOR" in world.run(_settled(world)), phase
        assert world.run(_count(world)) == points, phase
        assert world.answers() == kept, phase
        assert world.cleancut("backup", "create").exit_code != 0, phase
        world.ok("identity", "adopt", "--yes")
        world.run(world.setup.wait_agents())  # each opens a session anew once etcd has gone back
        world.back_up()
        assert world.run(_count(world)) == points, phase
