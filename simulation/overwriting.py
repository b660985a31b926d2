"""Overwriting of a user's collection in a history: by the group of an earlier time, while clients
write to it, leaders die, and its name is taken again.

All is drawn by a generator of its own, and late, so that other histories stay as they are.
"""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

from cleancut.api.restores import RestoreOptions
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import OperationKind, Phase
from simulation.prehistory import FIRST
from simulation.qdrant import info_of
from simulation.replica import USER
from simulation.users import Asked, HasId

if TYPE_CHECKING:
    from simulation.scenario import Scenario

SHARE = 0.06
"""Of the histories with restores."""
FROM_S = 16.0
_POINTS = 7


def is_overwritten(seed: int) -> bool:
    return random.Random(f"overwritten {seed}").random() < SHARE


class Overwriting:
    """That of one history."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world = scenario, scenario.world
        self._qdrant = scenario.qdrant
        self._chance = random.Random(f"overwriting {self._world.seed}")
        self._name = scenario.first.collections[0].name
        self._writes_at = self._chance.choice(
            (None, None, Phase.RECOVER, Phase.VERIFY, Phase.STANDSTILL, Phase.PUBLISH)
        )
        self._dies_at = self._chance.choice((None, Phase.SEAL, Phase.STANDSTILL, Phase.PUBLISH))
        self._taken = self._chance.random() < 0.2
        self._world.after(FROM_S - 1.0, self._make)
        asked = Asked("overwrite", OperationKind.RESTORE)
        scenario.users.submit(asked, FROM_S, self._start)
        self._world.planned_s = max(self._world.planned_s, FROM_S + 1.0)

    def _make(self) -> None:
        """A client has made the collection, if it is not there by now."""
        if self._name not in self._qdrant.collections and self._name not in self._qdrant.aliases:
            info = info_of(self._chance.randint(1, 3), self._chance.randint(1, 2))
            self._qdrant.create(self._name, info, USER, points=_POINTS)
        self._write()

    async def _start(self, api: Any, asked: str) -> HasId:
        name = self._name
        options = RestoreOptions(collections=(name,), overwrite=True, confirm=name)
        shown: HasId = await api.restores.start_restore(
            str(FIRST), options, request_id=asked, plan_digest=""
        )
        return shown

    def came_to(self, ctl: Ctl) -> None:
        if ctl.kind is not OperationKind.RESTORE or self._world.now_s < FROM_S:
            return
        if ctl.phase is self._writes_at:
            self._world.after(self._chance.random() * 0.02, self._write)
        if ctl.phase is self._dies_at and not self._scenario.plan.calm:
            self._dies_at = None
            self._world.after(self._chance.random() * 0.05, self._scenario.harms.kill_leader)
        if ctl.phase is Phase.PUBLISH and self._taken:
            again = partial(self._qdrant.create, self._name, info_of(1, 1), USER, points=1)
            self._world.after(self._chance.random() * 0.1, partial(self._take, again))

    def _write(self) -> None:
        for place in [place for place in self._qdrant.logs if place[0] == self._name]:
            self._qdrant.write(place)

    def _take(self, create: Any) -> None:
        if self._name not in self._qdrant.collections and self._name not in self._qdrant.aliases:
            create()
