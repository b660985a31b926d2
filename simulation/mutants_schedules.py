"""Schedules, holds, copies and aliases that are wrong on purpose."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from cleancut.core.backup import assignment
from cleancut.core.cluster.view import View
from cleancut.core.maintenance.copying import CopyGarbage
from cleancut.core.maintenance.schedule import Schedules
from cleancut.core.primitives.ids import Epoch
from cleancut.ports.store import Store
from cleancut_coordinator.api import backups
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.maintenance import expiry, garbage_collector, scheduler
from cleancut_coordinator.maintenance.scheduler import Scheduler
from cleancut_coordinator.schedules import read_schedules
from simulation.mutation import Mutant, Patch

_read: WeakKeyDictionary[object, Schedules] = WeakKeyDictionary()


async def read_once(context: CoordinatorContext) -> Schedules:
    """What a coordinator has found once counts for as long as it lives."""
    known = _read.get(context.etcd) or await read_schedules(context)
    if known:
        _read[context.etcd] = known
    return known


def begins_once(self: Scheduler, group: asyncio.TaskGroup) -> None:
    """What a call defines later is not looked at."""
    self._run_again = lambda: None
    group.create_task(self.run())


def first_of_all(view: View) -> dict[str, str]:
    """Every alias stands for the first collection, whichever it is of."""
    names = sorted(entry.name for entry in view.collections)
    return {alias: names[0] for alias, of in view.aliases if alias not in names and names}


async def buried_anyway(
    context: CoordinatorContext, epoch: Epoch, why: str, store: Store | None = None
) -> bool:
    """A group is deleted without a look whether it is held by now."""
    await expiry.put_tombstone(context, epoch, why, store)
    return True


def unnamed_is_garbage(self: CopyGarbage, path: str) -> bool:
    """What no group of the copy names may be deleted, although a copy is under way."""
    return not self.living.is_live(path)


SCHEDULE_MUTANTS = {
    "reads_once": Mutant(
        "a schedule that was deleted or changed starts nothing of what it said",
        ("deleted_makes_none",),
        (Patch(scheduler, "read_schedules", read_once),),
        {"defined": True},
        first=10081,
    ),
    "begins_once": Mutant(
        "the first schedule that a call defines is looked at from then on",
        ("protected_by_schedule",),
        (Patch(Scheduler, "begin", begins_once),),
        {"defined": True, "calm": True},
        first=10045,
    ),
    "first_of_all": Mutant(
        "an alias stands for the collection that it is of when a backup begins",
        ("takes_what_is_named",),
        (Patch(assignment, "aliases_of", first_of_all),),
        {"defined": True},
        first=10101,
    ),
    "buries_held": Mutant(
        "what is held by the time of its tombstone stays",
        ("held_stays",),
        (
            Patch(garbage_collector, "delete_group", buried_anyway),
            Patch(backups, "delete_group", buried_anyway),
        ),
        {"held": True},
        rare="a hold has to come within some milliseconds of a tombstone",
    ),
    "copies_die": Mutant(
        "what a copy under way has stored stays while the source has it",
        ("copies_are_whole",),
        (Patch(CopyGarbage, "is_garbage", unnamed_is_garbage),),
        {"copied": True},
        first=10054,
    ),
}
