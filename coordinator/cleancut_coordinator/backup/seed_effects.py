"""What a seed's machine asks for, done on the cluster and the store."""

from __future__ import annotations

from collections.abc import Iterable

from cleancut.core.backup.assignment import Usable, assign, choose_collections, sick_collections
from cleancut.core.backup.phases import Assign, Assigned
from cleancut.core.cluster.view import View
from cleancut.core.maintenance.garbage import Begun, first_reused
from cleancut.core.primitives.codec import digest_of, encode
from cleancut.core.primitives.ids import AgentName, Epoch
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.effect_requests import Probe
from cleancut.core.protocol.etcd_records import Session, ShardTask, SickCollection
from cleancut.core.protocol.failures import SickCollections
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
            case Probe():
                return await self._backups.run(effect)
            case Assign():
                return await self._assign(effect)
            case _:
                raise AssertionError(f"not a seed's effect: {effect}")

    async def _assign(self, effect: Assign) -> Assigned:
        context, request = self._context, effect.request
        assert isinstance(request, SeedRequest), "a seed's attempt"
        view, sessions = await read_view_and_sessions(context, effect)
        chosen = self._choose(effect, view, sessions, request)
        parents, homes = await read_parents(context, chosen), await read_homes(context)
        tasks = assign(view, chosen, Usable(sessions, effect.unusable), parents, homes=homes)
        await record_seed_start(
            context, effect.epoch, (one for given in tasks.values() for one in given)
        )
        return Assigned("", tuple(chosen), tasks)

    @staticmethod
    def _choose(
        effect: Assign, view: View, sessions: dict[AgentName, Session], request: SeedRequest
    ) -> list[str]:
        """A seed is a help: without names, it passes over what cannot be read. Raises:
        SickCollections."""
        chosen, _ = choose_collections(view, request)
        sick = sick_collections(view, chosen, Usable(sessions, effect.unusable))
        if sick and (request.collections or len(sick) == len(chosen)):
            found = [SickCollection(name=name, reason=why) for name, why in sorted(sick.items())]
            raise SickCollections(found, named=bool(request.collections))
        return [name for name in chosen if name not in sick]


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
