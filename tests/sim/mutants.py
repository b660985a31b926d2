"""Programs that are wrong on purpose: each breaks one rule, and a checker has to find it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

from msgspec.structs import replace

from cleancut.core.backup.barrier import Barrier
from cleancut.core.backup.participant import BackupParticipant
from cleancut.core.backup.participant_requests import Capture
from cleancut.core.backup.phases import Stage
from cleancut.core.backup.seed import SeedMachine
from cleancut.core.format.manifest import Manifest
from cleancut.core.primitives.codec import encode
from cleancut.core.primitives.ids import AgentName, Epoch, Sha256
from cleancut.core.protocol.commands import CastVote, Command, Decide
from cleancut.core.protocol.effect_requests import Readings, ReadNumbers
from cleancut.core.protocol.etcd_records import Ctl, Group, ShardTask, Vote
from cleancut.core.protocol.events import Done
from cleancut.core.protocol.fence import Fence
from cleancut.core.protocol.states import Phase
from cleancut.ports.coordination import Created, Guard, Put
from cleancut_agent.fence_watchdog import FenceWatchdog
from cleancut_coordinator.leader.state import LeaderState
from tests.sim.agents import AgentEffects, Follower, SimAgent
from tests.sim.backing import CoordinatorEffects
from tests.sim.coordinators import SimCoordinator, Term
from tests.sim.fences import TermLifter, lifter_of
from tests.sim.histories import play
from tests.sim.mutants_restore import RESTORE_MUTANTS
from tests.sim.scenario import Mutant, Parts
from tests.sim.world import Reply


class VotesEarly(BackupParticipant):
    """Votes that it has cut when it has only begun to."""

    def _cut(self) -> list[Command]:
        commands = super()._cut()
        tasks = self._tasks or ()
        if isinstance(commands[0], CastVote):
            return commands
        return [*self._vote(self._reading(Readings((0,) * len(tasks), "early", 0))), *commands]

    def _done(self, event: Done, now_s: float) -> list[Command]:
        if isinstance(event.effect, Capture):
            self._running, self._first = None, event.result
            return []
        return super()._done(event, now_s)


class ForgetsDrains(BackupParticipant):
    """Takes one number more than the parent's for the drain, even if the drain did not answer."""

    def _tasks_to_cut(self, tasks: tuple[ShardTask, ...]) -> tuple[ShardTask, ...]:
        return tasks


class ReadsOnce(BackupParticipant):
    """Tells the first reading as the second one, as if nothing but the drain had come."""

    def _done(self, event: Done, now_s: float) -> list[Command]:
        if isinstance(event.effect, ReadNumbers) and self._first is not None:
            first = self._first
            again = tuple(None if number is None else number + 1 for number in first.numbers)
            told = dataclasses.replace(event.result, numbers=again, arrivals=first.arrivals)
            told = dataclasses.replace(told, incarnation=first.incarnation, states=first.states)
            event = Done(event.effect, told)
        return super()._done(event, now_s)


class Blind(BackupParticipant):
    """Tells any shard as whole, whatever its status is."""

    def _done(self, event: Done, now_s: float) -> list[Command]:
        if isinstance(event.effect, Capture | ReadNumbers):
            states = tuple(replace(one, status="green") for one in event.result.states)
            event = Done(event.effect, dataclasses.replace(event.result, states=states))
        return super()._done(event, now_s)


class TrustsNames(AgentEffects):
    """Takes a shard under the same id, with the expected number, for the parent's."""

    def unchanged(self, task: ShardTask, first: Readings, index: int) -> bool:
        parent = task.parent
        if parent is None or parent.second.state is None:
            return False
        states = (replace(parent.second.state),) * len(first.states)
        return super().unchanged(task, dataclasses.replace(first, states=states), index)


class AnySession(Follower):
    """Votes without saying under which session."""

    def guards(self) -> list[Guard]:
        return super().guards()[1:]


class TakesOver(AgentEffects):
    """Takes over the parent's recipe whenever there is one."""

    def unchanged(self, task: ShardTask, first: Readings, index: int) -> bool:
        return bool(task.recipe)


class MissesOne(Barrier):
    """Commits when all but one have stored their shards."""

    def _uploaded(self, now_s: float) -> list[Command]:
        votes = {n: self.votes.get((Phase.UPLOAD.value, n)) for n in sorted(self.members)}
        given = {name: vote.document for name, vote in votes.items() if vote and vote.yes}
        if len(given) < max(1, len(votes) - 1) or self.waiting is not None:
            return []
        return [self.run(Stage(self.ctl.epoch, self.ctl, tuple(sorted(given.items()))))]


class EndsEarly(SeedMachine):
    """A seed that is done when the first agent is."""

    def _uploaded(self, now_s: float) -> list[Command]:
        self.members = {
            name: member
            for name, member in self.members.items()
            if (Phase.UPLOAD.value, name) in self.votes
        }
        return super()._uploaded(now_s) if self.members else []


class Unguarded(LeaderState):
    """Commits without looking whether the votes are there."""

    async def decide(self, command: Decide, votes: Mapping[AgentName, Vote]) -> bool:
        ctl = command.ctl
        group = Group(epoch=ctl.epoch, operation=ctl.operation, manifest=Sha256(ctl.manifest))
        put = Put(self._keys.group(ctl.epoch), encode(group))
        return await self._write_ctl(ctl, [put], [])


