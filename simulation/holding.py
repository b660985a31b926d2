"""Holds that are put, by the API and by the command line, just while backups expire or are deleted.

All is drawn by a generator of its own, so that histories without them stay as they are.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

from cleancut.core.primitives.errors import CleancutError
from cleancut.core.primitives.ids import Epoch
from cleancut.repository.holds import put_reason
from simulation.network import SimStore
from simulation.prehistory import FIRST
from simulation.trace import Held
from simulation.world import WALL_S, Process

if TYPE_CHECKING:
    from simulation.scenario import Scenario

SHARE = 0.35
"""Of the histories with garbage collection."""
_DAY_S = 86400.0
_SOON_S = 0.08
"""How long after its begin a gc run looks at what it lets go."""


def is_held(seed: int) -> bool:
    return random.Random(f"held {seed}").random() < SHARE


class Holding:
    """That of one history."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world, self._shared = scenario, scenario.world, scenario.shared
        self._chance = chance = random.Random(f"holding {self._world.seed}")
        self._left, self._shared.holds_read = chance.randint(1, 6), self._read
        for number in range(3):
            scenario.wishes.back_up(f"backup-held-{number}", 2.0 + 2.5 * number)
        for number in range(chance.randint(1, 6)):
            at_s = 9.0 + chance.random() * 21.0
            after_s = at_s + chance.random() * _SOON_S
            end = chance.choice((self._collect, self._delete, self._delete))
            scenario.users.wish(f"end-{number}", at_s, end)
            if chance.random() < 0.3:
                hold = partial(self._hold, f"audit-{number}")
                scenario.users.wish(f"hold-{number}", after_s, hold)
            if not scenario.plan.calm and chance.random() < 0.3:
                late_s = after_s + chance.random() * _SOON_S
                self._world.after(late_s, scenario.harms.kill_leader)

    def _read(self, process: Process) -> None:
        """The leader looks for holds, and will delete what has none: one may come just now."""
        leads = process is self._scenario.harms.leading()
        if leads and self._left and len(self._alive()) > 2 and self._chance.random() < 0.7:
            self._left -= 1
            late_s = self._chance.random() * 0.004
            self._world.after(late_s, partial(self._start, f"legal-{self._left}"))

    def _alive(self) -> list[Epoch]:
        """The groups that are neither deleted nor held by now, oldest first."""
        shared, paths = self._shared, self._shared.paths
        known = {Epoch(epoch) for _, epoch, _ in shared.trace.published}
        if self._scenario.plan.restores:
            known.add(FIRST)
        known -= {Epoch(held.epoch) for held in shared.trace.holds}
        return sorted(one for one in known if paths.tombstone(one) not in shared.store.objects)

    def _oldest(self) -> Epoch | None:
        """Often what retention lets go next."""
        alive = self._alive()
        if not alive:
            return None
        return alive[0] if self._chance.random() < 0.6 else self._chance.choice(alive[:3])

    async def _collect(self, api: Any) -> None:
        await api.backups.collect_garbage(dry_run=False, confirmed=True)

    async def _delete(self, api: Any) -> None:
        epoch = self._oldest()
        if epoch is not None:
            await api.backups.delete_backup(str(epoch))

    async def _hold(self, reason: str, api: Any) -> None:
        epoch, for_s = self._oldest(), self._chance.choice((0.0, _DAY_S))
        if epoch is not None:
            await api.backups.hold_backup(str(epoch), reason, for_s)
            self._held(epoch, reason)
            if self._chance.random() < 0.2:
                self._release_later(epoch, reason)

    def _release_later(self, epoch: Epoch, reason: str) -> None:
        held = self._shared.trace.holds[-1]

        async def release(api: Any) -> None:
            held.released = True
            await api.backups.release_backup(str(epoch), reason)

        self._scenario.users.wish(f"release of {reason}", self._chance.random() * 9.0, release)

    def _start(self, reason: str) -> None:
        """The command line on the store alone, as a process of its own."""
        self._world.start(self._hold_alone(reason))

    async def _hold_alone(self, reason: str) -> None:
        epoch, shared = self._oldest(), self._shared
        if epoch is None:
            return
        store, now_s = SimStore(shared, Process(self._world, "cli")), WALL_S + self._world.now_s
        try:
            await put_reason(store, shared.paths, epoch, reason, now_s=now_s, for_s=0.0)
        except CleancutError as error:
            self._scenario.users.say(f"hold of {epoch} refused: {error.message}")
        else:
            self._held(epoch, reason)

    def _held(self, epoch: Epoch, reason: str) -> None:
        self._shared.trace.holds.append(Held(self._world.now_s, epoch, reason))
        self._scenario.users.say(f"holds {epoch} for {reason}")
