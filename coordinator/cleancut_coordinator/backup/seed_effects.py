"""What a seed's machine asks for, done on the cluster and the store."""

from __future__ import annotations

from collections.abc import Iterable

from cleancut.core.backup.assignment import assign, choose_collections
from cleancut.core.backup.phases import Assign, Assigned
from cleancut.core.maintenance.garbage import Begun, first_reused
from cleancut.core.primitives.codec import digest_of, encode
from cleancut.core.primitives.ids import Epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import ShardTask
from cleancut.core.protocol.high_water import ReadMarks
from cleancut.core.protocol.requests import SeedRequest
from cleancut.repository.catalog import read_epochs
from cleancut_coordinator.backup.assignment_inputs import (
    read_homes,
    read_parents,
    read_view_and_sessions,
)
from cleancut_coordinator.backup.effects import LeaderBackupEffects
from cleancut_coordinator.context import CoordinatorContext
from cleancut_coordinator.leader.state import format_now


class LeaderSeedEffects:
    """One term's effects of seeds."""

    def __init__(self, context: CoordinatorContext, backups: LeaderBackupEffects) -> None:
        self._context, self._backups = context, backups

    async def run(self, effect: Effect) -> object:
        """The effect's result. Raises: a CleancutError that says why there is none."""
        match effect:
            case Probe() | ReadMarks():
                return await self._backups.run(effect)
            case Assign():
                return await self._assign(effect)
            case _:
                raise AssertionError(f"not a seed's effect: {effect}")

    async def _assign(self, effect: Assign) -> Assigned:
        context, request = self._context, effect.request
        assert isinstance(request, SeedRequest), "a seed's attempt"
        view, sessions = await read_view_and_sessions(context, effect)
        chosen = choose_collections(view, request.collections, allow_empty=False)
        parents, homes = await read_parents(context, chosen), await read_homes(context)
        tasks = assign(view, chosen, sessions, parents, homes=homes)
        await record_seed_start(
            context, effect.epoch, (one for given in tasks.values() for one in given)
        )
        return Assigned("", tuple(chosen), tasks)


async def record_seed_start(
    context: CoordinatorContext, epoch: Epoch, tasks: Iterable[ShardTask]
) -> None:
    """From here on a gc run keeps what this seed stores, and what it may reuse. Order: before any
    agent has begun to store; repeatable, with other tasks too."""
    known = await read_epochs(context.store, context.paths)
    begun = Begun(
        at=format_now(context.clock),
        since=Epoch(first_reused(known.newest, epoch)),
        shards=tuple(sorted((one.collection, one.shard_id, one.peer_id) for one in tasks)),
    )
    await context.store.put(context.paths.seed(epoch, digest_of(begun)), encode(begun))
