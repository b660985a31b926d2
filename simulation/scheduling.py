"""Schedules that calls define, change and delete, also while they are due or the leader changes;
and what they and other requests name by an alias that is switched meanwhile.

All is drawn by a generator of its own, so that histories without them stay as they are.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from cleancut.api.schedules import Schedule
from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import OperationKind, Phase
from simulation.overwriting import FROM_S
from simulation.qdrant import info_of
from simulation.replica import USER

if TYPE_CHECKING:
    from simulation.scenario import Scenario

SHARE, CALM_SHARE = 0.07, 0.4
NAME, ALIAS, OTHER = "called", "sel", "other"
DUE_S = (10.0, 70.0)
LASTS_S = 132.0
"""An interval after the second time of a schedule that is due each minute."""
_SWITCHED = 0.4
_PHASES = (Phase.PREPARE, Phase.STANDSTILL, Phase.FENCE, Phase.CUT)


def is_defined(seed: int) -> bool:
    return random.Random(f"defined {seed}").random() < SHARE


def is_calm(seed: int) -> bool:
    return random.Random(f"defined calmly {seed}").random() < CALM_SHARE


class Scheduling:
    """That of one history; `came_to` is called with every ctl."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world = scenario, scenario.world
        self._qdrant, self._calm = scenario.qdrant, scenario.plan.calm
        self._chance = chance = random.Random(f"scheduling {self._world.seed}")
        scenario.shared.schedules_called = True
        self._switches = chance.choice((0, 1, 3))
        self._point()
        self._rule = self._drawn()
        at_s = chance.choice((chance.random() * 8.0, self._near_due()))
        self._wish("definition", at_s, self._define)
        for number in range(chance.choice((0, 1, 3, 6))):
            act = chance.choice(self._acts())
            self._wish(f"{act.__name__.strip('_')}-{number}", self._near_due(), act)
        if not self._calm:
            for _ in range(chance.randint(0, 2)):
                self._world.after(self._near_due(), scenario.harms.kill_leader)
        for number in range(chance.choice((0, 1, 2))):
            request = BackupRequest(attempts=4, allow_missing=True, collections=self._names() or ())
            at_s = chance.choice((chance.random() * 10.0, FROM_S + chance.random() * 8.0))
            scenario.wishes.ask_for(f"backup-named-{number}", at_s, request)
        self._world.planned_s = max(self._world.planned_s, LASTS_S)

    def came_to(self, ctl: Ctl) -> None:
        """An alias is switched just as a backup looks at what it takes, or has looked."""
        watched = ctl.kind is OperationKind.BACKUP and ctl.phase in _PHASES
        if watched and self._switches and self._chance.random() < _SWITCHED:
            self._switches -= 1
            self._world.after(self._chance.random() * 0.05, self._point)

    def _wish(self, what: str, at_s: float, call: Callable[[Any], Any]) -> None:
        self._scenario.users.wish(f"{what} of a schedule", at_s, call)

    def _near_due(self) -> float:
        """Often just when it is due, and sometimes while a backup of it is under way."""
        spread_s = self._chance.choice((0.1, 1.0, 1.0, 20.0))
        return self._chance.choice(DUE_S) + (self._chance.random() - 0.3) * spread_s

    # What it names

    def _point(self) -> None:
        """The alias is of another collection from now on, if there is one."""
        qdrant = self._qdrant
        able = [name for name, found in qdrant.collections.items() if found.maker == USER]
        others = [name for name in able if qdrant.aliases.get(ALIAS) != name]
        if not others and OTHER not in qdrant.collections:
            qdrant.create(OTHER, info_of(1, 1), USER, points=2)
            others = [OTHER]
        if others and not qdrant.stopped:
            qdrant.point(ALIAS, self._chance.choice(sorted(others)))

    def _names(self) -> tuple[str, ...]:
        able = sorted({name for name, _ in self._qdrant.logs} - {OTHER})
        some: list[tuple[str, ...]] = [(ALIAS,), (ALIAS,), (ALIAS, self._chance.choice(able)), ()]
        if self._scenario.plan.fenced:
            some.append((f"w-{able[0]}",))
        if self._scenario.plan.overwrites:
            some += [(self._scenario.first.collections[0].name,)] * 4
        return self._chance.choice(some)

    def _drawn(self) -> Schedule:
        names = self._names()
        return Schedule(
            name=NAME,
            cron="* * * * *",
            overlap=self._chance.choice(("skip", "queue")),
            attempts=5,
            collections=names,
            exclude=(ALIAS,) if not names and self._chance.random() < 0.5 else (),
            allow_missing=self._chance.random() < 0.5,
        )

    # What users do with it

    def _acts(self) -> list[Callable[[Any], Any]]:
        return [
            self._define,
            self._redefine,
            self._delete,
            self._delete,
            self._trigger,
            self._pause,
        ]

    async def _define(self, api: Any) -> None:
        """As it was thought of at first; it may be there already."""
        await self._put(api, self._rule)

    async def _redefine(self, api: Any) -> None:
        wanted = replace(self._drawn(), cron=self._chance.choice(("* * * * *", "*/2 * * * *")))
        await self._put(api, wanted)

    async def _put(self, api: Any, wanted: Schedule) -> None:
        revision = await _revision(api)
        shown = await api.schedules.put_schedule(replace(wanted, revision=revision))
        self._said(f"defined at {shown.revision}")

    async def _delete(self, api: Any) -> None:
        revision = await _revision(api)
        await api.schedules.delete_schedule(NAME, revision=revision, owner="")
        self._said("deleted")

    async def _trigger(self, api: Any) -> None:
        await api.schedules.trigger_schedule(NAME, f"by hand {self._world.token_hex(2)}")

    async def _pause(self, api: Any) -> None:
        """For some seconds."""
        await api.schedules.pause_schedule(NAME, paused=True)
        resume = partial(_resume)
        self._wish("resumption", self._chance.random() * 30.0, resume)

    def _said(self, what: str) -> None:
        self._scenario.shared.trace.say(self._world.now_s, "user", f"schedule {NAME} is {what}")


async def _revision(api: Any) -> int:
    """At which it was defined; 0, if it is not."""
    known = {one.name: one.revision for one in (await api.schedules.list_schedules()).schedules}
    return int(known.get(NAME, 0))


async def _resume(api: Any) -> None:
    await api.schedules.pause_schedule(NAME, paused=False)
