"""What goes wrong in a history: deaths, freezes, bad weather, and peers that come and go."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from cleancut.core.protocol.etcd_records import Ctl
from cleancut.core.protocol.states import OperationKind, Phase
from simulation.world import Process

if TYPE_CHECKING:
    from simulation.scenario import Scenario

Deed = Callable[[], None]
_PHASES = {
    OperationKind.BACKUP: (
        Phase.PREPARE,
        Phase.FENCE,
        Phase.CUT,
        Phase.SEAL,
        Phase.STANDSTILL,
        Phase.UPLOAD,
        Phase.COMMIT,
        Phase.ABORT,
    ),
    OperationKind.RESTORE: (
        Phase.CREATE,
        Phase.RECOVER,
        Phase.VERIFY,
        Phase.SEAL,
        Phase.PUBLISH,
        Phase.ROLLBACK,
    ),
    OperationKind.REBALANCE: (
        Phase.PREPARE,
        Phase.COUNT,
        Phase.MOVE,
        Phase.VERIFY,
        Phase.ROLLBACK,
    ),
    OperationKind.RESHARD: (
        Phase.PREPARE,
        Phase.MOVE,
        Phase.COUNT,
        Phase.COMMIT,
        Phase.CLEAN,
        Phase.ROLLBACK,
    ),
    OperationKind.SEED: (Phase.PREPARE, Phase.UPLOAD),
    OperationKind.UNDELETE: (Phase.PREPARE, Phase.APPLY, Phase.COUNT),
}


ROUNDS_S = 0.06
"""For how long writes disturb the rounds."""
ENDLESS = 0.7
"""In how many histories with fences they disturb all of them."""


class Harms:
    """All that is done to one history, drawn from its generator."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario, self._rng = scenario, scenario.rng
        self._rounds = random.Random(f"rounds {scenario.world.seed}")
        self._endless = False
        self._world, self._weather = scenario.world, scenario.shared.weather
        self._qdrant, self._strangers = scenario.qdrant, scenario.strangers
        self._strikes: dict[tuple[OperationKind, Phase], list[Deed]] = {}
        self._times_s = scenario.wishes.times_s
        scenario.strangers.come_in(self._soon_s)
        if scenario.strangers.names and self._rng.random() < 0.25:
            self._disturb_recovery()
        if not scenario.plan.calm:
            deeds = self._deeds()
            able = self._rng.sample(deeds, self._rng.choice((1, 2, 4, len(deeds))))
            for _ in range(self._rng.randint(1, 8)):
                self._world.after(self._harm_at_s(), self._rng.choice(able))
            if scenario.plan.deceived:
                self._deceive()

    def _write_in_rounds(self, number: int) -> None:
        """Some writes while logs are read, by a choice of its own: a round is short. Where writers
        can be fenced there may be one in each round, so that only the fence ends them."""
        choice = self._rounds
        places = list(self._qdrant.logs)
        if not places:
            return
        if number == 1:
            self._endless = self._scenario.plan.fenced and choice.random() < ENDLESS
            for _ in range(choice.choice((0, 3, 40))):
                write = partial(self._scenario.wishes.write_one, choice.choice(places))
                self._world.after(choice.random() * ROUNDS_S, write)
        for place in places if self._endless else ():
            self._scenario.wishes.write_one(place)

    def _deceive(self) -> None:
        """Data that change while numbers stand still; by a choice of its own, so that other
        histories stay as they were."""
        choice = random.Random(f"deceit {self._world.seed}")
        olds = list(self._qdrant.logs)
        for _ in range(choice.randint(1, 4)):
            act = choice.choice((self._qdrant.fail_write, self._qdrant.remake))
            at_s = choice.choice(self._times_s) + choice.random() * 3.0
            self._world.after(at_s, partial(act, choice.choice(olds)))

    def _soon_s(self) -> float:
        return self._rng.choice(self._times_s) + self._rng.random() * 3.0

    def _harm_at_s(self) -> float:
        """Mostly while something is going on; attempts are repeated after 2, 20 and 30 seconds."""
        if self._rng.random() < 0.2:
            return self._rng.random() * 28.0
        later_s = self._rng.choice((0.0, 0.0, 0.0, 2.0, 20.0))
        return self._rng.choice(self._times_s) + later_s + self._rng.random() * 3.0

    def _deeds(self) -> tuple[Deed, ...]:
        return (
            self.kill_agent_soon,
            self._kill_leader_soon,
            self._freeze_agent_soon,
            self._freeze_leader_soon,
            self._double_agent,
            self._double_leader,
            self._storm,
            self._part,
            self._lose_drains,
            self._stop_peer,
            self._move_shard,
            self._qdrant.change_alias,
            self._lose_recoveries,
            self._slow_tars,
            self._lag,
            self._plan_strike,
            self._plan_strike,
            self._plan_strike,
        )

    # Strikes: just after ctl comes to some phase

    def came_to(self, ctl: Ctl) -> None:
        plan = self._scenario.plan
        if ctl.phase is Phase.STANDSTILL and not (plan.calm or plan.restores):
            self._write_in_rounds(ctl.round)
        for strike in self._strikes.pop((ctl.kind, ctl.phase), []):
            late_s = self._rng.random() * self._rng.choice((0.02, 0.05, 0.5))
            self._world.after(late_s, strike)

    def _plan_strike(self) -> None:
        asked = sorted({one.kind for one in self._scenario.users.asked})
        kind = self._rng.choice(asked)
        strikes = [
            self.kill_leader,
            self._freeze_leader,
            self._kill_agent,
            self._freeze_agent,
            self._double_leader,
            self._double_agent,
            self._double_agent,
            self._stop_peer,
            self._lose_recoveries,
            self._part,
            self._move_shard,
        ]
        if self._strangers.names:
            name = self._rng.choice(self._strangers.names)
            strikes += [
                self._strangers.makes(name),
                lambda: self._strangers.delete(name),
                lambda: self._strangers.replace(name),
                lambda: self._strangers.write(3.0),
                lambda: self._strangers.write(0.0),
            ]
        phase = self._rng.choice(_PHASES[kind])
        self._strikes.setdefault((kind, phase), []).append(self._rng.choice(strikes))

    def _disturb_recovery(self) -> None:
        """What a restore can only find by looking again."""
        deeds: tuple[tuple[Phase, Deed], ...] = (
            (Phase.RECOVER, self._strangers.copy),
            (Phase.RECOVER, self._rob_agent),
            (Phase.RECOVER, self._lose_recoveries),
            (Phase.VERIFY, lambda: self._strangers.write(30.0)),
        )
        phase, deed = self._rng.choice(deeds)
        self._strikes.setdefault((OperationKind.RESTORE, phase), []).append(deed)

    def _rob_agent(self) -> None:
        """An agent dies, and a client writes before it restarts."""
        self._kill_agent()
        self._world.after(self._rng.random(), lambda: self._strangers.write(30.0))

    # Processes

    def _agent(self) -> int:
        return self._rng.randrange(len(self._scenario.agents))

    def _leader(self) -> int:
        coordinators = self._scenario.coordinators
        return next((i for i, one in enumerate(coordinators) if one.leads), 0)

    def leading(self) -> Process:
        return self._scenario.coordinators[self._leader()].process

    def kill_agent_soon(self) -> None:
        index = self._agent()
        self._scenario.agents[index].process.die_after(self._rng.randint(1, 30))
        self._world.after(2.0 + self._rng.random() * 2.0, lambda: self.revive_agent(index))

    def _kill_agent(self) -> None:
        index = self._agent()
        self._scenario.agents[index].process.kill()
        self._world.after(1.0 + self._rng.random() * 3.0, lambda: self.revive_agent(index))

    def revive_agent(self, index: int) -> None:
        old = self._scenario.agents[index]
        old.process.kill()
        self._say(old.home.name, "starts again")
        self._scenario.agents[index] = self._scenario.start_agent(old.home)

    def _kill_leader_soon(self) -> None:
        index = self._leader()
        self._scenario.coordinators[index].process.die_after(self._rng.randint(1, 40))
        self._world.after(2.0 + self._rng.random() * 2.0, lambda: self.revive_coordinator(index))

    def kill_leader(self) -> None:
        index = self._leader()
        self._scenario.coordinators[index].process.kill()
        self._world.after(1.0 + self._rng.random() * 3.0, lambda: self.revive_coordinator(index))

    def revive_coordinator(self, index: int) -> None:
        old = self._scenario.coordinators[index].process
        old.kill()
        self._say(old.name, "starts again")
        self._scenario.coordinators[index] = self._scenario.start_coordinator(self._again(old))

    def _again(self, old: Process) -> str:
        return f"{old.name.partition('.')[0]}.{self._rng.randrange(1000)}"

    def _freeze_agent_soon(self) -> None:
        process = self._scenario.agents[self._agent()].process
        process.freeze_after(self._rng.randint(1, 30), 1.0 + self._rng.random() * 19.0)

    def _freeze_leader_soon(self) -> None:
        self.leading().freeze_after(self._rng.randint(1, 30), 1.0 + self._rng.random() * 14.0)

    def _freeze_agent(self) -> None:
        self._scenario.agents[self._agent()].process.freeze(1.0 + self._rng.random() * 19.0)

    def _freeze_leader(self) -> None:
        self.leading().freeze(1.0 + self._rng.random() * 20.0)

    def _double_agent(self) -> None:
        """The process freezes, another is started in its place, and then the old one wakes up."""
        index = self._agent()
        old = self._scenario.agents[index]
        frozen_s = self._freeze_and_bury(old.process)

        def replace() -> None:
            if self._scenario.agents[index] is old:
                self._scenario.agents[index] = self._scenario.start_agent(old.home)

        self._world.after(frozen_s / 2, replace)

    def _double_leader(self) -> None:
        index = self._leader()
        old = self._scenario.coordinators[index]
        frozen_s = self._freeze_and_bury(old.process)
        name = self._again(old.process)

        def replace() -> None:
            if self._scenario.coordinators[index] is old:
                self._scenario.coordinators[index] = self._scenario.start_coordinator(name)

        self._world.after(frozen_s / 2, replace)

    def _freeze_and_bury(self, process: Process) -> float:
        """The zombie has some seconds after it has woken up."""
        frozen_s = 4.0 + self._rng.random() * 16.0
        process.freeze_after(self._rng.randint(1, 30), frozen_s)
        self._world.after(frozen_s + 4.0, process.kill)
        return frozen_s

    # The network, the store, Qdrant

    def _storm(self) -> None:
        """Bad weather for some seconds."""
        weather, rng = self._weather, self._rng
        weather.lost_request = rng.choice((0.0, 0.05, 0.2))
        weather.lost_answer = rng.choice((0.0, 0.05, 0.2))
        weather.doubled = rng.choice((0.0, 0.1, 0.5))
        weather.slow = rng.choice((0.0, 0.05, 0.2))
        weather.late_watch = rng.choice((0.0, 0.1, 0.5))
        weather.broken_watch = rng.choice((0.0, 0.1))
        weather.slow_s = rng.choice((1.5, 3.0, 6.0))
        weather.store_fails = rng.choice((0.0, 0.02, 0.1))
        self._world.after(1.0 + rng.random() * 4.0, weather.clear)

    def _part(self) -> None:
        """Some process does not reach etcd, perhaps for longer than its lease."""
        scenario, rng = self._scenario, self._rng
        agent = scenario.agents[self._agent()].process
        self._weather.apart = frozenset({rng.choice((agent, self.leading())).name})
        self._world.after(1.0 + rng.random() * 14.0, self._weather.clear)

    def _lose_drains(self) -> None:
        """Drains get lost; one write comes instead, which looks just like a drain."""
        for place in list(self._qdrant.logs):
            self._scenario.wishes.write_one(place)
        self._weather.lost_drain = 0.5
        self._world.after(1.0 + self._rng.random() * 4.0, self._weather.clear)

    def _lose_recoveries(self) -> None:
        self._weather.lost_recover = 0.5
        self._world.after(1.0 + self._rng.random() * 4.0, self._weather.clear)

    def _slow_tars(self) -> None:
        self._weather.slow_tar = 0.5
        self._weather.store_fails = self._rng.choice((0.0, 0.05))
        self._world.after(1.0 + self._rng.random() * 4.0, self._weather.clear)

    def _lag(self) -> None:
        """Some peers come to know late what the cluster has agreed on."""
        self._qdrant.lag_s = 1.0
        self._world.after(1.0 + self._rng.random() * 4.0, self._catch_up)

    def _catch_up(self) -> None:
        self._qdrant.lag_s = 0.1

    def _stop_peer(self) -> None:
        peer = self._rng.choice(list(self._qdrant.peers))
        self._qdrant.stop_peer(peer, 0.05 + self._rng.random() * 2.0)

    def _move_shard(self) -> None:
        places, target = list(self._qdrant.logs), self._rng.choice(list(self._qdrant.peers))
        if places:
            seconds = 0.05 + self._rng.random()
            self._qdrant.move_shard(self._rng.choice(places), target, seconds)

    def _say(self, who: str, what: str) -> None:
        self._scenario.shared.trace.say(self._world.now_s, who, what)
