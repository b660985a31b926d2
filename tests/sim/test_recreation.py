"""What a leader finds out about collections that it, or an earlier leader, made."""

from __future__ import annotations

import pytest

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Refused, TimedOut
from cleancut.core.primitives.ids import AgentName, Epoch, OperationId, PeerId
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.requests import RestoreRequest
from cleancut.core.protocol.states import Phase
from cleancut.core.restore.plan import make_plan
from cleancut.core.restore.report import Creation, Outcome, RestoreDraft, draft_of
from cleancut.ports.coordination import Put
from cleancut.repository.catalog import put_staged
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.restore.create_collections import CollectionCreator
from cleancut_coordinator.restore.destination import AgentHost
from simulation.qdrant import info_of
from simulation.replica import USER
from tests.sim.bench import Bench
from tests.support.restore_groups import collection, group, target

EPOCH = Epoch(5)
OURS = "epoch 5"
INFO = info_of(2, 1)
HOSTS = {PeerId(peer): AgentHost(AgentName(f"a{peer}")) for peer in (1, 2, 3)}


class Leader(Bench):
    """On three peers, with a group of one collection `name` of two shards."""

    def __init__(self, name: str = "docs") -> None:
        super().__init__(peers=3)
        manifest = group(collection(name, info=INFO))
        plan = make_plan(manifest, RestoreRequest(backup=Epoch(4)), target())
        self.name = name
        self.draft = draft_of(
            manifest, plan, EPOCH, OperationId("op"), request=RestoreRequest(EPOCH)
        )

    def at(self, phase: Phase) -> CollectionCreator:
        """Where ctl stands now."""
        ctl = Ctl(epoch=EPOCH, phase=phase)
        self.shared.model.txn([], [Put(self.shared.keys.ctl, encode(ctl))])
        return CollectionCreator(self.context(), self.draft)

    def record(self, outcome: Outcome, uuid: str = "") -> None:
        creation = Creation(epoch=EPOCH, collection=self.name, outcome=outcome, uuid=uuid)
        self.run(put_staged(self.store, self.shared.paths, EPOCH, creation))

    def made(self, maker: str = OURS, points: int = 0) -> str:
        """A collection that every peer knows of; its uuid."""
        self.qdrant.create(self.name, INFO, maker, points)
        for peer in self.qdrant.peers:
            self.qdrant.learn_all(peer)
        return self.qdrant.collections[self.name].uuid


class Overtaken(CollectionCreator):
    """Just before its request another one comes in, of `maker`."""

    def __init__(
        self, leader: Leader, context: CoordinatorContext, draft: RestoreDraft, maker: str
    ) -> None:
        super().__init__(context, draft)
        self._leader, self._maker = leader, maker

    async def _record(self, name: str, outcome: Outcome, uuid: str = "") -> None:
        await super()._record(name, outcome, uuid)
        if outcome == "asked":
            self._leader.made(self._maker)


def test_a_late_request_of_an_earlier_leader_is_ours() -> None:
    """Its answer went to nobody, and the next request is refused for it: no orphan is left."""
    leader = Leader()
    leader.record("asked")
    leader.at(Phase.CREATE)
    overtaken = Overtaken(leader, leader.context(), leader.draft, OURS)
    tasks = leader.run(overtaken.create(HOSTS))
    uuid = leader.qdrant.collections["docs"].uuid
    assert {task.uuid for given in tasks.values() for task in given} == {uuid}
    leader.run(leader.at(Phase.ROLLBACK).undo())
    assert not leader.qdrant.collections


def test_a_name_that_a_stranger_took_is_not_ours() -> None:
    """Nothing was asked for before, so a collection that looks as asked for is another one."""
    leader = Leader()
    leader.at(Phase.CREATE)
    overtaken = Overtaken(leader, leader.context(), leader.draft, USER)
    with pytest.raises(Refused, match="already exists"):
        leader.run(overtaken.create(HOSTS))
    leader.run(leader.at(Phase.ROLLBACK).undo())
    assert "docs" in leader.qdrant.collections


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_what_was_made_is_undone_whatever_else_was_told(name: str) -> None:
    """A leader that comes too late finds the name taken: by its successor."""
    leader = Leader(name)
    leader.record("made", leader.made())
    leader.record("refused")
    leader.record("asked")
    leader.run(leader.at(Phase.ROLLBACK).undo())
    assert not leader.qdrant.collections


def test_a_peer_that_lags_does_not_hide_what_was_made() -> None:
    """The first peer has not heard of the collection yet."""
    leader = Leader()
    leader.qdrant.lag_s = 500.0
    leader.qdrant.create("docs", INFO, OURS)
    leader.qdrant.learn_all(PeerId(2))
    leader.record("made", leader.qdrant.collections["docs"].uuid)
    leader.run(leader.at(Phase.ROLLBACK).undo())
    assert not leader.qdrant.collections


def test_what_took_its_place_is_not_dropped() -> None:
    leader = Leader()
    leader.record("made", leader.made())
    leader.qdrant.drop("docs", USER)
    leader.made(USER)
    leader.run(leader.at(Phase.ROLLBACK).undo())
    assert leader.qdrant.collections["docs"].maker == USER


class Stopped(CollectionCreator):
    """Its process stands still while it asks where ctl is."""

    async def _still(self, phase: Phase) -> None:
        await self._context.clock.sleep(10.0)
        await super()._still(phase)


def test_a_leader_that_was_stopped_looks_again() -> None:
    """What it read before is old: nothing is made or dropped on the strength of it."""
    leader = Leader()
    leader.at(Phase.CREATE)
    stopped = Stopped(leader.context(), leader.draft)
    with pytest.raises(TimedOut, match="it is done again"):
        leader.run(stopped.create(HOSTS))
    assert not leader.qdrant.collections
    leader.record("made", leader.made())
    leader.at(Phase.ROLLBACK)
    with pytest.raises(TimedOut, match="it is done again"):
        leader.run(stopped.undo())
    assert leader.qdrant.collections


def test_points_that_a_stranger_wrote_into_what_was_made_are_not_dropped() -> None:
    """The uuid is ours, but no shard was recovered to as many points."""
    leader = Leader()
    leader.record("made", leader.made(points=5))
    with pytest.raises(Refused, match="has not put there: shard 0 at peer"):
        leader.run(leader.at(Phase.ROLLBACK).undo())
    assert "docs" in leader.qdrant.collections


def test_a_replica_that_was_being_recovered_hinders_no_rollback() -> None:
    """Its peer answers that it cannot be read: what it held is gone, and what it holds is ours."""
    leader = Leader()
    leader.record("made", leader.made())
    for peer in leader.qdrant.peers.values():
        for replica in peer.replicas.values():
            replica.dirty = True
    leader.run(leader.at(Phase.ROLLBACK).undo())
    assert not leader.qdrant.collections
