"""What users wish in a history: backups, restores, seeds, rebalances, deletions, and cancels."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cleancut.api.rebalances import RebalanceOptions
from cleancut.api.reshards import ReshardOptions
from cleancut.api.restores import RestoreOptions, ShardNumber
from cleancut.api.undeletes import UndeleteOptions
from cleancut.core.primitives.ids import OperationId
from cleancut.core.protocol.followers import reshard_ids_after
from cleancut.core.protocol.requests import BackupRequest, SeedRequest
from cleancut.core.protocol.states import OperationKind
from simulation.prehistory import FIRST
from simulation.replica import POINTED
from simulation.shards import Place
from simulation.undeleting import ids_of
from simulation.users import Asked, HasId

if TYPE_CHECKING:
    from simulation.scenario import Scenario

CANCELLED = 0.15
HEALTHY = "healthy"
"""The backup of what is healthy, while something else is sick. It is never cancelled."""


class Wishes:
    """All that is asked for in one history, drawn from its generator. `times_s`: when."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._rng, self._users = scenario, scenario.rng, scenario.users
        self.times_s: list[float] = []
        plan = scenario.plan
        for number in range(self._rng.randint(1, 4)):
            restore = plan.restores and (number == 0 or self._rng.random() < 0.5)
            at_s = self._rng.random() * 5.0
            if restore:
                self._restore(f"restore-{number}", at_s)
            else:
                self.back_up(f"backup-{number}", at_s)
        if plan.restores and self._rng.random() < 0.3:
            self._disaster()
        if plan.seeds:
            request = SeedRequest(streams=self._rng.randint(1, 2), attempts=self._rng.randint(1, 4))
            self._submit(
                "seed",
                OperationKind.SEED,
                self._rng.random() * 5.0,
                lambda api, asked: api.backups.seed_backup(request, asked),
            )
        if plan.rebalances:
            self._rebalance()
        if plan.reshards:
            self._reshard()
        if plan.undeletes:
            self._undelete()
        if plan.garbage:
            self._collect_garbage()
        self._write()

    def _submit(
        self,
        name: str,
        kind: OperationKind,
        at_s: float,
        call: Callable[[Any, str], Awaitable[HasId]],
        *,
        cancelled: float = CANCELLED,
    ) -> Asked:
        asked = Asked(name, kind)
        self.times_s.append(at_s)
        self._users.submit(asked, at_s, call)
        if self._rng.random() < cancelled:
            self._users.wish(
                f"the end of {name}",
                at_s + self._rng.random() * 4.0,
                lambda api: cancel(api, asked),
            )
        return asked

    def back_up(self, name: str, at_s: float) -> None:
        request = BackupRequest(
            attempts=self._rng.randint(1, 4), require_point_in_time=self._rng.random() < 0.1
        )
        self.ask_for(name, at_s, request)

    def ask_for(self, name: str, at_s: float, request: BackupRequest) -> None:
        self._submit(
            name,
            OperationKind.BACKUP,
            at_s,
            lambda api, asked: api.backups.create_backup(request, asked),
            cancelled=CANCELLED if name != HEALTHY else 0.0,
        )

    def _restore(self, name: str, at_s: float, lost: tuple[str, ...] = ()) -> None:
        scenario, group = self._scenario, self._scenario.first
        some, room = self._rng.random() < 0.3, self._rng.random() < 0.7
        spread = self._rng.random() < 0.15
        chance = random.Random(f"numbers {scenario.world.seed} {name}")
        numbers: tuple[ShardNumber, ...] = ()
        if scenario.plan.renumbered:
            numbers = (ShardNumber(shards=chance.randint(1, 4)),)
        wanted: list[tuple[int, RestoreOptions]] = []

        def choose() -> tuple[int, RestoreOptions]:
            """Of what there is now; a request that is repeated asks for the same."""
            if room and name != "restore-0":
                scenario.strangers.make_room()
            epochs = [epoch for _, epoch, _ in scenario.shared.trace.published]
            backup = int(FIRST)
            chosen: tuple[str, ...] = (group.collections[0].name,) if some else ()
            if lost and epochs:
                backup, chosen = epochs[-1], lost
            return backup, RestoreOptions(collections=chosen, rebalance=spread, shards=numbers)

        async def call(api: Any, asked: str) -> HasId:
            wanted[:] = wanted or [choose()]
            backup, options = wanted[0]
            shown: HasId = await api.restores.start_restore(
                str(backup), options, request_id=asked, plan_digest=""
            )
            return shown

        asked = self._submit(name, OperationKind.RESTORE, at_s, call)
        if numbers and chance.random() < 0.3:
            self._end_late(asked, at_s, chance)

    def _end_late(self, asked: Asked, at_s: float, chance: random.Random) -> None:
        """A restore ends while it waits for its reshards, or one of these does."""
        kind = chance.choice((OperationKind.RESTORE, OperationKind.RESHARD))

        async def end(api: Any) -> object:
            one = Asked(asked.name, kind, asked.answered)
            if kind is OperationKind.RESHARD and asked.answered:
                one.answered = reshard_ids_after(OperationId(asked.answered), 1)[0]
            return await cancel(api, one)

        late_s = at_s + 4.0 + chance.random() * 16.0
        self._users.wish(f"a late end of {asked.name}'s {kind}", late_s, end)

    def _disaster(self) -> None:
        """A backup, then a client deletes a collection of it by mistake, and has it restored."""
        lost = self._rng.choice(sorted(self._scenario.qdrant.collections))
        self.back_up("backup-before", 0.5)
        at_s = 5.0 + self._rng.random()
        self._scenario.world.after(at_s, lambda: self._scenario.strangers.delete(lost))
        self._restore("restore-after", 7.0, (lost,))

    def _rebalance(self) -> None:
        options = RebalanceOptions(
            max_moves=self._rng.choice((0, 0, 1)),
            drop_surplus=self._rng.random() < 0.5,
            bandwidth_aware=self._rng.random() < 0.3,
        )
        for number in range(self._rng.randint(1, 2)):
            at_s = self._rng.random() * 8.0
            self._scenario.world.after(max(0.0, at_s - 1.0), self._upset)
            self._submit(
                f"rebalance-{number}",
                OperationKind.REBALANCE,
                at_s,
                lambda api, asked: api.rebalances.start_rebalance(
                    options, request_id=asked, plan_digest=""
                ),
            )

    def _reshard(self) -> None:
        for number in range(self._rng.choice((1, 1, 2))):
            options = ReshardOptions(collection=POINTED, shards=self._rng.randint(1, 5))

            async def call(api: Any, asked: str, options: ReshardOptions = options) -> HasId:
                shown: HasId = await api.reshards.start_reshard(
                    options, request_id=asked, plan_digest=""
                )
                return shown

            at_s = self._rng.random() * 5.0
            self._submit(f"reshard-{number}", OperationKind.RESHARD, at_s, call)

    def _undelete(self) -> None:
        """Points of the group from before, while clients write some of them themselves."""
        scenario, chance = self._scenario, self._rng
        undeletes, found = scenario.pulls.undeletes, scenario.first.collections[0]
        into = chance.choice(sorted(scenario.qdrant.collections))
        undeletes.fill(into, found.shard_ids, chance)
        for number in range(chance.choice((1, 1, 2))):
            options = UndeleteOptions(
                backup_id=str(FIRST),
                collection=found.name,
                into=into,
                points_per_s=chance.choice((0, 40)),
            )

            async def call(api: Any, asked: str, options: UndeleteOptions = options) -> HasId:
                shown: HasId = await api.undeletes.start_undelete(
                    options, request_id=asked, plan_digest=""
                )
                return shown

            at_s = chance.random() * 5.0
            self._submit(f"undelete-{number}", OperationKind.UNDELETE, at_s, call)
        for _ in range(200):
            point = chance.choice(ids_of(chance.choice(found.shard_ids)))
            write = partial(undeletes.write, into, point)
            scenario.world.after(chance.choice(self.times_s) + chance.random() * 3.0, write)

    def _upset(self) -> None:
        """Some replicas lie where they had better not be."""
        qdrant = self._scenario.qdrant
        places, target = list(qdrant.logs), self._rng.choice(list(qdrant.peers))
        for place in places:
            qdrant.move_shard(place, target, 0.1)
        if places and self._rng.random() < 0.3:
            qdrant.copy_shard(self._rng.choice(places), self._rng.choice(list(qdrant.peers)))

    def _collect_garbage(self) -> None:
        for number in range(self._rng.randint(2, 6)):
            at_s = self._rng.choice((0.0, 20.0, 30.0, *self.times_s)) + self._rng.random()
            self._users.wish(
                f"gc-{number}",
                at_s,
                lambda api: api.backups.collect_garbage(dry_run=False, confirmed=True),
            )
        for number in range(self._rng.randint(0, 2)):
            at_s = 3.0 + self._rng.random() * 30.0
            newest = self._rng.random() < 0.5

            async def delete(api: Any, *, newest: bool = newest) -> None:
                published = [epoch for _, epoch, _ in self._scenario.shared.trace.published]
                if published:
                    await api.backups.delete_backup(str(published[-1] if newest else published[0]))

            self._users.wish(f"deletion-{number}", at_s, delete)

    # Clients of the collections

    def _write(self) -> None:
        """Writers while something is asked for: none, few writes, many, or some all the time."""
        rng, world = self._rng, self._scenario.world
        rate = rng.choice((0.0, 0.0, 1.0, 30.0, 120.0))
        places = list(self._scenario.qdrant.logs)
        begin_s, end_s = min(self.times_s), max(self.times_s) + 3.0

        def write() -> None:
            self.write_one(rng.choice(places))
            again()

        def again() -> None:
            if world.now_s < end_s:
                world.after(rng.expovariate(rate), write)

        if rate > 0.0:
            world.after(begin_s, again)

    def write_one(self, place: Place) -> None:
        """By the alias, through some peer, where there is a fence to hold it off."""
        qdrant = self._scenario.qdrant
        if self._scenario.plan.fenced and place[0].startswith("c"):
            peer = self._rng.choice(list(qdrant.peers))
            if f"w-{place[0]}" not in qdrant.seen_by(peer).aliases:
                return
        qdrant.write(place)


async def cancel(api: Any, asked: Asked) -> object:
    """Asks for the end of what was asked for, if it is known by now."""
    if not asked.answered:
        return None
    match asked.kind:
        case OperationKind.RESTORE:
            return await api.restores.cancel_restore(asked.answered)
        case OperationKind.REBALANCE:
            return await api.rebalances.cancel_rebalance(asked.answered)
        case OperationKind.UNDELETE:
            return await api.undeletes.cancel_undelete(asked.answered)
        case OperationKind.RESHARD:
            return await api.reshards.cancel_reshard(asked.answered)
        case _:
            return await api.backups.cancel_backup(asked.answered)
