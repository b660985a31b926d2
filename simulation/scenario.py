"""One seed, one history: a cluster, what is asked of it, and what goes wrong on the way."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from cleancut.core.archive.plan import ArchiveSettings
from cleancut.core.format.paths import Paths
from cleancut.core.maintenance.retention import Policy, Retention
from cleancut.core.maintenance.schedule import Overlap, ScheduleRule
from cleancut.core.primitives.codec import decode, encode
from cleancut.core.primitives.ids import AgentName, ClusterName, PeerId
from cleancut.core.protocol.etcd_keys import Keys
from cleancut.core.protocol.etcd_records import Ctl, Operation, Owner
from cleancut.core.protocol.evidence import Consistency
from cleancut.core.protocol.fence import FenceRule, FenceSettings
from cleancut.core.protocol.states import FINAL_STATES, OperationKind
from cleancut.ports.coordination import Put
from cleancut_coordinator.context import GcSettings
from simulation.archived import read_archived
from simulation.archiving import Archiving, archive_settings, is_archived
from simulation.checkers import check
from simulation.checkers_fence import note_fences
from simulation.copying import Copying, copy_rule, is_copied
from simulation.harms import Harms
from simulation.holding import Holding, is_held
from simulation.logs import LogRecorder
from simulation.network import Surroundings
from simulation.operations import Wishes
from simulation.outcome import Outcome
from simulation.overwriting import Overwriting, is_overwritten
from simulation.prehistory import CLUSTER_ID, FIRST, first_group
from simulation.programs import Config, Home, SimAgent, SimCoordinator
from simulation.pulling import Pulls
from simulation.qdrant import SimQdrant
from simulation.replica import POINTED, Shape
from simulation.reshard_harms import ReshardHarms
from simulation.scheduling import Scheduling, is_calm, is_defined
from simulation.situations import Situations, choose
from simulation.strangers import Strangers
from simulation.trace import Copy, Looked
from simulation.turning import Turning
from simulation.undeleting import is_undeleted
from simulation.unkindness import ALTERS_SHARDS, Unkindness, choose_kind, wrong_clocks
from simulation.users import Users
from simulation.wal import note_rolled
from simulation.world import World

UPKEEP_S = 30.0
"""A history with schedules, an archive or garbage collection lasts as long as this at least."""
REPAIRED_WITHIN_S = 4000.0
LINGER_S = 15.0
"""After the end: what was frozen or late may still come."""
CALM, BURST_SHARE, DECEIVED_SHARE, TURNED_SHARE = 0.2, 0.4, 0.3, 0.12
LOGS_SHARE, RESHARD_SHARE, DIVERGED_SHARE, RENUMBERED_SHARE = 0.6, 0.1, 0.2, 0.5
"""How many of the histories are without any fault, and how many have what else is in a `Plan`."""
FIRST_SEED = 10_000
"""Earlier histories have nothing of what came later: most mutants are looked for in them."""
_RAM = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a history, drawn first: `fenced` backups, which other operations, writes in a
    `burst` while shards are cut, data that change while numbers stand still (`deceived`), restores
    with other numbers of shards (`renumbered`), and which of `situations`."""

    fenced: bool
    restores: bool
    seeds: bool
    rebalances: bool
    schedules: bool
    garbage: bool
    calm: bool
    burst: bool
    deceived: bool
    turned: bool
    unkind: str
    logs: bool
    archive: bool
    reshards: bool
    renumbered: bool
    diverged: bool
    overwrites: bool
    undeletes: bool
    defined: bool
    held: bool
    copied: bool
    situation: str

    @classmethod
    def of(cls, seed: int) -> Plan:
        """Odd seeds have backups without restores, even ones have both."""
        chance = random.Random(f"plan {seed}")
        plan = cls(
            fenced=chance.random() < 0.5,
            restores=seed % 2 == 0,
            seeds=chance.random() < 0.15,
            rebalances=chance.random() < 0.3,
            schedules=chance.random() < 0.15,
            garbage=chance.random() < 0.3,
            calm=chance.random() < CALM,
            burst=chance.random() < BURST_SHARE,
            deceived=chance.random() < DECEIVED_SHARE,
            turned=random.Random(f"turned {seed}").random() < TURNED_SHARE,
            unkind=choose_kind(seed),
            logs=random.Random(f"logs {seed}").random() < LOGS_SHARE,
            archive=is_archived(seed),
            reshards=random.Random(f"rings {seed}").random() < RESHARD_SHARE,
            renumbered=random.Random(f"numbers {seed}").random() < RENUMBERED_SHARE,
            diverged=random.Random(f"differs {seed}").random() < DIVERGED_SHARE,
            overwrites=seed % 2 == 0 and is_overwritten(seed),
            undeletes=is_undeleted(seed),
            defined=is_defined(seed),
            held=is_held(seed),
            copied=is_copied(seed),
            situation="",
        )
        situation = choose(chance, restores=plan.restores, garbage=plan.garbage)
        able = plan.restores and not (plan.turned or plan.unkind or plan.overwrites)
        plan = replace(plan, undeletes=plan.undeletes and able)
        if plan.turned or (plan.logs and plan.unkind in ALTERS_SHARDS):
            plan = replace(plan, unkind="")
        plan = replace(plan, archive=plan.logs and plan.archive).with_reshards()
        plan = replace(plan, overwrites=plan.overwrites and not (plan.turned or plan.reshards))
        if plan.turned or plan.unkind or seed < FIRST_SEED:
            plan = replace(plan, defined=False)
        if plan.turned or not plan.garbage or seed < FIRST_SEED:
            plan = replace(plan, held=False, copied=False)
        if plan.unkind == "wrong_clock":  # it says when a hold is over
            plan = replace(plan, held=False)
        if plan.unkind in {"stopped", "sick"} or (plan.defined and is_calm(seed)):
            plan = replace(plan, calm=True)
        if plan.calm:
            return replace(plan, deceived=False)
        return replace(plan, situation="" if plan.turned else situation)

    def with_reshards(self) -> Plan:
        """What is resharded has no logs here; and where replicas differ none may be dropped."""
        if not self.reshards:
            return replace(self, renumbered=False, diverged=False)
        plan = replace(self, logs=False, archive=False, deceived=False, turned=False, unkind="")
        plan = replace(plan, renumbered=plan.renumbered and plan.restores)
        return replace(plan, rebalances=False) if plan.diverged else plan


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed. `wrong` is empty if all held; `story` is for people."""

    seed: int
    wrong: tuple[str, ...]
    story: tuple[str, ...]
    committed: int
    quiet: int
    rolled: int
    fenced: int
    ended_s: float
    digest: str
    ends: dict[str, int] = field(default_factory=dict)
    """Operations by kind and final state: `restore DONE`."""


class Scenario:
    """The cast of one run. `play` runs it to its end."""

    def __init__(self, seed: int) -> None:
        self.plan, self.world = Plan.of(seed), World(seed)
        self.rng = rng = self.world.rng
        name = ClusterName("sim")
        self.shared = Surroundings(self.world, Keys(name), Paths(name))
        self._directory = Path(tempfile.mkdtemp(dir=_RAM if _RAM.is_dir() else None))
        nodes = rng.randint(1, 4)
        shards = {f"c{i}": rng.randint(1, 3) for i in range(rng.randint(1, 2))}
        if self.plan.reshards:
            shards[POINTED] = rng.randint(1, 3)
        recorder = LogRecorder(lambda: self.world.now_s) if self.plan.archive else None
        self.qdrant = SimQdrant(self.world, Shape(nodes, shards, rng.randint(1, 2), recorder))
        for collection in shards if self.plan.fenced else ():
            self.qdrant.point(write_alias(collection), collection)
        self.qdrant.on_change = self._changed
        self.pulls = Pulls(self.shared, self.qdrant)
        if self.plan.reshards:
            self.pulls.reshardings.fill()
        self.config = self._config(list(shards))
        if self.plan.restores:
            self._remember()
        if self.plan.unkind == "wrong_clock":
            self.shared.clocks, self.shared.has_clock = wrong_clocks(seed), True
        self.agents = [
            self.start_agent(self._home(f"a{i}", PeerId(i))) for i in range(1, nodes + 1)
        ]
        self.coordinators = [self.start_coordinator(f"coord{i}") for i in range(rng.randint(2, 3))]
        self.users = Users(self.shared, self.coordinators)
        self.strangers = Strangers(self)
        self.wishes = Wishes(self)
        self.shared.trace.look = self._look
        self.shared.trace.calm = self.plan.calm
        self.harms = Harms(self)
        self.reshard_harms = ReshardHarms(self) if self.plan.reshards else None
        self.turning = Turning(self) if self.plan.turned else None
        if self.plan.archive:
            Archiving(self)
        self.overwriting = Overwriting(self) if self.plan.overwrites else None
        self.situations, self.unkindness = Situations(self), Unkindness(self)
        self.scheduling = Scheduling(self) if self.plan.defined else None
        if self.plan.held:
            Holding(self)
        if self.plan.copied:
            Copying(self)
        self._note_aliases()
        self.shared.trace.struck = self._came_to
        self.world.planned_s = max(self.world.planned_s, UPKEEP_S if self._has_upkeep else 0.0)

    def _came_to(self, ctl: Ctl) -> None:
        self.harms.came_to(ctl)
        self.situations.came_to(ctl)
        self.unkindness.came_to(ctl)
        if self.overwriting is not None:
            self.overwriting.came_to(ctl)
        if self.reshard_harms is not None:
            self.reshard_harms.came_to(ctl)
        if self.turning is not None:
            self.turning.came_to(ctl)
        if self.scheduling is not None:
            self.scheduling.came_to(ctl)

    def _changed(self) -> None:
        note_fences(self.qdrant, self.shared.trace)
        self._note_aliases()

    def _note_aliases(self) -> None:
        known, now = self.shared.trace.aliases, self.qdrant.aliases
        if not known or known[-1][1] != now:
            known.append((self.world.now_s, dict(now)))

    def _home(self, name: str, peer: PeerId) -> Home:
        return Home(AgentName(name), peer, self._directory / name, self.plan.logs)

    @property
    def _may_wait(self) -> bool:
        """A move that cannot be made has the turn for longer than a schedule's interval."""
        return self.plan.rebalances or self.plan.reshards or self.plan.diverged

    @property
    def _has_upkeep(self) -> bool:
        return self.plan.schedules or self.plan.garbage or self.plan.archive

    def start_agent(self, home: Home) -> SimAgent:
        return SimAgent(self.shared, self.pulls, home)

    def start_coordinator(self, name: str) -> SimCoordinator:
        return SimCoordinator(self.shared, self.pulls, name, self.config)

    def _config(self, collections: list[str]) -> Config:
        gc, schedules = GcSettings(every_s=0.0), dict[str, ScheduleRule]()
        if self.plan.garbage:
            keep = Retention(keep_last=self.rng.randint(1, 2))
            grace_s = self.rng.choice((0.0, 5.0))
            policy = Policy(keep, max_expire_share=1.0)
            gc = GcSettings(policy, grace_s, every_s=self.rng.choice((0.0, 15.0)))
        if self.plan.schedules:
            overlap = self.rng.choice(list(Overlap))
            schedules["often"] = ScheduleRule(cron="* * * * *", overlap=overlap, attempts=2)
        rules = [FenceRule(collection=one, alias=write_alias(one)) for one in collections]
        fences = FenceSettings(rules=tuple(rules) if self.plan.fenced else ())
        archive = archive_settings(self.world.seed) if self.plan.archive else ArchiveSettings()
        copies = copy_rule(self.world.seed) if self.plan.copied else None
        gc = replace(gc, every_s=15.0) if copies else gc
        return Config(fences, gc, schedules, archive, copies)

    def _remember(self) -> None:
        """There was a group before this history, of collections that have gone since."""
        shared = self.shared
        self.first, objects = first_group(shared.paths, self.rng)
        objects = {
            **objects,
            shared.paths.group(FIRST): encode(self.first),
            shared.paths.owner(1): encode(Owner(cluster_id=CLUSTER_ID)),
        }
        shared.store.objects.update(objects)
        shared.archive.update(objects)
        shared.model.txn([], [Put(shared.keys.id, CLUSTER_ID.encode())])

    # To the end

    def play(self) -> Result:
        """Runs until all operations have ended after all that was planned, or time is over."""
        try:
            for linger_s in (LINGER_S, 0.0):  # a schedule may start one meanwhile
                self.world.run(REPAIRED_WITHIN_S, self._all_ended)
                self.world.run(self.world.now_s + linger_s, lambda: False)
            return self._result()
        finally:
            self.world.end()
            with suppress(OSError):
                shutil.rmtree(self._directory)

    def _result(self) -> Result:
        trace = self.shared.trace
        archived = read_archived(self.shared, self.qdrant) if self.plan.archive else None
        outcome = Outcome(
            self.shared,
            self.qdrant,
            self.users.asked,
            self.config,
            self.pulls.reshardings,
            self.pulls.undeletes,
            archived=archived,
            diverged=self.plan.diverged,
            healthy=not (self.plan.unkind or self.plan.turned or self._may_wait),
            first_shards=self._first_shards(),
        )
        manifests = outcome.manifests().values()
        note_rolled(self.shared, [shard for one in manifests for shard in one.shards])
        wrong = [*(f"crashed: {one}" for one in self.world.failures), *check(outcome)]
        instants = [one for one in manifests if one.consistency is Consistency.POINT_IN_TIME]
        fenced = sum(one.fenced for one in instants)
        moved = [any(shard.standstill for shard in one.shards) for one in instants]
        rolled = sum(moved)
        quiet = sum(not (a or one.fenced) for a, one in zip(moved, instants, strict=True))
        ends = Counter(f"{one.kind} {one.state}" for one in self.operations())
        return Result(
            seed=self.world.seed,
            wrong=tuple(wrong),
            story=tuple(trace.lines),
            committed=len(manifests),
            quiet=quiet,
            rolled=rolled,
            fenced=fenced,
            ended_s=self.world.now_s,
            digest=trace.digest(),
            ends=dict(sorted(ends.items())),
        )

    def _first_shards(self) -> dict[str, tuple[int, ...]]:
        if not self.plan.restores:
            return {}
        return {one.name: one.shard_ids for one in self.first.collections}

    def operations(self) -> list[Operation]:
        listing = self.shared.model.list(self.shared.keys.operations)
        return [_operation(kv.value, kv.key) for kv in listing.items]

    def _all_ended(self) -> bool:
        if self.world.failures:
            return True
        planned = self.world.now_s < self.world.planned_s
        if planned or not all(one.over for one in self.users.asked):
            return False
        return all(one.state in FINAL_STATES for one in self.operations())

    def restores_are_over(self) -> bool:
        return all(
            one.state in FINAL_STATES
            for one in self.operations()
            if one.kind is OperationKind.RESTORE
        )

    # For the checkers

    def _look(self) -> Looked:
        uuids = {name: found.uuid for name, found in self.qdrant.collections.items()}
        copies: dict[str, tuple[Copy, ...]] = {}
        for peer in self.qdrant.peers.values():
            for (name, shard), replica in peer.replicas.items():
                copy = Copy(shard, peer.id, replica.tar, tuple(replica.writes), replica.dirty)
                copies[name] = (*copies.get(name, ()), copy)
        return uuids, copies, dict(self.qdrant.aliases)


@lru_cache(maxsize=1024)
def _operation(value: bytes, key: str) -> Operation:
    return decode(Operation, value, key)


def write_alias(collection: str) -> str:
    """What writers call it, where they are fenced."""
    return f"w-{collection}"


def play(seed: int) -> Result:
    """The history of `seed`. The same seed gives the same one."""
    return Scenario(seed).play()
