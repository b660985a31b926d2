"""Situations that chance alone brings about too rarely: what happens just as something else does.

Each is a reaction to a phase that ctl has come to. They are drawn by a generator of their own, so
that the rest of a history stays as it is.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import OperationKind, Phase

if TYPE_CHECKING:
    from simulation.scenario import Scenario

BURST_SHARE, SHARE = 0.4, 0.5
AGAIN_S = 12.0
"""From when on a backup finds groups of a time in which clients wrote no more."""
BACKUP, RESTORE = OperationKind.BACKUP, OperationKind.RESTORE


class Situations:
    """Those of one history; `came_to` is called with every ctl."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._world = scenario, scenario.world
        self._qdrant, self._weather = scenario.qdrant, scenario.shared.weather
        self._chance = random.Random(f"situation {scenario.world.seed}")
        plan = scenario.plan
        self._reactions: list[Callable[[Ctl], None]] = []
        if self._chance.random() < BURST_SHARE:
            self._reactions.append(self._burst)
        able = [self._lost_drains, self._late_vote]
        if plan.restores:
            able += [
                self._late_vote,
                self._robbed,
                self._replaced,
                self._replaced,
                self._taken_over,
            ]
        if plan.garbage:
            able += [self._marked] * 3
        if not plan.calm and self._chance.random() < SHARE:
            chosen = self._chance.choice(able)
            self._reactions.append(chosen)
            if chosen == self._lost_drains:
                for number, at_s in enumerate((AGAIN_S - 4.0, AGAIN_S + 1.0)):
                    scenario.wishes.back_up(f"backup-again-{number}", at_s)

    def came_to(self, ctl: Ctl) -> None:
        for react in self._reactions:
            react(ctl)

    def _after(self, longest_s: float, call: Callable[[], object]) -> None:
        self._world.after(self._chance.random() * longest_s, call)

    # Backups

    def _burst(self, ctl: Ctl) -> None:
        """Clients write while shards are cut, and shortly before they are."""
        if (ctl.kind, ctl.phase) == (BACKUP, Phase.CUT):
            places = list(self._qdrant.logs)
            for _ in range(self._chance.choice((5, 20, 60)) if places else 0):
                self._after(
                    0.05, partial(self._scenario.wishes.write_one, self._chance.choice(places))
                )

    def _lost_drains(self, ctl: Ctl) -> None:
        """Nothing has changed since the last backup but for one write, which looks like a drain."""
        late = self._world.now_s > AGAIN_S and self._scenario.shared.trace.published
        if (ctl.kind, ctl.phase) == (BACKUP, Phase.PREPARE) and late:
            for place in list(self._qdrant.logs):
                self._scenario.wishes.write_one(place)
            self._weather.lost_drain = self._chance.choice((0.5, 1.0))
            self._world.after(4.0, self._weather.clear)

    def _late_vote(self, ctl: Ctl) -> None:
        """An agent's vote is on its way for longer than its session lives."""
        if (ctl.kind, ctl.phase) not in {(BACKUP, Phase.UPLOAD), (RESTORE, Phase.RECOVER)}:
            return
        index = self._chance.randrange(len(self._scenario.agents))
        agent = self._scenario.agents[index]
        agent.process.writes_late = True
        end_s = self._chance.choice((0.3, 1.0, 4.0))
        self._world.after(end_s, agent.process.kill)
        self._world.after(end_s + 20.0, partial(self._scenario.harms.revive_agent, index))

    def _marked(self, ctl: Ctl) -> None:
        """Garbage is looked for while an epoch stores what nothing names yet, and then again."""
        if (ctl.kind, ctl.phase) == (BACKUP, Phase.UPLOAD):
            for at_s in (0.0, 3.0, 7.0, 12.0):
                self._scenario.users.wish(
                    f"gc at {self._world.now_s + at_s:.0f} s",
                    at_s,
                    lambda api: api.backups.collect_garbage(dry_run=False, confirmed=True),
                )

    # Restores

    def _robbed(self, ctl: Ctl) -> None:
        """An agent dies before it has recovered a shard, a client writes to it, and the agent
        restarts."""
        if (ctl.kind, ctl.phase) != (RESTORE, Phase.RECOVER):
            return
        index = self._chance.randrange(len(self._scenario.agents))
        agent = self._scenario.agents[index]
        peer = self._qdrant.peers[agent.home.peer]

        def write() -> None:
            for place, replica in peer.replicas.items():
                elsewhere = any(
                    p is not peer and place in p.replicas for p in self._qdrant.peers.values()
                )
                if place[0] in self._scenario.strangers.names and not replica.tar and not elsewhere:
                    self._qdrant.write(place)

        self._after(0.02, agent.process.kill)
        self._world.after(0.3, write)
        self._world.after(
            1.0 + self._chance.random(), partial(self._scenario.harms.revive_agent, index)
        )

    def _replaced(self, ctl: Ctl) -> None:
        """A restore is cancelled, and a client replaces what it has made while it is undone."""
        if ctl.kind is not RESTORE:
            return
        if ctl.phase in {Phase.RECOVER, Phase.VERIFY}:

            async def cancel(api: Any) -> object:
                return await api.restores.cancel_restore(ctl.operation)

            self._scenario.users.wish(f"the end of {ctl.operation}", 0.0, cancel)
        if ctl.phase is Phase.ROLLBACK:
            self._qdrant.lag_s = self._chance.choice((0.002, 0.002, 0.02, 0.1))
            slow_s = self._chance.choice((0.05, 0.05, 0.2, 3.0))
            if slow_s > 1.0:
                calls = self._chance.randint(1, 20)
                self._scenario.harms.leading().freeze_after(
                    calls, 3.0 + self._chance.random() * 3.0
                )
            for name in self._scenario.strangers.names:
                self._after(slow_s, partial(self._scenario.strangers.replace, name))
            self._world.after(slow_s + 1.0, self._catch_up)

    def _catch_up(self) -> None:
        self._qdrant.lag_s = 0.1

    def _taken_over(self, ctl: Ctl) -> None:
        """A leader dies while replicas are verified; the drains of the next one get lost."""
        if (ctl.kind, ctl.phase) == (RESTORE, Phase.VERIFY):
            self._reactions.remove(self._taken_over)
            self._after(0.3, self._scenario.harms.kill_leader)
            self._world.after(1.0, self._lose_drains)

    def _lose_drains(self) -> None:
        self._weather.lost_drain = 1.0
        self._world.after(self._chance.choice((11.0, 15.0, 20.0)), self._weather.clear)
