"""Shards on their way, by a transfer or a resharding, are waited for within an attempt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from cleancut.core.backup.assignment import Usable, assign, check_at_rest, sick_collections
from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.phases import Assign
from cleancut.core.cluster.resharding import Direction, ReshardingState
from cleancut.core.cluster.view import View
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.errors import Refused
from cleancut.core.primitives.ids import AgentName, PeerId, ShardId
from cleancut.core.protocol.commands import Command, Run
from cleancut.core.protocol.etcd_records import Vote
from cleancut.core.protocol.events import Failed, Tick, Voted
from cleancut.core.protocol.failures import ShardsMoving, failure_of
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import Phase, State
from tests.support.groups import view
from tests.unit.core.backup.table import EPOCH
from tests.unit.core.backup.test_assignment import sessions
from tests.unit.core.backup.test_barrier import new_table

A1 = AgentName("a1")
TWO = {0: {1: "Active", 2: "Active"}, 1: {1: "Active"}}
USABLE = Usable(sessions(1, 2))
MOVES = failure_of(ShardsMoving("collection 'docs' is being resharded (up, shard 2)"))


def resharded() -> View:
    seen = view("docs", TWO)
    state = ReshardingState(direction=Direction.UP, shard_id=ShardId(2), peer_id=PeerId(1))
    return replace(seen, collections=(replace(seen.collections[0], resharding=(state,)),))


def test_a_collection_between_two_rings_is_never_cut() -> None:
    seen = resharded()
    with pytest.raises(ShardsMoving, match=r"'docs' is being resharded \(up, shard 2\)"):
        check_at_rest(seen, ["docs"], USABLE)
    assert "being resharded (up, shard 2)" in sick_collections(seen, ["docs"], USABLE)["docs"]
    with pytest.raises(Refused, match="being resharded"):
        assign(seen, ["docs"], USABLE, {})


@pytest.mark.parametrize(
    ("transfer", "moves"), [((0, 1, 2), True), ((0, 1, 3), False), ((1, 1, 2), True)]
)
def test_a_transfer_matters_if_it_has_all_replicas(
    transfer: tuple[int, int, int], moves: bool
) -> None:
    seen = view("docs", TWO, transfers=(transfer,))
    if moves:
        with pytest.raises(ShardsMoving, match=f"shard {transfer[0]} of 'docs' is in a transfer"):
            check_at_rest(seen, ["docs"], USABLE)
    else:
        check_at_rest(seen, ["docs"], USABLE)


def test_a_replica_that_is_dead_as_well_is_not_waited_for() -> None:
    seen = view("docs", {0: {1: "Dead", 2: "Partial"}}, transfers=((0, 1, 2),))
    check_at_rest(seen, ["docs"], USABLE)
    assert "no agent can cut shard 0" in sick_collections(seen, ["docs"], USABLE)["docs"]


def assigning(**asked: Any) -> tuple[Barrier, Assign, Vote, float]:
    """The machine has just asked for the first assignment."""
    table = new_table()
    for turn in range(200):
        if isinstance(table.barrier.waiting, Assign):
            break
        moves = table.moves()
        table.move(moves[turn % len(moves)])
    barrier, effect = table.barrier, table.barrier.waiting
    assert isinstance(effect, Assign)
    assert barrier.operation is not None
    request = encode(BackupRequest(attempts=2, **asked)).decode()
    barrier.operation = replace(barrier.operation, request=request)
    return barrier, effect, table.votes["PREPARE", A1], table.now_s


def asked_again(commands: Sequence[Command]) -> Assign:
    (run,) = commands
    assert isinstance(run, Run)
    assert isinstance(run.effect, Assign)
    return run.effect


def test_each_newer_view_is_tried_until_the_bound() -> None:
    """Then the attempt ends with the reason, and may be repeated."""
    barrier, effect, vote, now_s = assigning()
    assert barrier.step(Failed(effect, MOVES), now_s) == []
    assert barrier.deadline_s == now_s + barrier.ctl.bounds.moving_s
    newer = replace(vote, view="v2", view_object="o2")
    effect = asked_again(barrier.step(Voted(A1, EPOCH, "PREPARE", newer), now_s + 40))
    assert (effect.view_object, effect.patient) == ("o2", True)
    newest = replace(vote, view="v3", view_object="o3")
    assert barrier.step(Voted(A1, EPOCH, "PREPARE", newest), now_s + 41) == []
    effect = asked_again(barrier.step(Failed(effect, MOVES), now_s + 42))
    assert effect.view_object == "o3"
    assert barrier.step(Failed(effect, MOVES), now_s + 43) == []
    assert barrier.step(Tick(), now_s + 119) == []
    barrier.step(Tick(), now_s + 120)
    assert barrier.ctl.phase is Phase.ABORT
    assert barrier.operation is not None
    assert barrier.operation.state is State.PENDING, "the next attempt waits again"
    assert barrier.operation.failure == MOVES


def test_what_may_be_missing_is_left_out_after_the_wait() -> None:
    barrier, effect, _, now_s = assigning(allow_missing=True)
    assert barrier.step(Failed(effect, MOVES), now_s) == []
    effect = asked_again(barrier.step(Tick(), now_s + 120))
    assert not effect.patient
    assert barrier.ctl.phase is Phase.PREPARE
