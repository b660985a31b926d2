"""One seed, one history: a cluster, what is asked of it, and what goes wrong on the way."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cleancut.core.format.paths import Paths
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.ids import AgentName, ClusterName, OperationId, PeerId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Operation
from cleancut.core.protocol.requests import BackupRequest
from cleancut.core.protocol.states import FINAL_STATES, OperationKind, State
from cleancut.ports.coordination import Put
from tests.sim.agents import Home, SimAgent
from tests.sim.checkers import check
from tests.sim.coordinators import SimCoordinator
from tests.sim.fences import note_fences, write_alias
from tests.sim.network import Shared
from tests.sim.outcome import Outcome
from tests.sim.pulling import Pulls
from tests.sim.qdrant import Place, SimQdrant
from tests.sim.seeds import submit_seed
from tests.sim.world import Process, World

FAULTS_END_S = 16.0
REPAIRED_WITHIN_S = 500.0
LINGER_S = 12.0
"""After the end: what was frozen or late may still come."""
FENCED_SHARE = 0.5
SEEDED_SHARE = 0.15
DECEIVED_SHARE = 0.3
CALM = 0.2
"""How many of the histories are without any fault."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The programs under test; mutants replace one."""

    agent: type[SimAgent] = SimAgent
    coordinator: type[SimCoordinator] = SimCoordinator