class Usurper(LeaderState):
    """Writes whoever leads, over whatever ctl says."""

    def _leads(self) -> Guard:
        return Created(f"{self._keys.root}nobody", 0)

    async def _write_ctl(self, ctl: Ctl, ops: list[Put], guards: Sequence[Guard]) -> bool:  # type: ignore[override]
        put = Put(self._keys.ctl, encode(ctl))
        result = await self._etcd.txn(guards, [put, *ops])
        return result.applied


class Rewrites(CoordinatorEffects):
    """Publishes what it would say now, not what was decided."""

    def to_publish(self, data: bytes) -> bytes:
        return data.replace(b'"created_by":"sim"', b'"created_by":"SIM"')


class Incomplete(CoordinatorEffects):
    """Stages a manifest without looking whether it is whole."""

    def check(self, manifest: Manifest) -> None:
        return None


class NeverWaits(CoordinatorEffects):
    """Says that all is drained when the drains have only been sent."""

    def _drain_one(self, name: str) -> Reply:
        super()._drain_one(name)
        reply = Reply()
        reply.answer(True)
        return reply


class Forgetful(TermLifter):
    """Lifts nothing when it is told to, and does not look for what is left."""

    async def lift(self, fence: Fence) -> None:
        return None

    async def look(self) -> None:
        return None


class LateLifter(FenceWatchdog):
    """Looks at its peer now and then, but sets no end to a fence that it confirms."""

    async def confirm(self, epoch: Epoch) -> Fence:
        fence = await super().confirm(epoch)
        self._ends_s.clear()
        return fence


class EarlyAgent(SimAgent):
    machine = VotesEarly


class TrustingAgent(SimAgent):
    machine = ForgetsDrains


class OnceAgent(SimAgent):
    machine = ReadsOnce


class SessionlessAgent(SimAgent):
    follower = AnySession


class GreedyAgent(SimAgent):
    effects = TakesOver


class HastyTerm(Term):
    effects = Incomplete


class HastyCoordinator(SimCoordinator):
    machine, ledger, term_of = MissesOne, Unguarded, HastyTerm


class EagerCoordinator(SimCoordinator):
    seed = EndsEarly


class UsurpingCoordinator(SimCoordinator):
    ledger = Usurper


class RewritingTerm(Term):
    effects = Rewrites


class RewritingCoordinator(SimCoordinator):
    term_of = RewritingTerm


class ImpatientTerm(Term):
    effects = NeverWaits


class ImpatientCoordinator(SimCoordinator):
    term_of = ImpatientTerm


class BlindAgent(SimAgent):
    machine = Blind


class NameAgent(SimAgent):
    effects = TrustsNames


class LateAgent(SimAgent):
    lifters = staticmethod(partial(lifter_of, kind=LateLifter))


class ForgetfulTerm(Term):
    lifter = Forgetful


class ForgetfulCoordinator(SimCoordinator):
    term_of = ForgetfulTerm


MUTANTS = {
    "votes_early": Mutant(
        "a CUT vote comes after the cuts", Parts(agent=EarlyAgent), ("cut_in_window",)
    ),
    "forgets_drains": Mutant(
        "without its drain nothing is known to be unchanged",
        Parts(agent=TrustingAgent),
        ("cut_in_window",),
        first=1427,
    ),
    "reads_once": Mutant(
        "quiet needs a second reading", Parts(agent=OnceAgent), ("quiet_is_true",)
    ),
    "takes_over": Mutant(
        "a parent is taken over only if nothing changed",
        Parts(agent=GreedyAgent),
        ("cut_in_window", "quiet_is_true"),
    ),
    "blind": Mutant(
        "a number proves nothing of a shard with failed operations",
        Parts(agent=BlindAgent),
        ("quiet_is_true",),
    ),
    "trusts_names": Mutant(
        "a shard that was dropped and made again is another one",
        Parts(agent=NameAgent),
        ("cut_in_window", "quiet_is_true"),
    ),
    "any_session": Mutant(
        "votes are guarded by the session",
        Parts(agent=SessionlessAgent),
        ("tokens",),
        first=783,
    ),
    "misses_one": Mutant(
        "a commit is guarded by all votes",
        Parts(coordinator=HastyCoordinator),
        ("all_voted", "complete"),
    ),
    "ends_early": Mutant(
        "a seed is done when all have read their shards",
        Parts(coordinator=EagerCoordinator),
        ("seeded_is_true",),
    ),
    "usurper": Mutant(
        "a leader's writes are guarded by its token",
        Parts(coordinator=UsurpingCoordinator),
        ("tokens",),
    ),
    "never_waits": Mutant(
        "quiet needs a drain that was applied",
        Parts(coordinator=ImpatientCoordinator),
        ("quiet_is_true", "cut_in_window"),
    ),
    "rewrites": Mutant(
        "what is published is what was decided",
        Parts(coordinator=RewritingCoordinator),
        ("published_as_decided",),
    ),
    "lifts_late": Mutant(
        "a fence ends with its epoch's cuts, or at its budget",
        Parts(agent=LateAgent, coordinator=ForgetfulCoordinator),
        ("fence_lifted",),
    ),
    **RESTORE_MUTANTS,
}
MUTANT_SEEDS = 1200
"""How many are looked through before one counts as missed."""


def find_mutant(name: str, mutant: Mutant) -> tuple[int | None, str]:
    """The first seed that shows it by a checker that stands for its rule, and what that tells;
    restores happen in even seeds."""
    even = name in RESTORE_MUTANTS
    first = mutant.first + (mutant.first % 2 == even)
    for seed in range(first, first + MUTANT_SEEDS, 2):
        for wrong in play(seed, mutant.parts).wrong:
            if wrong.partition(":")[0] in mutant.checkers:
                return seed, wrong
    return None, "missed"
