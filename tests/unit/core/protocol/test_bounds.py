"""Bounds of the phases: those of a cut grow with the shards of the fullest agent, and are set."""

from __future__ import annotations

import pytest

from cleancut.core.backup.barrier import Barrier
from cleancut.core.primitives.ids import AgentName, FencingToken, PeerId, ShardId
from cleancut.core.protocol.etcd_records import Bounds, Ctl, EpochMember, ShardTask
from cleancut.core.protocol.states import Phase


def bound_s(bounds: Bounds, phase: Phase, *loads: int) -> float:
    """Of `phase`, with agents that have so many shards."""
    machine = Barrier(bounds)
    machine.ctl = Ctl(phase=phase, bounds=bounds)
    machine.members = {
        AgentName(f"a{index}"): EpochMember(
            session=FencingToken(1),
            tasks=tuple(
                ShardTask(collection="docs", shard_id=ShardId(number), peer_id=PeerId(index))
                for number in range(load)
            ),
        )
        for index, load in enumerate(loads)
    }
    machine.start_clocks(100.0)
    return machine.deadline_s - 100.0


@pytest.mark.parametrize("phase", [Phase.CUT, Phase.SEAL])
def test_the_bound_grows_with_the_fullest_agent(phase: Phase) -> None:
    few = bound_s(Bounds(), phase, 1, 1)
    assert bound_s(Bounds(), phase, 1000, 1) == pytest.approx(few + 999 * Bounds().per_shard_s)
    assert bound_s(Bounds(), phase, 1667, 1667, 1666) < bound_s(Bounds(), phase, 5000)


def test_both_parts_are_set() -> None:
    bounds = Bounds(cut_s=60.0, seal_s=60.0, per_shard_s=0.5)
    assert bound_s(bounds, Phase.CUT, 100) == 60.0 + bounds.drain_s + 50.0
    assert bound_s(bounds, Phase.SEAL, 100) == 60.0 + 50.0