@dataclass(frozen=True, slots=True)
class Mutant:
    """`rule`: what it breaks. `checkers`: any of these may be the one that tells. `first`: the seed
    to begin with, for what shows rarely."""

    rule: str
    parts: Parts
    checkers: tuple[str, ...]
    first: int = 1


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed. `wrong` is empty if all held; `story` is for people."""

    seed: int
    wrong: tuple[str, ...]
    story: tuple[str, ...]
    committed: int
    quiet: int
    ended_s: float
    fenced: int = 0
    restores: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()


class Scenario:
    """The cast of one run, and the hand that does it harm."""

    def __init__(self, seed: int, parts: Parts) -> None:
        self.world = World(seed)
        self.rng = self.world.rng
        self._parts = parts
        name = ClusterName("sim")
        self.shared = Shared(self.world, Keys(name), Paths(name))
        nodes = self.rng.randint(1, 4)
        shards = {f"c{i}": self.rng.randint(1, 3) for i in range(self.rng.randint(1, 2))}
        self.qdrant = SimQdrant(self.world, nodes, shards, copies=self.rng.randint(1, 2))
        self.pulls = Pulls(self.shared, self.qdrant)
        self.agents = [
            parts.agent(self.shared, self.pulls, Home(AgentName(f"a{i}"), PeerId(i)))
            for i in range(1, nodes + 1)
        ]
        self.coordinators = [
            parts.coordinator(self.shared, self.pulls, f"coord{i}")
            for i in range(self.rng.randint(2, 3))
        ]
        # A choice of its own: histories without a fence stay as they were.
        self._fenced = random.Random(f"fence {seed}").random() < FENCED_SHARE
        if self._fenced:
            for collection in shards:
                self.qdrant.point(write_alias(collection), collection)
        self.qdrant.on_change = lambda: note_fences(self.qdrant, self.shared.trace)
        self.operations: list[OperationId] = []
        self._asked_s: list[float] = []
        self._ask()
        self._ask_for_seed(seed)
        self._write()
        self._spoil()
        self._deceive(seed)

    # What users do

    def _ask(self) -> None:
        for number in range(self.rng.randint(1, 4)):
            name = OperationId(f"op{number}")
            self.operations.append(name)
            asked_s = self.rng.random() * 5.0
            self._asked_s.append(asked_s)
            self.world.after(asked_s, self._submit(name, number))
            if self.rng.random() < 0.15:
                self.world.after(asked_s + self.rng.random() * 3.0, self._cancel(name))

    def _ask_for_seed(self, seed: int) -> None:
        """In some of the histories, by a choice of its own: the others stay as they were."""
        choice = random.Random(f"a seed of {seed}")
        if choice.random() < SEEDED_SHARE:
            name = OperationId("seed")
            self.operations.append(name)
            asked_s = choice.random() * 5.0
            self.world.after(asked_s, partial(submit_seed, self.shared, name, choice))
            if choice.random() < 0.15:
                self.world.after(asked_s + choice.random() * 3.0, self._cancel(name))

    def _submit(self, name: OperationId, number: int) -> Callable[[], None]:
        fence = tuple(f"alias={write_alias(one)}" for one in sorted(self.qdrant.collections))
        request = BackupRequest(
            attempts=self.rng.randint(1, 4), fence=fence if self._fenced else ()
        )
        record = Operation(
            id=name,
            kind=OperationKind.BACKUP,
            state=State.PENDING,
            request=encode(request).decode(),
            created_at=f"{number}",
        )

        def submit() -> None:
            self.shared.model.txn([], [Put(self.shared.keys.operation(name), encode(record))])

        return submit

    def _cancel(self, name: OperationId) -> Callable[[], None]:
        def cancel() -> None:
            for coordinator in self.coordinators:
                if coordinator.process.alive and coordinator.term is not None:
                    coordinator.term.cancels.add(name)

        return cancel

    def _write(self) -> None:
        """Writers while something is asked for: none, few writes, many, or some all the time."""
        rate = self.rng.choice((0.0, 0.0, 1.0, 30.0, 120.0))
        places = list(self.qdrant.logs)
        begin_s, end_s = min(self._asked_s), max(self._asked_s) + 3.0

        def write() -> None:
            self._write_one(self.rng.choice(places))
            again()

        def again() -> None:
            if self.world.now_s < end_s:
                self.world.after(self.rng.expovariate(rate), write)

        if rate > 0.0:
            self.world.after(begin_s, again)

    def _write_one(self, place: Place) -> None:
        """By the alias, through some peer, where there is a fence to hold it off."""
        if self._lets_in(place):
            self.qdrant.write(place)

    def _lets_in(self, place: Place) -> bool:
        if not self._fenced:
            return True
        peer = self.rng.choice(list(self.qdrant.peers))
        return write_alias(place[0]) in self.qdrant.seen_by(peer).aliases

    # What goes wrong

    def _spoil(self) -> None:
        self.shared.trace.calm = self.rng.random() < CALM
        if not self.shared.trace.calm:
            harms = self._harms()
            able = self.rng.sample(harms, self.rng.choice((1, 2, 4, len(harms))))
            for _ in range(self.rng.randint(1, 8)):
                self.world.after(self._harm_at_s(), self.rng.choice(able))
        self.world.after(FAULTS_END_S, self.shared.weather.clear)

    def _harm_at_s(self) -> float:
        """Mostly while something is going on."""
        if self.rng.random() < 0.3:
            return self.rng.random() * 12.0
        return self.rng.choice(self._asked_s) + self.rng.random() * 3.0

    def _harms(self) -> tuple[Callable[[], None], ...]:
        return (
            self._kill_agent,
            self._kill_coordinator,
            self._freeze_agent,
            self._freeze_coordinator,
            self._double_agent,
            self._double_coordinator,
            self._storm,
            self._lose_drains,
            self._stop_peer,
            self._move_shard,
            self.qdrant.change_alias,
        )

    def _kill_agent(self) -> None:
        index = self.rng.randrange(len(self.agents))
        self.agents[index].process.die_after(self.rng.randint(1, 12))
        self.world.after(2.0 + self.rng.random() * 2.0, lambda: self._revive_agent(index))

    def _revive_agent(self, index: int) -> None:
        old = self.agents[index]
        old.process.kill()
        self.shared.trace.say(self.world.now_s, old.home.name, "starts anew")
        self.agents[index] = self._parts.agent(self.shared, self.pulls, old.home)

    def _kill_coordinator(self) -> None:
        index = self._leading()
        self.coordinators[index].process.die_after(self.rng.randint(1, 8))
        self.world.after(2.0 + self.rng.random() * 2.0, lambda: self._revive_coordinator(index))

    def _revive_coordinator(self, index: int) -> None:
        old = self.coordinators[index]
        old.process.kill()
        self.shared.trace.say(self.world.now_s, old.process.name, "starts anew")
        name = f"{old.process.name.partition('.')[0]}.{self.rng.randrange(1000)}"
        self.coordinators[index] = self._parts.coordinator(self.shared, self.pulls, name)

    def _leading(self) -> int:
        for index, coordinator in enumerate(self.coordinators):
            if coordinator.term is not None and coordinator.process.alive:
                return index
        return 0

    def _freeze_agent(self) -> None:
        process = self.rng.choice(self.agents).process
        process.freeze_after(self.rng.randint(1, 8), 1.0 + self.rng.random() * 7.0)

    def _freeze_coordinator(self) -> None:
        process = self.coordinators[self._leading()].process
        process.freeze_after(self.rng.randint(1, 8), 1.0 + self.rng.random() * 7.0)

    def _double_agent(self) -> None:
        """The process freezes, another is started in its place, and then the old one wakes up."""
        index = self.rng.randrange(len(self.agents))
        old = self.agents[index]
        frozen_s = self._freeze_and_bury(old.process)

        def replace() -> None:
            if self.agents[index] is old:
                self.agents[index] = self._parts.agent(self.shared, self.pulls, old.home)

        self.world.after(frozen_s / 2, replace)

    def _double_coordinator(self) -> None:
        index = self._leading()
        old = self.coordinators[index]
        frozen_s = self._freeze_and_bury(old.process)
        name = f"{old.process.name.partition('.')[0]}.{self.rng.randrange(1000)}"

        def replace() -> None:
            if self.coordinators[index] is old:
                self.coordinators[index] = self._parts.coordinator(self.shared, self.pulls, name)

        self.world.after(frozen_s / 2, replace)

    def _freeze_and_bury(self, process: Process) -> float:
        """The zombie has two seconds after it has woken up."""
        frozen_s = 4.0 + self.rng.random() * 6.0
        process.freeze_after(self.rng.randint(1, 12), frozen_s)
        self.world.after(frozen_s + 4.0, process.kill)
        return frozen_s

    def _storm(self) -> None:
        """Bad weather for some seconds."""
        weather, rng = self.shared.weather, self.rng
        weather.lost_request = rng.choice((0.0, 0.05, 0.2))
        weather.lost_answer = rng.choice((0.0, 0.05, 0.2))
        weather.doubled = rng.choice((0.0, 0.1, 0.5))
        weather.slow = rng.choice((0.0, 0.05, 0.2))
        weather.late_watch = rng.choice((0.0, 0.1, 0.5))
        weather.slow_s = rng.choice((1.5, 3.0, 6.0))
        weather.effect_fails = rng.choice((0.0, 0.02, 0.1))
        weather.effect_hangs = rng.choice((0.0, 0.02, 0.1))
        self.world.after(1.0 + rng.random() * 4.0, weather.clear)

    def _lose_drains(self) -> None:
        """Drains get lost; one write comes instead, which looks just like a drain."""
        for place in self.qdrant.logs:
            self._write_one(place)
        self.shared.weather.lost_drain = 0.5
        self.world.after(1.0 + self.rng.random() * 4.0, self.shared.weather.clear)

    def _stop_peer(self) -> None:
        peer = self.rng.choice(list(self.qdrant.peers))
        self.qdrant.stop_peer(peer, 0.05 + self.rng.random() * 2.0)

    def _move_shard(self) -> None:
        places, target = list(self.qdrant.logs), self.rng.choice(list(self.qdrant.peers))
        if places:
            self.qdrant.move_shard(self.rng.choice(places), target, 0.05 + self.rng.random())

    def _deceive(self, seed: int) -> None:
        """Data that change while numbers stand still; a choice of its own, as with seeds."""
        choice = random.Random(f"deceit {seed}")
        if self.shared.trace.calm or choice.random() >= DECEIVED_SHARE:
            return
        olds = list(self.qdrant.logs)
        for _ in range(choice.randint(1, 4)):
            act = choice.choice((self._fail_write, self.qdrant.remake))
            at_s = choice.choice(self._asked_s) + choice.random() * 3.0
            self.world.after(at_s, partial(act, choice.choice(olds)))

    def _fail_write(self, place: Place) -> None:
        """A write that fails for now: the peer applies it again by itself, at the next drain."""
        if place in self.qdrant.logs and self._lets_in(place):
            self.qdrant.fail_write(place)

    # To the end

    def play(self) -> Result:
        """Runs until all operations have ended after the faults, or time is over."""
        self.world.run(FAULTS_END_S + REPAIRED_WITHIN_S, self._all_ended)
        self.world.run(self.world.now_s + LINGER_S, lambda: False)
        outcome = Outcome(self.shared, self.qdrant, tuple(self.operations))
        manifests = outcome.manifests().values()
        return Result(
            seed=self.world.seed,
            wrong=tuple(check(outcome)),
            story=tuple(self.shared.trace.lines),
            committed=len(manifests),
            quiet=sum(manifest.grade == "quiet" for manifest in manifests),
            ended_s=self.world.now_s,
            fenced=sum(manifest.grade == "fenced" for manifest in manifests),
            restores=self._states(OperationKind.RESTORE),
            seeds=self._states(OperationKind.SEED),
        )

    def _states(self, kind: OperationKind) -> tuple[str, ...]:
        """How these operations have ended, or where they are."""
        found = [self.shared.model.get(self.shared.keys.operation(n)) for n in self.operations]
        records = [decode(Operation, kv.value, kv.key) for kv in found if kv is not None]
        return tuple(record.state.value for record in records if record.kind is kind)

    def _all_ended(self) -> bool:
        if self.world.now_s < FAULTS_END_S:
            return False
        records = [self.shared.model.get(self.shared.keys.operation(n)) for n in self.operations]
        return all(
            found is not None and decode(Operation, found.value, "op").state in FINAL_STATES
            for found in records
        )
