"""Bugs that the simulation has found, put back: each is what production code did before its fix."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cleancut.core.backup.barrier import Barrier
from cleancut.core.cluster.view import ACTIVE
from cleancut.core.protocol import votes
from cleancut.core.protocol.attempt import Attempt
from cleancut.core.protocol.commands import Command
from cleancut.core.protocol.states import OperationKind, Phase
from cleancut.core.rebalance import ready_moves
from cleancut.core.rebalance.ready_moves import ShardNow, StepState
from cleancut_agent.restore import identity, recovery
from cleancut_coordinator.any_peer import first_peer
from cleancut_coordinator.backup import effects as backup_effects
from cleancut_coordinator.leader import term
from cleancut_coordinator.leader.installation import check_installation
from cleancut_coordinator.restore.create_collections import CollectionCreator
from simulation.mutation import Mutant, Patch


def check_no_uuid(telemetry: Any, task: Any) -> None:
    """A shard is recovered whatever has become of its collection."""


async def check_nothing(context: Any, task: Any) -> None:
    """What Qdrant asks for it gets."""


@asynccontextmanager
async def named_as_all(context: Any, task: Any) -> AsyncIterator[str]:
    """Tars are uploaded by the name that another collection may have by then."""
    identity.check_same(await context.qdrant.telemetry(), task)
    yield task.collection


async def delete_by_name(self: CollectionCreator, name: str, uuid: str) -> None:
    """A collection is dropped without a last look at what has its name."""
    await (await first_peer(self._context.peers)).delete_collection(name)


async def delete_elsewhere(self: CollectionCreator, name: str, uuid: str) -> None:
    """The last look is at any peer, and another one is asked to drop the collection."""
    if await self._anywhere(name) == uuid:
        await self._context.peers[-1].delete_collection(name)


def always_fresh(self: CollectionCreator, began_s: float) -> None:
    """What was looked at long ago counts."""


_real_state = ready_moves.step_state


def moves_again(step: Any, now: ShardNow | None) -> StepState:
    """A move goes on to its source's end, although another one has put a replica at its target."""
    state = _real_state(step, now)
    there = state is StepState.DONE and step.action == "move" and now is not None
    if there and now is not None and now.states.get(step.source) == ACTIVE:
        return StepState.READY
    return state


class CancelsUnasked(Barrier):
    """Cancels an attempt that was taken over before the store was asked about it."""

    def _cancelled(self) -> list[Command]:
        if self.taking_over and self.ctl.phase is not Phase.COMMIT:
            return self._abort(votes.CANCELLED)
        return super()._cancelled()


BEGINS_EARLY = property(lambda self: self.waiting is not None)
"""An effect that has to be repeated keeps no other from beginning."""


REGRESSION_MUTANTS = {
    "recovers_replaced": Mutant(
        "a shard is recovered only into the collection that the restore made",
        ("old_data_stays",),
        (
            Patch(recovery, "check_same", check_no_uuid),
            Patch(identity, "check_same", check_no_uuid),
        ),
        {"situation": "replaced_early"},
        first=1822,
    ),
    "sends_unseen": Mutant(
        "a tar is sent only once the collection that Qdrant has chosen is seen to be ours",
        ("old_data_stays",),
        (Patch(recovery, "check_chosen", check_nothing),),
        {"situation": "replaced_early"},
        first=23274,
    ),
    "uploads_by_name": Mutant(
        "a tar is uploaded by a name that goes with its collection",
        ("old_data_stays",),
        (Patch(recovery, "named", named_as_all),),
        {"situation": "replaced_uploads"},
        first=970,
    ),
    "drops_by_name": Mutant(
        "a rollback looks at the uuid before it drops a collection",
        ("drops_own_only",),
        (Patch(CollectionCreator, "_delete", delete_by_name),),
        {"situation": "replaced"},
    ),
    "looks_elsewhere": Mutant(
        "the last look is at the peer that is asked to drop",
        ("drops_own_only",),
        (Patch(CollectionCreator, "_delete", delete_elsewhere),),
        {"situation": "replaced_unseen"},
        first=668,
    ),
    "looks_too_early": Mutant(
        "what was looked at long ago is looked at again",
        ("undone_leaves_nothing", "drops_own_only"),
        (Patch(CollectionCreator, "_check_fresh", always_fresh),),
        {"situation": "replaced_frozen"},
        first=8952,
    ),
    "begins_early": Mutant(
        "nothing begins while an effect has to be repeated",
        ("round_of_leader", "told_by_all"),
        (Patch(Attempt, "busy", BEGINS_EARLY),),
        {"situation": "taken_over"},
        first=2954,
    ),
    "moves_again": Mutant(
        "a rebalance moves no shard onto a peer that has got it meanwhile",
        ("no_factor_undercut",),
        (Patch(ready_moves, "step_state", moves_again),),
        {"rebalances": True},
        rare="a client has to move the same shard to the same peer at that time",
    ),
    "needs_its_mark": Mutant(
        "a backup is made while consensus has stopped",
        ("healthy_is_backed_up",),
        (Patch(backup_effects, "check_before_backup", check_installation),),
        {"unkind": "stopped"},
        first=51,
    ),
    "cancels_unasked": Mutant(
        "an attempt that was taken over is not cancelled until the store was asked about it",
        ("aborted_leave_nothing", "operations_end"),
        (Patch(term._MACHINES, OperationKind.BACKUP, CancelsUnasked),),
        {"turned": True},
        rare="the cancel has to come between a takeover and its answer, after etcd went back",
    ),
}
