"""A resharding under way, as doctor reports it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from cleancut.core.cluster.resharding import Direction, ReshardingState
from cleancut.core.doctor.findings import diagnose
from cleancut.core.primitives.ids import ShardId
from tests.support.health import HEALTHY, PEERS, docs, replica


@pytest.mark.parametrize("direction", Direction)
def test_states_of_a_resharding_are_no_ailment(direction: Direction) -> None:
    """Neither the shard that comes, nor replicas that get the points of the one that goes."""
    up = direction is Direction.UP
    state = "Resharding" if up else "ReshardingScaleDown"
    first = [replica(0, PEERS[0]), replica(0, PEERS[1], "Active" if up else state)]
    other = [replica(1, PEERS[1]), replica(1, PEERS[2])]
    last = [replica(2, PEERS[2], state if up else "Active")]
    entry = replace(
        docs(*first, *other, *last, factor=2),
        resharding=(ReshardingState(direction=direction, shard_id=ShardId(2), peer_id=PEERS[2]),),
    )
    (found,) = diagnose(replace(HEALTHY, collections=(entry,)))
    assert (found.kind, found.severity) == ("resharding", "info")
    assert f"{direction}, shard 2" in found.what
