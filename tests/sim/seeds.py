"""Seeds in the simulation: who asks for one, what carries it out, and what must hold of it."""

from __future__ import annotations

import random
from collections.abc import Iterator

from cleancut.core.backup.assignment import assign, choose_collections
from cleancut.core.backup.participant_requests import SeedShards
from cleancut.core.backup.phases import Assign, Assigned
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.errors import Unavailable
from cleancut.core.primitives.ids import Epoch, OperationId
from cleancut.core.protocol.commands import Effect
from cleancut.core.protocol.etcd_records import EpochMember, Operation, Seeded
from cleancut.core.protocol.requests import SeedRequest
from cleancut.core.protocol.states import OperationKind, State
from cleancut.ports.coordination import Put
from cleancut_coordinator.backup.seed_effects import record_seed_start
from tests.sim.agents import AgentEffects, SimAgent
from tests.sim.backing import CoordinatorEffects
from tests.sim.coordinators import SimCoordinator
from tests.sim.network import Shared
from tests.sim.outcome import Checker, Outcome

READ_S = 2.0


def submit_seed(shared: Shared, name: OperationId, choice: random.Random) -> None:
    """A user asks for a seed, somewhere between the other operations."""
    request = SeedRequest(streams=choice.randint(1, 2), attempts=choice.randint(1, 4))
    record = Operation(
        id=name,
        kind=OperationKind.SEED,
        state=State.PENDING,
        request=encode(request).decode(),
        created_at=f"{choice.randint(0, 3)}.5",
    )
    shared.model.txn([], [Put(shared.keys.operation(name), encode(record))])


class SowEffects(AgentEffects):
    """Reads one shard after the other; a peer that is started anew breaks its stream off."""

    async def run(self, effect: Effect) -> object:
        if not isinstance(effect, SeedShards):
            return await super().run(effect)
        await self._suffer()
        startup = self._qdrant.telemetry(self._peer, effect.tasks).incarnation
        for task in effect.tasks:
            await self._pause(READ_S)
            self._qdrant.check_alive(self._peer, startup)
            if task.peer_id != self._peer:
                raise Unavailable("a shard of another peer")
            self._shared.trace.sown.add((effect.epoch, task.collection, task.shard_id))
        done = len(effect.tasks)
        return Seeded(shards=done, read_bytes=done, new_bytes=done, stored_bytes=done)


class SeedEffects(CoordinatorEffects):
    """PREPARE of a seed."""

    async def run(self, effect: Effect) -> object:
        if not isinstance(effect, Assign):
            return await super().run(effect)
        await self.suffer()
        view, sessions = await self.read_told(effect)
        chosen = choose_collections(view, effect.request.collections, allow_empty=False)
        tasks = assign(view, chosen, sessions, {})
        given = [one for some in tasks.values() for one in some]
        await record_seed_start(self._owner.context, effect.epoch, given)
        return Assigned("", tuple(chosen), tasks)


def seeds_leave_no_group(outcome: Outcome) -> Iterator[str]:
    """Nothing of a seed's epoch is decided on or published."""
    groups = set(outcome.manifests())
    groups |= {Epoch(epoch) for _, epoch, _ in outcome.shared.trace.published}
    for _, ctl in outcome.ctls():
        if ctl.kind is OperationKind.SEED and ctl.epoch in groups:
            yield f"epoch {ctl.epoch} of a seed is a group"


def seeded_is_true(outcome: Outcome) -> Iterator[str]:
    """Whoever is told that a seed is done finds every shard read, in that very epoch, and noted in
    the store before, so that no gc run takes what was stored."""
    for _, kv in outcome.shared.trace.operations:
        record = decode(Operation, kv.value, kv.key)
        if record.state is not State.SEEDED:
            continue
        given = _given(outcome, record.epoch)
        read = {(c, s) for epoch, c, s in outcome.shared.trace.sown if epoch == record.epoch}
        if not given or given != read:
            yield f"{record.id} is SEEDED: of {sorted(given)}, {sorted(read)} were read"
        if record.seeded is None or record.seeded.shards < len(given):
            yield f"{record.id} is SEEDED, and tells of {record.seeded}"
        prefix = outcome.shared.paths.seeds_of(record.epoch)
        if not any(path.startswith(prefix) for path in outcome.shared.store.objects):
            yield f"{record.id} is SEEDED, and the store does not say that it has begun"


def _given(outcome: Outcome, epoch: Epoch) -> set[tuple[str, int]]:
    """The shards that were given out in an epoch, by what each agent was told last: they are given
    out again when a stranger changes the cluster meanwhile."""
    prefix = outcome.shared.keys.members(epoch)
    told = {
        op.key: decode(EpochMember, op.value, op.key).tasks
        for write in outcome.shared.trace.writes
        for op in write.ops
        if isinstance(op, Put) and op.key.startswith(prefix)
    }
    return {(task.collection, int(task.shard_id)) for tasks in told.values() for task in tasks}


SEED_CHECKERS: tuple[Checker, ...] = (seeds_leave_no_group, seeded_is_true)

SimAgent.seed_effects = SowEffects
SimCoordinator.seed_effects = SeedEffects
