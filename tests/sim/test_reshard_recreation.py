"""What a step of a reshard finds out about a collection that was made again meanwhile."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import NotFound, Refused
from cleancut.core.primitives.ids import Epoch, OperationId, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import Phase
from cleancut.core.reshard.phases import ReshardDraft
from cleancut.core.reshard.plan import ReshardPlan, ReshardStep, check_same
from cleancut.ports.coordination import Put
from cleancut_coordinator.reshard.migration import StepMigration
from simulation.qdrant import info_of
from simulation.replica import USER
from tests.sim.bench import Bench

EPOCH = Epoch(5)
OLD, NEW = tuple(map(ShardId, (0, 1))), tuple(map(ShardId, (0, 1, 2)))


class Leader(Bench):
    """On three peers, with a step of one collection from two shards to three."""

    def __init__(self) -> None:
        super().__init__(peers=3)
        self.make(2)
        step = ReshardStep(shards=3, shard_id=ShardId(2), peers=(PeerId(3),), old=OLD, new=NEW)
        uuid = self.qdrant.collections["docs"].uuid
        self.plan = ReshardPlan("docs", 2, 3, steps=(step,), uuid=uuid)

    def make(self, shards: int) -> None:
        self.qdrant.drop("docs", USER)
        self.qdrant.create("docs", info_of(shards, 1), USER)
        for peer in self.qdrant.peers:
            self.qdrant.learn_all(peer)

    def at(self, phase: Phase, plan: ReshardPlan | None = None) -> StepMigration:
        """Where ctl stands now."""
        ctl = Ctl(epoch=EPOCH, phase=phase)
        self.shared.model.txn([], [Put(self.shared.keys.ctl, encode(ctl))])
        draft = ReshardDraft(epoch=EPOCH, operation=OperationId("op"), plan=plan or self.plan)
        return StepMigration(self.context(), draft)


@pytest.mark.parametrize(
    ("phase", "what"), [(Phase.COMMIT, "commit"), (Phase.CLEAN, "finish"), (Phase.MOVE, "move")]
)
def test_a_collection_that_was_made_again_is_not_the_one_of_the_step(
    phase: Phase, what: str
) -> None:
    """It has the very number of shards that the step leads to: nothing of it was resharded."""
    leader = Leader()
    leader.make(3)
    step = leader.at(phase)
    with pytest.raises(NotFound, match="made again"):
        leader.run(getattr(step, what)())
    assert not leader.qdrant.aliases


def test_a_step_that_a_leader_before_has_finished_is_finished() -> None:
    """Whether the uuid is the same, or is not known, as in a draft of an earlier version."""
    leader = Leader()
    leader.make(3)
    uuid = leader.qdrant.collections["docs"].uuid
    for known in (uuid, ""):
        leader.run(leader.at(Phase.COMMIT, replace(leader.plan, uuid=known)).commit())


def test_the_next_step_is_not_made_on_another_collection() -> None:
    plan = Leader().plan
    for before in ("", plan.uuid):
        check_same(plan, before)
    with pytest.raises(Refused, match="made again"):
        check_same(plan, "another")
