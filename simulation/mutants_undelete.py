"""Undeletes that are wrong on purpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cleancut.core.protocol.commands import Command
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.core.undelete.phases import ShardProgress
from cleancut.core.undelete.undelete import UndeleteMachine
from cleancut_agent.undelete.shard_run import ShardRun
from cleancut_coordinator.leader import term
from simulation.mutation import Mutant, Patch
from simulation.undeleting import SimPoints

_real_upsert, _real_keep = SimPoints.upsert, ShardRun._keep


async def upsert_all(
    self: SimPoints,
    name: str,
    points: Sequence[dict[str, Any]],
    *,
    shard_key: object = None,
    insert_only: bool = False,
    bound_s: int = 0,
) -> None:
    """As a server that does not know `insert_only`."""
    await _real_upsert(self, name, points, shard_key=shard_key)


async def keep_afterwards(self: ShardRun, at: ShardProgress) -> None:
    """What is about to be sent is not kept before."""
    if not at.sending and not at.replacing:
        await _real_keep(self, at)


class CountsTheFirst(UndeleteMachine):
    """One agent that has put back its shards is enough."""

    def counted(self) -> list[Command]:
        done = any(
            phase == Phase.APPLY.value and vote.yes for (phase, _), vote in self.votes.items()
        )
        if self.busy or self.ctl.phase is not Phase.APPLY or not done:
            return super().counted()
        return [*self.move(Phase.COUNT, self.now_s), self.run(self.compare(()))]


_UNDELETES = {"undeletes": True}
UNDELETE_MUTANTS = {
    "replaces_points": Mutant(
        "a client's write between look-up and batch stays",
        ("clients_points_stay",),
        (Patch(SimPoints, "upsert", upsert_all),),
        _UNDELETES,
        first=2900,
    ),
    "keeps_afterwards": Mutant(
        "what a batch sends is kept before it is sent",
        ("undeleted_is_counted_once",),
        (Patch(ShardRun, "_keep", keep_afterwards),),
        _UNDELETES,
        first=10074,
    ),
    "counts_the_first": Mutant(
        "an undelete is done once every agent has put back its shards",
        ("undeleted_is_back",),
        (Patch(term._MACHINES, OperationKind.UNDELETE, CountsTheFirst),),
        _UNDELETES,
        first=1310,
    ),
}
