"""etcd restored from a snapshot that was taken during a backup: no backup is lost, changed or
reported falsely, no fence comes back, and an operator is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cleancut.core.primitives.errors import TimedOut
from cleancut.core.protocol.states import Phase
from cleancut_devcluster.demo.comparison import Answers
from cleancut_devcluster.demo.data import ALIAS, COLLECTION
from cleancut_devcluster.launch.process import wait_for
from tests.e2e.conftest import Launch
from tests.e2e.world import World
from tests.support.etcd_cluster import EtcdCluster
from tests.support.etcd_snapshots import Snapshots

PHASES = (Phase.PREPARE, Phase.FENCE, Phase.CUT, Phase.SEAL, Phase.UPLOAD, Phase.COMMIT)
FENCED = ("backup", "create", "--fence", f"alias={ALIAS}", "--fence-budget", "10s")
TRIES, SETTLED_S = 6, 60.0
RUNNING = {"PENDING", "PREPARING", "FENCING", "CUTTING", "SEALING", "UPLOADING", "COMMITTING"}


@dataclass(slots=True)
class Past:
    """A set-up, the snapshots of its etcd, and the answers that its data gave at last."""

    world: World
    snapshots: Snapshots
    answers: Answers


@pytest.fixture(scope="module")
def past(launch_module: Launch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    """Backups were made until each phase was met; one more followed."""
    with EtcdCluster(1) as etcd:
        world = launch_module(peers=2, coordinators=2, etcd=etcd.members[0].endpoint)
        world.fill()
        snapshots = Snapshots(etcd, tmp_path_factory.mktemp("snapshots"))
        for _ in range(TRIES):
            if set(PHASES) <= set(snapshots.saved):
                break
            world.change(0.3)
            done = world.run(snapshots.save_during(world, PHASES, *FENCED))
            assert done.exit_code == 0, done.err
        world.change(0.3)
        world.back_up()
        yield Past(world, snapshots, world.answers())


async def _settled(world: World) -> list[str]:
    """The backups' states once none is under way. Raises: TimedOut, with those it saw last."""
    seen: list[str] = []

    async def settled() -> list[str] | None:
        listed = (await world.setup.cleancut("backup", "list")).value("backups")
        seen[:] = [f"{one['epoch']} {one['state']}" for one in listed]
        states = [str(one["state"]) for one in listed]
        return None if RUNNING.intersection(states) else states

    try:
        return await wait_for(settled, "backups to end", SETTLED_S)
    except TimedOut as error:
        raise TimedOut(f"{error}: {seen}") from error


@pytest.mark.adversity("etcd turned back to a backup")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("phase", PHASES, ids=str)
def test_backups_are_not_touched_by_their_past(past: Past, phase: Phase) -> None:
    world = past.world
    assert phase in past.snapshots.saved, f"{phase} was not met"
    before = world.groups()
    past.snapshots.go_back(phase)
    world.run(world.setup.wait_agents())
    world.run(_settled(world))
    assert world.groups() == before
    assert world.cleancut("backup", "create").exit_code != 0
    for name in before:
        world.offline("backup", "verify", name).check()
    world.ok("identity", "adopt", "--yes")
    made = world.back_up()
    assert set(world.groups()) == {*before, made["id"]}
    states = world.run(_settled(world))
    assert world.answers() == past.answers, states

    async def aliases() -> list[dict[str, str]]:
        found = []
        for peer in world.setup.peers:
            async with peer.client() as qdrant:
                found.append(dict(await qdrant.aliases()))
        return found

    assert world.run(aliases()) == [{ALIAS: COLLECTION}] * 2
