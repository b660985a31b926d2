"""Rebalances, schedules and garbage collection that are wrong on purpose."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cleancut.core.maintenance.garbage import GarbageList, LiveSet
from cleancut.core.maintenance.schedule import ScheduleRule, ScheduleState, request_of
from cleancut.core.primitives.errors import CleancutError
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.states import OperationKind
from cleancut.core.rebalance.phases import MoveShards, ReplicasToCount
from cleancut_coordinator.leader import requests
from cleancut_coordinator.maintenance.garbage_collector import GarbageCollector
from cleancut_coordinator.maintenance.scheduler import Scheduler
from cleancut_coordinator.rebalance.effects import RebalanceEffects
from simulation.mutation import Mutant, Patch

_real_move = RebalanceEffects._move


async def move_uncounted(self: RebalanceEffects, effect: MoveShards) -> Any:
    """Every step is done, and no agent is asked for a count."""
    moved = await _real_move(self, effect)
    return moved if isinstance(moved, ReplicasToCount) else {}


async def move_and_drop(self: RebalanceEffects, effect: MoveShards) -> Any:
    """Drops another replica of each shard that it has moved."""
    tasks = await _real_move(self, effect)
    if isinstance(tasks, ReplicasToCount):
        return tasks
    draft = await self.draft(effect.epoch, effect.draft)
    for step in draft.plan.steps:
        for peer in range(1, 5):
            if step.target is not None and peer != step.target:
                with suppress(CleancutError):
                    await self._context.peers[0].drop_replica(step.collection, step.shard_id, peer)
    return tasks


async def start_and_forget(
    self: Scheduler, name: str, schedule: ScheduleRule, after: ScheduleState, *, request_id: str
) -> Operation:
    """Starts what is due in one write, and says how far it is in another, some time later."""
    operation = await requests.record(
        self._context,
        self._token,
        OperationKind.BACKUP,
        request=request_of(name, schedule),
        request_id=f"{request_id}/{self._context.token_hex(2)}".replace("/", "%2F"),
    )
    self._poke()
    await self._context.clock.sleep(20.0)
    await self._write(name, after)
    return operation


async def deletes_at_once(self: GarbageCollector, lists: Any) -> GarbageList:
    """Deletes what was marked for deletion once, without a second look."""
    objects = [pair for one in lists.values() for pair in one.garbage.objects]
    return GarbageList(objects=tuple(objects))


def not_reusable(self: LiveSet, epoch: int) -> bool:
    """What an open epoch stores, and no group names yet, counts as garbage."""
    return False


_real_is_live = LiveSet.is_live


def packs_die(self: LiveSet, path: str) -> bool:
    """No pack counts as named by its pages."""
    return not path.startswith("packs/") and _real_is_live(self, path)


_GARBAGE = {"garbage": True}

UPKEEP_MUTANTS = {
    "counts_no_replica": Mutant(
        "a replica that a rebalance made is counted by its own agent",
        ("done_is_true",),
        (Patch(RebalanceEffects, "_move", move_uncounted),),
        {"rebalances": True},
    ),
    "drops_more": Mutant(
        "a rebalance leaves no shard with fewer replicas",
        ("no_factor_undercut",),
        (Patch(RebalanceEffects, "_move", move_and_drop),),
        {"rebalances": True},
        first=119,
    ),
    "starts_twice": Mutant(
        "a start and how far its schedule is are one write",
        ("nothing_twice",),
        (Patch(Scheduler, "_start", start_and_forget),),
        {"schedules": True, "calm": False},
        first=209,
    ),
    "packs_die": Mutant(
        "what a group names stays",
        ("nothing_living_deleted",),
        (Patch(LiveSet, "is_live", packs_die),),
        _GARBAGE,
    ),
    "deletes_at_once": Mutant(
        "what an open epoch may name stays, and what is marked for deletion is looked at again",
        ("nothing_living_deleted",),
        (
            Patch(GarbageCollector, "_deletable", deletes_at_once),
            Patch(LiveSet, "_reusable", not_reusable),
        ),
        {"situation": "marked"},
        first=2258,
    ),
}
