"""Copies of backups in a second store, made by processes of the command line, which may be killed,
while the leader collects garbage in both stores.

All is drawn by a generator of its own, so that histories without them stay as they are.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from cleancut.copying.run import CopyRequest, CopyRun
from cleancut.copying.sides import Side, Sides
from cleancut.core.maintenance.copying import Scope
from cleancut.core.maintenance.retention import Retention
from cleancut.core.maintenance.stores import StoreRule
from cleancut.core.primitives.errors import CleancutError
from cleancut.store.key_source import KeySource
from cleancut.store.open import view_store
from simulation.network import SimStore
from simulation.world import Process, within

if TYPE_CHECKING:
    from simulation.scenario import Scenario

SHARE, KILLED = 0.25, 0.3
"""Of the histories with garbage collection; and of their copies, in hard weather."""
_URL = "memory:second"
_NO_KEY = KeySource(from_environment=False)


def is_copied(seed: int) -> bool:
    return random.Random(f"copied {seed}").random() < SHARE


def copy_rule(seed: int) -> StoreRule:
    """What the coordinators' file says of the second store."""
    chance = random.Random(f"copy rule {seed}")
    keep = chance.choice((None, Retention(keep_last=1), Retention(keep_last=2)))
    return StoreRule(url=_URL, retention=keep)


class Copying:
    """That of one history: one copy after the other."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world, self._shared = scenario, scenario.world, scenario.shared
        self._chance = random.Random(f"copying {self._world.seed}")
        self._collected = asyncio.Event()
        for number, at_s in enumerate((11.0, 20.0, 26.0, 35.0)):
            scenario.wishes.back_up(f"backup-copied-{number}", at_s + self._chance.random() * 3.0)
        self._shared.copies_listed = self._listed
        self._world.start(self._copy_all(self._chance.randint(2, 6)))
        self._world.planned_s = max(self._world.planned_s, 50.0)

    def _listed(self, process: Process) -> None:
        """The leader looks what there is in the copy, and will delete what nothing needs."""
        if process is self._scenario.harms.leading():
            self._collected.set()

    async def _copy_all(self, times: int) -> None:
        clock, chance = self._shared.clock, self._chance
        await clock.sleep(3.0 + chance.random() * 4.0)
        for _ in range(times):
            process = Process(self._world, "copier")
            task = process.spawn(self._copy(process))
            if not self._scenario.plan.calm and chance.random() < KILLED:
                process.die_after(chance.randint(1, 120))
            for _ in range(40):
                await clock.sleep(0.5)
                if task.done() or not process.alive:
                    break
            process.kill()
            await self._wait_next()

    async def _wait_next(self) -> None:
        """Often until a gc run of the copy, so that the next copy is made meanwhile."""
        self._collected.clear()
        if self._chance.random() < 0.6:
            await within(16.0, self._collected.wait())
            await self._shared.clock.sleep(self._chance.random() * 0.03)
        else:
            await self._shared.clock.sleep(self._chance.random() * 12.0)

    async def _copy(self, process: Process) -> None:
        shared = self._shared

        def side(url: str, *, copy: bool) -> Side:
            store = SimStore(shared, process, copy=copy)
            return Side(url, view_store(store, shared.clock, _NO_KEY), _NO_KEY)

        source, target = side("memory:first", copy=False), side(_URL, copy=True)
        both = Sides(source, target, shared.paths, same_key=True)
        request = CopyRequest(scope=Scope.NEW, read_percent=self._chance.choice((0, 100)))
        try:
            done = await CopyRun(both, request, shared.clock, lambda _: None).run()
        except CleancutError as error:
            self._say(f"ends: {error.message}")
        else:
            self._say(", ".join(f"{one.epoch} {one.state}" for one in done.backups) or "nothing")

    def _say(self, what: str) -> None:
        self._shared.trace.say(self._world.now_s, "copier", what)
